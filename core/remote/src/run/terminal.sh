
# One command with a terminal. It ends with its session.
d=${0%/*}
read -r boot <"$d/boot"
say() { printf '\036encamp-%s:%s\036' "$id" "$1"; }
# A client that has no terminal itself asks for one without any modes.
stty sane rows "$rows" cols "$cols" 2>/dev/null
tty >"$d/tty" 2>/dev/null
read -r stat <"/proc/$$/stat"
set -- ${stat##*) }
group=$3
shift 19
echo "$$ $1 $group" >"$d/pid"
# A handler, and not ignored: the command gets its defaults back. A terminal that is gone ends this process, the leader
# of the session, and with it everything in the foreground.
trap : INT QUIT TERM
say "s$boot $d"
(launch)
code=$?
rm -rf "$d"
say "x$code"
