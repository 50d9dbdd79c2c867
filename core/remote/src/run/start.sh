
# One command, apart from this session: what it says goes into files of the run's folder and then to the session, as
# long as there is one. It ends with its status in the file `exit`.

# What a stream says. $1: which, `o` or `e`; $2: the session's descriptor for it. A block goes into a file first and
# then to the session; so what the session did not get is in the file. The last megabytes are kept.
pump() {
    trap '' PIPE
    p=0 f=0 g=0 h=0 live=$2
    : >"$d/$1.0"
    while :; do
        n=$(LC_ALL=C dd bs=65536 count=1 2>&1 >>"$d/$1.$f" 3>&- 4>&-) || { : >"$d/lost"; say "d$1"; break; }
        case $n in
        *byte*)
            n=${n##*out} n=${n%% byte*}
            n=$((n))
            ;;
        # A small dd does not say how much it was.
        *)
            n=$(wc -c <"$d/$1.$f")
            n=$((f + n - p))
            ;;
        esac
        [ "$n" -gt 0 ] || break
        p=$((p + n))
        echo "$p." >"$d/$1.pos"
        [ ! -e "$d/attached" ] || live=
        if [ -n "$live" ]; then
            tail -c "$n" "$d/$1.$f" >&"$live" &
            echo $! >"$d/$1.live"
            if wait $!; then echo "$p." >"$d/$1.sent"; else live=; fi
            : >"$d/$1.live"
        fi
        if [ $((p - f)) -ge "$room" ]; then
            [ "$h" = "$g" ] || rm -f "$d/$1.$h"
            h=$g g=$f f=$p
            : >"$d/$1.$f"
        fi
        [ -n "$live" ] || await_reader "$1"
    done
    : >"$d/$1.end"
    say "$1$p"
}

# Nobody takes what is said: it is kept up to `room`, and the command waits then. After `patience` tenths of a second
# without a step of a reader the rest is thrown away, so that the command can end.
await_reader() {
    tenths=0 before=
    echo waits >"$d/$1.live"
    while [ -d "$d" ]; do
        number "$d/$1.sent" || number=0
        [ $((p - number)) -gt "$room" ] || break
        [ "$number" = "$before" ] || tenths=0
        before=$number tenths=$((tenths + 1))
        if [ $tenths -gt "$patience" ]; then
            : >"$d/lost"
            cat >/dev/null
            break
        fi
        sleep 0.1
    done
    : >"$d/$1.live"
}

# Holds the command's input open, whatever becomes of sessions, until its end is told; and, until the command has it, the
# side that it is read from, so that nobody who writes takes the command for one that does not listen.
hold() {
    until [ -s "$d/pid" ] || [ ! -d "$d" ]; do sleep 0.02; done
    exec 7<&-
    [ -e "$d/i.end" ] || : <"$d/i.hold"
}

supervise() {
    held= from=/dev/null
    if [ -n "$input" ]; then
        hold 3>&- 4>&- &
        held=$!
        from=$d/i
    fi
    exec 5>&- 7<&-
    pump o 3 <"$d/o" &
    pumps=$!
    pump e 4 <"$d/e" &
    pumps="$pumps $!"
    (trap '' PIPE; say "s$boot $d")
    # In the foreground: what a shell has in the background ignores INT and QUIT for ever.
    (
        read -r self rest </proc/self/stat
        began "$self"
        echo "$self $began $self" >"$d/pid"
        launch
    ) <"$from" >"$d/o" 2>"$d/e" 3>&- 4>&-
    code=$?
    trap '' PIPE
    echo "$code" >"$d/exit.new"
    mv "$d/exit.new" "$d/exit"
    [ -z "$held" ] || [ -e "$d/i.end" ] || kill "$held"
    say "x$code"
    exec 3>&-
    leave_behind
}

# The command has ended. What it has left behind may hold its output for ever: after a second without a word nobody
# waits for more.
leave_behind() {
    quiet=0 before=
    while [ -d "$d" ] && { [ ! -e "$d/o.end" ] || [ ! -e "$d/e.end" ]; }; do
        sleep 0.1
        op= ep=
        read -r op <"$d/o.pos"
        read -r ep <"$d/e.pos"
        if [ "$op $ep" = "$before" ] && [ ! -s "$d/o.live" ] && [ ! -s "$d/e.live" ]; then
            quiet=$((quiet + 1))
        else
            quiet=0
        fi
        before="$op $ep"
        [ $quiet -ge 10 ] || continue
        kill $pumps
        for s in o e; do
            [ ! -e "$d/$s.end" ] || continue
            number "$d/$s.pos" || number=0
            : >"$d/$s.end"
            say "$s$number"
        done
    done
}

# Removes what runs have left that nobody asks for any more: they ended, or neither their supervisor nor their command is
# there, for longer than `stale` minutes. A terminal has no supervisor.
sweep() {
    for r in "$base"/encamp-run-*; do
        [ -d "$r" ] && [ ! -L "$r" ] && [ -O "$r" ] || continue
        last=$r/exit
        if [ ! -e "$last" ]; then
            last=$r there=
            read -r there <"$r/boot"
            [ "$there" != "$boot" ] || { ! lives "$r/supervisor" && ! lives "$r/pid"; } || continue
        fi
        [ -n "$(find "$last" -prune -mmin "+$stale")" ] || continue
        [ ! -p "$r/i.hold" ] || (: <>"$r/i.hold")
        rm -rf "$r"
    done
}

main() {
    mkdir -m 700 "$d" || { [ ! -d "$d" ] || refuse taken; refuse "folder $base"; }
    # A disk without room makes files, and writes nothing into them.
    written=
    echo "$boot" >"$d/boot" && read -r written <"$d/boot" && [ "$written" = "$boot" ] && mkfifo "$d/o" "$d/e" || give_up "full $base"
    [ -z "$input" ] || mkfifo "$d/i" "$d/i.hold" || give_up "full $base"
    prepare </dev/null
    # Who opens one side alone waits for the other, which may never come.
    [ -z "$input" ] || exec 6<>"$d/i" 5>"$d/i" 7<"$d/i" 6>&-
    exec 3>&1 >/dev/null
    # Not in the background, for the command's sake, and yet apart: who waits for the supervisor is ended by it.
    (
        (
            # Who was taken for dead before this must not begin any more.
            mkdir "$d/begun" || exit
            read -r self rest </proc/self/stat
            began "$self"
            echo "$self $began" >"$d/supervisor"
            read -r stat </proc/self/stat
            set -- ${stat##*) }
            kill -KILL "$2"
            supervise
        )
        :
    ) </dev/null
    exec 3>&- 7<&-
    began $$
    echo "$$ $began" >"$d/main"
    taken=0
    trap '' PIPE
    [ -z "$stale" ] || (sweep) </dev/null 4>&- &
    feed
}
