# Who has this host: one record in a folder, changed under a lock. Every answer is a line `name value`; `!` begins a
# refusal. What is asked stands in variables, so that it is in nobody's list of processes.

umask 077
PATH=$PATH:/usr/sbin:/sbin
verb=$1
folder=$ENCAMP_FOLDER
if [ -z "$folder" ]; then
    if { [ -O / ] && [ -O /proc/1 ]; } || [ "$(id -u)" = 0 ]; then folder=/var/lib/encamp; else folder=${HOME:?}/.encamp; fi
fi

say() { printf '%s\n' "$*"; }
refuse() { say "!$*"; exit 0; }

read -r boot </proc/sys/kernel/random/boot_id || boot=none

clock() { now=$(date +%s); }

# Whether file $1 holds the lines $2. Nothing is started for it, as almost everything here costs a host more than it does.
holds() {
    text=
    while IFS= read -r line; do text="$text$line
"; done <"$1"
    [ "$text" = "$2
" ]
} 2>/dev/null

# Waits $1 tenths of a second at most; not every `flock` can.
lock() {
    tenths=0
    until flock -n 9; do
        tenths=$((tenths + 1))
        [ $tenths -le "$1" ] || return 1
        sleep 0.1
    done
}

# The folder, its own id by which processes of its claims are known, and the lock. Descriptor 9 is the lock.
enter() {
    command -v flock >/dev/null || refuse "unsupported the host has no flock"
    # What was begun goes on where nobody listens any more.
    trap '' HUP PIPE
    [ -d "$folder/gone" ] || mkdir -p "$folder/gone" 2>/dev/null || refuse "folder $folder"
    # A failed redirection of `exec` would end this shell without a word.
    true 2>/dev/null >>"$folder/lock" || refuse "folder $folder"
    exec 9>>"$folder/lock"
    lock 200 || refuse "busy"
    clock
    if ! read -r id 2>/dev/null <"$folder/id"; then
        # It can be written, as the lock was: what fails now is the disk.
        id=$(od -An -N8 -tx1 /dev/urandom | tr -d ' \n')
        [ -n "$id" ] && say "$id" >"$folder/id.new" && mv "$folder/id.new" "$folder/id" || refuse "full $folder"
    fi
}

# --- the record -------------------------------------------------------------------------------------------------------

read_record() {
    epoch=0 state=free key= token= expires= grace= labels= identity= since= whole=yes
    [ -e "$folder/record" ] || return 0
    whole=
    while read -r name value; do
        case $name in
        epoch) epoch=$value ;;
        state) state=$value ;;
        key) key=$value ;;
        token) token=$value ;;
        expires) expires=$value ;;
        grace) grace=$value ;;
        labels) labels=$value ;;
        identity) identity=$value ;;
        since) since=$value ;;
        end) whole=yes ;;
        esac
    done <"$folder/record"
    [ -n "$whole" ] || refuse "quarantined the record $folder/record is not whole"
}

tell_record() {
    say "epoch $epoch"
    say "state $state"
    say "key $key"
    say "token $token"
    say "expires $expires"
    say "grace $grace"
    say "labels $labels"
    say "identity $identity"
    say "since $since"
}

# Either the old one or the new one is there, whatever happens, and after a power cut as well; so are the files that it
# speaks for, if there are any.
put_record() {
    { tell_record; say end; } >"$folder/record.new" 2>/dev/null
    last=
    while read -r line; do last=$line; done <"$folder/record.new"
    [ "$last" = end ] || return 1
    sync "$folder/record.new" "$@" 2>/dev/null || sync
    mv "$folder/record.new" "$folder/record"
} 2>/dev/null

write_record() { put_record || refuse "full $folder"; }

# --- the place that is kept for an environment ---------------------------------------------------------------------------

# For whose claims it is kept, as what their keys begin with, and until when. Nothing once that is over.
read_reservation() {
    owner= until=0
    [ -e "$folder/reserved" ] || return 0
    read -r owner until <"$folder/reserved"
    [ "${until:-0}" -gt "$now" ] || owner=
}

# Whether it is kept for somebody else than the one whose key or owner $1 is.
is_reserved() {
    read_reservation
    case $1 in "$owner"*) return 1 ;; esac
}

# --- what a claim has started -----------------------------------------------------------------------------------------

# Where processes of claims are held together, if this user may make control groups.
group() {
    while read -r _ at type _; do
        if [ "$type" = cgroup2 ] && [ -w "$at" ]; then
            group=$at/encamp-$id
            return
        fi
    done </proc/mounts
}

# Ends everything that any claim of this folder has started, and looks whether that is so.
kill_all() {
    group=
    group
    turns=0 quiet=0
    while :; do
        left=
        if [ -n "$group" ] && [ -d "$group" ]; then
            # What a claim has made below its own comes first.
            for g in $(find "$group" -mindepth 1 -depth -type d); do
                if [ -w "$g/cgroup.kill" ]; then
                    echo 1 >"$g/cgroup.kill"
                else
                    while read -r p; do kill -KILL "$p"; done <"$g/cgroup.procs"
                fi
                if read -r p <"$g/cgroup.procs"; then left=$p; else rmdir "$g"; fi
            done
        fi
        for path in $(grep -lsF "ENCAMP_CLAIM=$id:" /proc/[0-9]*/environ); do
            p=${path#/proc/}
            p=${p%/environ}
            kill -KILL "$p" && left=$p
        done
        quiet=$((quiet + 1))
        [ -z "$left" ] || quiet=0
        # What is about to run another program shows no variables for a moment; a group knows it all the same.
        [ $quiet -lt 5 ] && { [ -z "$group" ] || [ $quiet = 0 ]; } || break
        turns=$((turns + 1))
        if [ $turns -gt 200 ]; then
            why="the process $left does not end"
            return 1
        fi
        sleep 0.05
    done
    [ -z "$group" ] || rmdir "$group"
    return 0
} 2>/dev/null

# What the holder before has asked to be done when it goes.
reset() {
    limit=
    if command -v timeout >/dev/null; then limit="timeout -s KILL 300"; fi
    (trap - HUP PIPE; exec $limit sh "$folder/reset" </dev/null >"$folder/reset.log" 2>&1 9>&-)
    code=$?
    [ $code != 0 ] || return 0
    why="its reset exited $code: $(tail -n 1 "$folder/reset.log" | tr -c '[:print:]\n' '?' | cut -c 1-200)"
    return 1
}

# Makes the host as it was before its last claim. Also where that claim, or an earlier attempt at this, was cut off.
clean() {
    kill_all || return 1
    if [ -s "$folder/reset" ]; then
        reset || return 1
        kill_all || return 1
    fi
    if ! rm -rf "$folder/work" "$folder/env" "$folder/reset"; then
        why="$folder/work cannot be removed"
        return 1
    fi
}

# Whether the last claim was let go and has left the host so.
is_clean() {
    [ "$state" = free ] && read -r cleaned <"$folder/clean" && [ "$cleaned" = "$epoch" ]
} 2>/dev/null

quarantine() {
    say "$why" >"$folder/quarantine"
    state=free key= token= expires= labels= identity=
    write_record
}

is_over() {
    [ -n "$expires" ] && [ $((expires + ${grace:-0})) -le "$now" ]
}

let_go() {
    state=releasing
    # A disk that the machine has filled has room once the host is clean.
    put_record || :
    if clean; then
        say "$epoch" >"$folder/clean"
        state=free key= token= expires= labels= identity=
        write_record
        return 0
    fi
    quarantine
    return 1
}

# --- the claim that ends by itself ------------------------------------------------------------------------------------

# Stays behind, and takes the host back when its claim is over.
watch() {
    trap '' HUP
    while :; do
        sleep 5
        read_record >/dev/null
        [ "$epoch" = "$1" ] && [ "$state" = claimed ] || exit 0
        clock
        is_over || continue
        # A failed redirection of `exec` would end this shell.
        true 2>/dev/null >>"$folder/lock" || continue
        exec 9>>"$folder/lock"
        lock 600 || continue
        read_record
        if [ "$epoch" = "$1" ] && [ "$state" = claimed ] && is_over; then
            let_go
            exit 0
        fi
        exec 9>&-
    done
}

# One of them a claim; none where it is there already.
ensure_watch() {
    [ -n "$expires" ] || return 0
    if read -r p e 2>/dev/null <"$folder/watch" && [ "$e" = "$epoch:$boot" ] && kill -0 "$p" 2>/dev/null; then return 0; fi
    (watch "$epoch") </dev/null >/dev/null 2>&1 9>&- &
    say "$! $epoch:$boot" >"$folder/watch"
}

# --- the verbs --------------------------------------------------------------------------------------------------------

# What does not change from one moment to the next, for who looks for a host. It takes many processes to say.
facts() {
    say "cpus $(grep -c ^processor /proc/cpuinfo)"
    while read -r name value _; do
        if [ "$name" = MemTotal: ]; then
            say "memory_kib $value"
            break
        fi
    done </proc/meminfo
    set -- $(uname -sm)
    say "os $1"
    say "arch $2"
    at=$folder
    while [ ! -d "$at" ]; do at=${at%/*} at=${at:-/}; done
    say "disk_kib $(df -Pk "$at" | { read -r _; read -r _ _ _ free _; say "$free"; })"
}

look() {
    clock
    say "now $now"
    command -v flock >/dev/null || say "lacks flock"
    say "folder $folder"
    if [ -e "$folder/quarantine" ]; then
        read -r why <"$folder/quarantine"
        say "quarantine $why"
    fi
    read_record
    tell_record
    read_reservation
    [ -z "$owner" ] || say "reserved $until $owner"
}

# A look for who sees to the host itself.
examine() {
    look
    [ -d /run/systemd/system ] || return 0
    logind() {
        busctl --timeout=3 get-property org.freedesktop.login1 /org/freedesktop/login1 org.freedesktop.login1.Manager "$1"
    }
    user=$(id -un)
    # Root is spared where nobody is named; whom it is about alone decides before whether it is so at all.
    case $user:$(logind KillExcludeUsers) in
    *"\"$user\""* | "root:as 0") return 0 ;;
    esac
    case $(logind KillOnlyUsers) in
    "" | "as 0") [ "$(logind KillUserProcesses)" = "b true" ] || return 0 ;;
    *"\"$user\""*) ;;
    *) return 0 ;;
    esac
    say "logout kills"
}

# A place is taken where somebody has it, but for those of the same environment that go.
reserve() {
    enter
    read_reservation
    if [ "$ENCAMP_SPAN" = 0 ]; then
        [ "$owner" != "$ENCAMP_OWNER" ] || true >"$folder/reserved"
        say reserved
        exit 0
    fi
    refuse_quarantined
    is_reserved "$ENCAMP_OWNER" && refuse "reserved $until $owner"
    read_record
    case $key in
    "" | "$ENCAMP_OWNER"*) ;;
    *) is_over || refuse "held ${expires:--} $key" ;;
    esac
    # Half of it is a time that is over.
    say "$ENCAMP_OWNER $((now + ENCAMP_SPAN))" >"$folder/reserved" || refuse "full $folder"
    say reserved
}

status() {
    facts
    look
}

# Nobody has the host again: what is refused has not happened.
undo() {
    rm -rf "$folder/work" "$folder/env" "$folder/reset"
    state=free key= token= expires= labels= identity=
    put_record || refuse "halfway $folder"
    refuse "full $folder"
}

refuse_quarantined() {
    [ -e "$folder/quarantine" ] || return 0
    read -r why <"$folder/quarantine"
    refuse "quarantined $why"
}

claim() {
    enter
    [ ! -e "$folder/gone/$ENCAMP_KEY" ] || refuse "gone"
    refuse_quarantined
    read_record
    case $state in
    claimed | claiming)
        if [ "$key" = "$ENCAMP_KEY" ]; then
            [ "$identity" = "$ENCAMP_IDENTITY" ] && [ "$token" = "$ENCAMP_TOKEN" ] || refuse "conflict"
            if [ "$state" = claimed ]; then
                ensure_watch
                say "folder $folder"
                say "adopted $epoch"
                exit 0
            fi
        elif ! is_over; then
            refuse "held ${expires:--} $key"
        fi
        ;;
    esac
    is_reserved "$ENCAMP_KEY" && refuse "reserved $until $owner"
    is_clean || cleaned=
    true >"$folder/clean"
    epoch=$((epoch + 1))
    state=claiming key=$ENCAMP_KEY token=$ENCAMP_TOKEN
    expires=$ENCAMP_EXPIRES grace=$ENCAMP_GRACE labels=$ENCAMP_LABELS identity=$ENCAMP_IDENTITY since=$now
    write_record
    if [ -z "$cleaned" ] && ! clean; then
        quarantine
        refuse "quarantined $why"
    fi
    set -- "$folder"/gone/*
    [ $# -le 100 ] || find "$folder/gone" -type f -mmin +1440 -exec rm -f {} + 2>/dev/null
    mkdir "$folder/work" 2>/dev/null && say "$ENCAMP_ENV" >"$folder/env" &&
        { [ -z "$ENCAMP_RESET" ] || say "$ENCAMP_RESET" >"$folder/reset"; } && put_guard || undo
    state=claimed
    set -- "$folder/env" "$folder/guard"
    [ -z "$ENCAMP_RESET" ] || set -- "$@" "$folder/reset"
    put_record "$@" || undo
    true >"$folder/reserved"
    ensure_watch
    say "folder $folder"
    say "claimed $epoch"
}

# What carries another stamp under the same key is not ours to change.
ours() {
    [ "$key" = "$ENCAMP_KEY" ] || return 1
    [ "$identity" = "$ENCAMP_IDENTITY" ] || refuse "conflict"
}

# A claim of this key that is still under way comes too late from now on.
refuse_later() { true >"$folder/gone/$ENCAMP_KEY"; } 2>/dev/null

release() {
    enter
    read_record
    is_ours=yes
    ours || is_ours=
    # Who asks again has not heard what came of it.
    why=
    [ ! -e "$folder/gone/$ENCAMP_KEY" ] || [ ! -e "$folder/quarantine" ] || read -r why <"$folder/quarantine"
    refuse_later || [ -n "$is_ours" ] || refuse "full $folder"
    [ -z "$is_ours" ] || let_go || :
    refuse_later || refuse "full $folder"
    say "gone${why:+ $why}"
}

renew() {
    enter
    read_record
    ours || refuse "absent"
    expires=$ENCAMP_EXPIRES
    write_record
    ensure_watch
    say "renewed $expires"
}

put_guard() {
    ! holds "$folder/guard" "$guard" || return 0
    say "$guard" >"$folder/guard.new" && holds "$folder/guard.new" "$guard" && mv "$folder/guard.new" "$folder/guard"
}

guard='# Lets a command of one claim through, as long as that claim stands: `guard EPOCH COMMAND…`.
folder=${0%/*}
if [ "$1" != -- ]; then
    refuse() { echo "encamp-guard: $1" >&2; exit 254; }
    true 2>/dev/null <"$folder/lock" || refuse "the claim is not there any more"
    exec 9<"$folder/lock"
    turns=0
    until flock -n -s 9; do
        turns=$((turns + 1))
        [ $turns -le 600 ] || refuse "the host is busy"
        sleep 0.1
    done
    epoch= state=
    while read -r name value; do
        case $name in
        epoch) epoch=$value ;;
        state) state=$value ;;
        esac
    done <"$folder/record"
    [ "$epoch" = "$1" ] || refuse "the host was claimed again: claim $epoch stands, and this is one of claim $1"
    [ "$state" = claimed ] || refuse "the host was given back: claim $1 is over"
    read -r id <"$folder/id"
    {
        while read -r _ at type _; do
            if [ "$type" = cgroup2 ] && [ -w "$at" ]; then
                mkdir -p "$at/encamp-$id/$epoch" && echo $$ >"$at/encamp-$id/$epoch/cgroup.procs"
                break
            fi
        done </proc/mounts
    } 2>/dev/null
    shift
    # By its variable a process is known as one of this claim, from here on; until then the lock is held.
    ENCAMP_CLAIM=$id:$epoch exec sh "$0" -- "$@"
fi
exec 9<&-
shift
. "$folder/env"
cd "$folder/work" || exit 254
exec "$@"'

case $verb in
status | look | examine | reserve | claim | release | renew) "$verb" ;;
esac
