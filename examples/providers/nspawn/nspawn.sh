#!/bin/sh -eu
# A machine is a folder below $root with what it has written over its tree, and a container whose supervisor holds `lock`.
root=${ENCAMP_SETTING_ROOT:-/var/lib/encamp-nspawn}
at=$root/${ENCAMP_KEY:-}
refuse() { echo "encamp:error:$1:$2" >&2; exit 1; } # nothing came of it; without this line, nobody knows
is_there() { [ -e "$at/lock" ] || refuse not_found "there is no machine $ENCAMP_KEY"; }
lives() { [ -e "$at/lock" ] && ! flock -n -s "$at/lock" true; }
# Its first process, seen from here. Of one that does not live the numbers may be somebody else's by now.
leader() { lives && read -r group nspawn <"$at/pid" && first=$(cat "/proc/$nspawn/task/$nspawn/children") && first=${first%% *} && [ -n "$first" ]; }
is_up() { [ -e "$at/exit" ] || { leader && [ -e "/proc/$first/root/run/encamp-up" ]; }; } 2>/dev/null
# Runs a command in it, with no more variables than those that it was given.
inside() {
    leader 2>/dev/null || refuse not_found "the machine $ENCAMP_KEY does not run"
    variables=$(cat "$at/env"; echo "${ENCAMP_ENV:-}")
    for name in $(env | sed -n 's/^\(ENCAMP_[A-Z_]*\)=.*/\1/p') TMPDIR; do unset "$name"; done
    export HOME=/root PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
    eval "$variables"
    exec nsenter -t "$first" -a -r -w "$@"
}
begin() {
    exec 9>>"$at/lock" && flock -w 10 9 || refuse unavailable "$at/lock is held"
    rm -f "$at/exit" "$at/stopped" "$at/pid"
    # `setsid`: what stays in this script's own group is ended with it. The mount is the supervisor's own, and ends with it.
    setsid unshare --mount sh -c 'cd "$1"; read -r tree <tree; read -r name <name; nspawn=$(command -v systemd-nspawn)
        mount -t overlay -o "lowerdir=$tree,upperdir=upper,workdir=work" machine root
        shift; set -- "$@" $(cat network) $(sed -n "s/^export \([A-Za-z0-9_]*\)=.*/--setenv=\1/p" env)
        (. ./env; export SYSTEMD_NSPAWN_TMPFS_TMP=0; exec "$nspawn" --quiet --register=no --keep-unit --link-journal=no --console=pipe \
            --as-pid2 --machine="$@" --hostname="$name" --directory=root --bind="$PWD/tmp:/tmp" \
            sh -c ": >/run/encamp-up; exec 2>&1; cd /root; eval \"\$1\"" - "$(cat command)") &
        echo $$ $! >pid; code=0; wait $! || code=$?; echo $code >exit' \
        - "$at" "e-${at##*-}" </dev/null >>"$at/log" 2>>"$at/complaints" & # what the machine says, and what nspawn does
    exec 9>&-
    until is_up; do lives || is_up || refuse unavailable "it does not start: $(tail -n 1 "$at/complaints")"; sleep 0.02; done
}
end() { # all of it, at once
    while lives; do
        if leader; then kill -KILL "$first"; elif [ -s "$at/pid" ]; then kill -KILL "-$group"; fi
        sleep 0.05
    done 2>/dev/null
}
[ "$(id -u)" = 0 ] || refuse unauthorized "systemd-nspawn needs root"
command -v systemd-nspawn >/dev/null || refuse unsupported "systemd-nspawn is missing: apt-get install systemd-container"
umask 077; mkdir -p "$root" && ls "$root" >/dev/null
case $1 in
create) # called again for the same key, it finds what is there
    if lives || [ -e "$at/exit" ]; then until is_up; do sleep 0.02; done; echo '{"adopted":true}'; exit; fi
    [ -x "${ENCAMP_TREE:-/}/bin/sh" ] || refuse invalid "${ENCAMP_TREE:-/} is no tree of a system"
    mkdir -p "$at/upper" "$at/work" "$at/root" "$at/tmp" && chmod 755 "$at/upper" && chmod 1777 "$at/tmp"
    for word in "tree ${ENCAMP_TREE:-/}" "name $ENCAMP_NAME" "command ${ENCAMP_COMMAND:-exec sleep infinity}" "env ${ENCAMP_ENV:-}"; do
        printf '%s\n' "${word#* }" >"$at/${word%% *}"
    done
    if [ "${ENCAMP_NETWORK:-own}" = own ]; then echo --private-network; fi >"$at/network"
    begin ;;
start) is_there && { lives || begin; } ;;
stop) # its command is asked first, if there is time
    is_there && : >"$at/stopped"
    [ "${ENCAMP_GRACE:-0}" = 0 ] || ! leader || pkill -TERM -P "$first" || :
    for _ in $(seq $((${ENCAMP_GRACE:-0} * 10))); do ! lives || sleep 0.1; done
    end ;;
destroy) end; rm -rf "$at" ;; # what is not there is gone
list) # everything with our prefix, then that this was everything
    for at in "$root/$ENCAMP_PREFIX"*; do
        [ -d "$at" ] || continue
        if lives; then phase='"running"'; elif [ -e "$at/stopped" ]; then phase='"stopped"'
        else phase="{\"exited\":{\"code\":$(cat "$at/exit" 2>/dev/null || echo 137)}}"; fi # once it is over
        printf '{"key":"%s","phase":%s}\n' "${at##*/}" "$phase"
    done
    echo '{"complete":true}' ;;
exec)
    shift; inside sh -c 'cd "$1"; user=$2; shift 2; [ -n "$user" ] || exec "$@"; group=$(id -g "$user" 2>/dev/null) || group=$user
        exec setpriv --reuid "$user" --regid "$group" --clear-groups "$@"' - "${ENCAMP_CWD:-/root}" "${ENCAMP_USER:-}" "$@" ;;
copy_in) inside sh -c 'mkdir -p "$1" && exec tar -xp --numeric-owner -C "$1"' - "$ENCAMP_FOLDER" ;;
copy_out)
    inside sh -c '[ -e "$1" ] || [ -L "$1" ] || { echo "encamp:error:not_found:there is no $1" >&2; exit 1; }
        cd "${1%/*}/" && exec tar -c -- "${1##*/}"' - "$ENCAMP_PATH" ;;
dial) leader 2>/dev/null || refuse not_found "it does not run"; exec nsenter -t "$first" -n busybox nc 127.0.0.1 "$ENCAMP_PORT" ;;
logs)
    [ -n "${ENCAMP_FOLLOW:-}" ] || exec tail -n "${ENCAMP_TAIL:-+1}" "$at/log"
    tail -n "${ENCAMP_TAIL:-+1}" -f "$at/log" &
    while lives; do sleep 0.2; done; kill $! ;; # they end with it
*) refuse unsupported "$1" ;;
esac
