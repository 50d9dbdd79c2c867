# What every script of a run begins with. `id` is set in front of it.
mask=$(umask)
umask 077
exec 4>&2 2>/dev/null

# A word to the other side, in the middle of the session's standard error.
say() { printf '\036encamp-%s:%s\036' "$id" "$1" >&4; }
refuse() { say "!$1"; exit 0; }
give_up() { rm -rf "$d"; refuse "$1"; }

base=${XDG_RUNTIME_DIR:-/tmp}
[ -d "$base" ] && [ -w "$base" ] || base=/tmp
d=$base/encamp-run-$id
read -r boot </proc/sys/kernel/random/boot_id || boot=none

# When process $1 began, so that a number that has passed on to another process means nobody.
began() {
    began=
    read -r stat <"/proc/$1/stat" || return 1
    set -- ${stat##*) }
    shift 19
    began=$1
}

# Whether the process that file $1 names, by number and beginning, lives.
lives() {
    pid= then= group=
    read -r pid then group <"$1" || return 1
    began "$pid" && [ "$began" = "$then" ]
}

# A number that is written with a full stop behind it, so that half of it is none.
number() {
    read -r number <"$1" || return 1
    case $number in
    *.) number=${number%.} ;;
    *) return 1 ;;
    esac
}
