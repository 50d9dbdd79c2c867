#!/bin/sh -eu
# A machine is a folder below $root with a process. $ENCAMP_KEY is its name, and all that has to be kept of it.
root=${TMPDIR:-/tmp}/encamp-yard-$(id -u)
at=$root/${ENCAMP_KEY:-}
refuse() { echo "encamp:error:$1:$2" >&2; exit 1; } # nothing came of it; without this line, nobody knows
here() { [ -d "$at/home" ] || refuse not_found "there is no machine $ENCAMP_KEY"; }
# Whether it is at work; its number may be somebody else's by now, so the moment at which it began tells as well.
lives() { [ ! -e "$at/exit" ] && read -r pid began <"$at/pid" && [ "$(cut -d' ' -f22 "/proc/$pid/stat")" = "$began" ]; }
mkdir -pm 700 "$root" && [ -O "$root" ] && [ ! -L "$root" ] || refuse unauthorized "$root is not this user's alone"

case $1 in
create) # called again for the same key, it finds what is there, or goes on where one was killed
    if [ -e "$at/pid" ]; then echo '{"adopted":true}'; exit; fi
    mkdir -p "$at/home"
    printf '%s' "${ENCAMP_ENV:-}" >"$at/env.$$" && mv "$at/env.$$" "$at/env"
    # `setsid`: what stays in this script's own group is ended with it. What the command leaves in its own ends with it too.
    # Two calls may come to this, and `ln` works for one of them: a machine has one process.
    setsid sh -c 'echo $$ $(cut -d" " -f22 /proc/$$/stat) >"$1/$$"; ln "$1/$$" "$1/pid" 2>&- || exit; cd "$1/home"; . "$1/env"
        (eval "$2") && code=0 || code=$?; echo $code >"$1/code"; command -p mv "$1/code" "$1/exit"; kill -KILL -$$' \
        - "$at" "${ENCAMP_COMMAND:-sleep 86400}" </dev/null >>"$at/log" 2>&1 &
    while [ ! -e "$at/pid" ]; do sleep 0.01; done ;;
destroy) # what is not there is gone; a process that is on its way comes too late
    if [ -d "$at" ]; then echo 0 0 >"$at/none" && { ln "$at/none" "$at/pid" 2>/dev/null || :; }; fi
    if lives 2>/dev/null; then kill -KILL "-$pid"; fi
    rm -rf "$at" ;;
list) # everything with our prefix, then that this was everything
    for at in "$root/$ENCAMP_PREFIX"*; do
        [ -d "$at/home" ] || continue
        if lives 2>/dev/null; then phase='"running"'; else phase="{\"exited\":{\"code\":$(cat "$at/exit" 2>/dev/null || echo 137)}}"; fi
        printf '{"key":"%s","phase":%s}\n' "${at##*/}" "$phase"
    done
    echo '{"complete":true}' ;;
exec) here; shift; . "$at/env"; eval "${ENCAMP_ENV:-}"; cd "${ENCAMP_CWD:-$at/home}"; exec "$@" ;;
logs) here
    if [ -z "${ENCAMP_FOLLOW:-}" ]; then exec tail -n "${ENCAMP_TAIL:-+1}" "$at/log"; fi
    tail -n "${ENCAMP_TAIL:-+1}" -f "$at/log" &
    while [ -d "$at" ]; do sleep 0.2; done # they end with the machine
    kill $! ;;
*) refuse unsupported "$1" ;;
esac
