
# A command that was started from a session which is lost is found again, and what it says is read on from where the
# other side stands: `had_o` and `had_e`.

# Sends what stream $1 has said behind $3 to the session's descriptor $2, until it ends.
follow() {
    at=$3
    while :; do
        if number "$d/$1.pos" && [ "$number" -gt "$at" ]; then
            upto=$number from= next=
            for f in "$d/$1".[0-9]*; do
                begin=${f##*.}
                if [ "$begin" -le "$at" ]; then
                    [ -n "$from" ] && [ "$from" -ge "$begin" ] || from=$begin
                elif [ "$begin" -lt "${next:-$upto}" ]; then
                    next=$begin
                fi
            done
            [ -n "$from" ] || { say "h$1"; return; }
            upto=${next:-$upto}
            tail -c "+$((at - from + 1))" "$d/$1.$from" | head -c $((upto - at)) >&"$2" || return
            at=$upto
            echo "$at." >"$d/$1.sent"
        elif [ -e "$d/$1.end" ]; then
            # The last words may have come since.
            if number "$d/$1.pos" && [ "$number" -gt "$at" ]; then continue; fi
            [ ! -e "$d/lost" ] || say "h$1"
            say "$1$at"
            return
        else
            [ -d "$d" ] || return
            sleep 0.05
        fi
    done
}

# Says with which status the command ended, where that is known.
tell_status() {
    code=
    read -r code <"$d/exit" && [ -n "$code" ] && say "x$code"
}

# Says how the command ended, when it has.
tell_end() {
    while [ ! -e "$d/exit" ]; do
        hang_up
        if ! lives "$d/supervisor" && [ ! -e "$d/exit" ]; then
            say g
            return
        fi
        sleep 0.05
    done
    # On a full disk it is empty.
    tell_status || { say ho; return; }
    while [ -d "$d" ] && { [ ! -e "$d/o.end" ] || [ ! -e "$d/e.end" ]; }; do
        hang_up
        sleep 0.05
    done
}

# Ends what still writes to the former session, which may never take it.
hang_up() {
    for s in o e; do
        live=
        read -r live <"$d/$s.live" && [ -n "$live" ] && kill "$live"
    done
}

# The former session's process is ended, but not while a block of input is on its way to the command.
take_over() {
    while lives "$d/main"; do
        kill -STOP "$pid" || break
        state=
        read -r state <"$d/m.state"
        if [ "$state" != busy ]; then
            kill -KILL "$pid"
            break
        fi
        kill -CONT "$pid"
        sleep 0.1
    done
    began $$
    echo "$$ $began" >"$d/main"
}

# Waits until the command has begun, or sees to it that it never will.
await_begin() {
    turns=0
    until [ -s "$d/supervisor" ]; do
        if mkdir -m 700 "$d"; then
            echo "$boot" >"$d/boot"
            refuse absent
        fi
        there=
        if read -r there <"$d/boot" && [ "$there" != "$boot" ]; then refuse rebooted; fi
        turns=$((turns + 1))
        if [ $turns -gt 20 ] && mkdir "$d/begun"; then refuse absent; fi
        [ $turns -le 120 ] || { say g; exit 0; }
        sleep 0.05
    done
    there=
    read -r there <"$d/boot"
    [ "$there" = "$boot" ] || refuse rebooted
}

main() {
    say "b$boot"
    await_begin
    # The first word may have been lost with the former session.
    say "s$boot $d"
    : >"$d/attached"
    exec 3>&1 >/dev/null
    trap '' PIPE
    hang_up
    # Before a hole is told of, behind which nobody listens for it.
    tell_status
    follow o 3 "$had_o" </dev/null &
    follow e 4 "$had_e" </dev/null &
    tell_end </dev/null 3>&- &
    exec 3>&-
    take_over
    taken=0
    [ ! -e "$d/i.pos" ] || { number "$d/i.pos" && taken=$number; }
    if [ -z "$input" ]; then
        say I
    elif [ -e "$d/i.end" ]; then
        # The former session may have ended before it could let go.
        exec 6<>"$d/i.hold"
        say I
    else
        # Without waiting for a reader, and without being one.
        exec 6<>"$d/i" 5>"$d/i" 6>&-
    fi
    say "i$taken"
    feed
}
