#!/bin/sh -eu
# A machine is a folder below $root with a process. $ENCAMP_KEY is its name, and all that has to be kept of it.
root=${TMPDIR:-/tmp}/encamp-NAME
at=$root/${ENCAMP_KEY:-}
refuse() { echo "encamp:error:$1:$2" >&2; exit 1; } # nothing came of it; without this line, nobody knows
here() { [ -d "$at/home" ] || refuse not_found "there is no machine $ENCAMP_KEY"; }

case $1 in
create) # called again for the same key, it finds what is there
    if [ -s "$at/pid" ]; then echo '{"adopted":true}'; exit; fi
    mkdir -p "$at/home"
    printf '%s' "${ENCAMP_ENV:-}" >"$at/env"
    # `setsid`: what stays in this script's own group is ended with it.
    setsid sh -c 'echo $$ >"$1/pid"; cd "$1/home"; . "$1/env"; (eval "$2") && code=0 || code=$?; echo $code >"$1/exit"' \
        - "$at" "${ENCAMP_COMMAND:-sleep 86400}" </dev/null >>"$at/log" 2>&1 &
    while [ ! -s "$at/pid" ]; do sleep 0.01; done ;;
destroy) # what is not there is gone
    if [ -s "$at/pid" ]; then kill -KILL "-$(cat "$at/pid")" 2>/dev/null || :; fi
    rm -rf "$at" ;;
list) # everything with our prefix, then that this was everything
    for one in "$root/$ENCAMP_PREFIX"*; do
        [ -d "$one/home" ] || continue
        phase='"running"'
        if [ -s "$one/exit" ]; then phase="{\"exited\":{\"code\":$(cat "$one/exit")}}"; fi
        printf '{"key":"%s","phase":%s}\n' "${one##*/}" "$phase"
    done
    echo '{"complete":true}' ;;
exec) here; shift; . "$at/env"; cd "${ENCAMP_CWD:-$at/home}"; exec "$@" ;;
logs)
    here
    if [ -z "${ENCAMP_FOLLOW:-}" ]; then exec tail -n "${ENCAMP_TAIL:-+1}" "$at/log"; fi
    tail -n "${ENCAMP_TAIL:-+1}" -f "$at/log" &
    while [ -d "$at" ]; do sleep 0.2; done # they end with the machine
    kill $! ;;
*) refuse unsupported "$1" ;;
esac
