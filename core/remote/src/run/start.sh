
# One command, apart from this session: what it says goes into files of the run's folder and then to the session, as
# long as there is one. It ends with its status in the file `exit`.

# What a stream says. $1: which, `o` or `e`; $2: the session's descriptor for it. A block goes into a file first and
# then to the session; so what the session did not get is in the file. The last megabytes are kept.
pump() {
    p=0 f=0 g=0 h=0 live=$2
    : >"$d/$1.0"
    while :; do
        n=$(LC_ALL=C dd bs=65536 count=1 2>&1 >>"$d/$1.$f" 3>&- 4>&-) || { say "d$1"; break; }
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

supervise() {
    if [ -n "$input" ]; then
        # Holds the command's input open, whatever becomes of sessions, until somebody writes to `i.hold`.
        (: <"$d/i.hold") 5>"$d/i" 3>&- 4>&- &
        held=$!
        from=$d/i
    else
        held= from=/dev/null
    fi
    (launch) <"$from" >"$d/o" 2>"$d/e" 3>&- 4>&- &
    pid=$!
    began "$pid"
    echo "$pid $began $pid" >"$d/pid"
    trap '' PIPE
    pump o 3 <"$d/o" &
    pumps=$!
    pump e 4 <"$d/e" &
    pumps="$pumps $!"
    say "s$boot $d"
    wait "$pid"
    code=$?
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

# Removes what runs have left that nobody asks for any more: they ended, or their supervisor is not there, for longer
# than `stale` minutes.
sweep() {
    for r in "$base"/encamp-run-*; do
        [ -d "$r" ] && [ ! -L "$r" ] && [ -O "$r" ] || continue
        last=$r/exit
        if [ ! -e "$last" ]; then
            last=$r there=
            read -r there <"$r/boot"
            [ "$there" != "$boot" ] || ! lives "$r/supervisor" || continue
        fi
        [ -z "$(find "$last" -prune -mmin "+$stale")" ] || rm -rf "$r"
    done
}

main() {
    mkdir -m 700 "$d" || { [ ! -d "$d" ] || refuse taken; refuse "folder $base"; }
    # A disk without room makes files, and writes nothing into them.
    written=
    echo "$boot" >"$d/boot" && read -r written <"$d/boot" && [ "$written" = "$boot" ] && mkfifo "$d/o" "$d/e" || give_up "full $base"
    [ -z "$input" ] || mkfifo "$d/i" "$d/i.hold" || give_up "full $base"
    prepare </dev/null
    exec 3>&1 >/dev/null
    (
        # Who was taken for dead before this must not begin any more.
        mkdir "$d/begun" || exit
        read -r self rest </proc/self/stat
        began "$self"
        echo "$self $began" >"$d/supervisor"
        supervise
    ) </dev/null &
    exec 3>&-
    began $$
    echo "$$ $began" >"$d/main"
    taken=0
    trap '' PIPE
    # Waits until the command has it open. A child that ends meanwhile would interrupt that in some shells.
    [ -z "$input" ] || exec 5>"$d/i"
    [ -z "$stale" ] || (sweep) </dev/null 4>&- &
    feed
}
