# Signals every process of one command: $1 its mark, $2 the signal.
# Only builtins, because an image may have nothing but a shell. Children inherit the mark; a child that dropped it
# is known by its session or its parent. A process of another user may not be looked into without privileges:
# its owner is told, and the caller asks again as that user.
mark=$1 sig=$2

carries() {
  while IFS= read -r text || [ -n "$text" ]; do
    case $text in *"$mark"*) return 0 ;; esac
  done <"/proc/$1/environ"
  return 1
}

look() {
  mine=' ' sessions=' ' all= unseen=
  for dir in /proc/[0-9]*; do
    pid=${dir#/proc/}
    [ "$pid" = "$$" ] && continue
    { read -r line <"$dir/stat"; } 2>/dev/null || continue
    line=${line##*) }
    set -- $line
    case $1 in Z | X) continue ;; esac
    all="$all $pid:$2:$4"
    if { true <"$dir/environ"; } 2>/dev/null; then
      if carries "$pid" 2>/dev/null; then
        mine="$mine$pid "
        [ "$4" -gt 1 ] && sessions="$sessions$4 "
      fi
    else
      unseen="$unseen $pid"
    fi
  done
  more=1
  while [ -n "$more" ]; do
    more=
    for one in $all; do
      pid=${one%%:*} rest=${one#*:}
      case $mine in *" $pid "*) continue ;; esac
      hit=
      case $mine in *" ${rest%%:*} "*) hit=1 ;; esac
      case $sessions in *" ${rest#*:} "*) hit=1 ;; esac
      if [ -n "$hit" ]; then
        mine="$mine$pid " more=1
        [ "${rest#*:}" -gt 1 ] && sessions="$sessions${rest#*:} "
      fi
    done
  done
}

owner() {
  uid= gid=
  while read -r key value _; do
    case $key in Uid:) uid=$value ;; Gid:) gid=$value ;; esac
  done <"/proc/$1/status"
  [ -n "$gid" ] && echo "owner $uid:$gid"
}

uptime() { { read -r up _ </proc/uptime; } 2>/dev/null && up=${up%%.*}; }

round=0 end=0 found=
uptime && end=$((up + 10))
while look && [ "$mine" != ' ' ]; do
  reached= found=1
  for pid in $mine; do
    kill -s "$sig" "$pid" 2>/dev/null && reached=1
  done
  [ "$sig" = KILL ] || break
  round=$((round + 1))
  [ "$round" -lt 30 ] && continue
  # What was reached ends, but on a busy host not at once; what was not is another user's.
  [ -n "$reached" ] && uptime && [ "$up" -lt "$end" ] || break
  # The processor is theirs meanwhile, where the image has this.
  sleep 0.05 2>/dev/null
done
left=0
if [ "$sig" = KILL ]; then
  for pid in $mine; do left=$((left + 1)); done
fi
for pid in $unseen; do
  case $mine in *" $pid "*) [ "$left" -gt 0 ] || continue ;; esac
  owner "$pid" 2>/dev/null
done
[ -z "$found" ] || echo found
echo "left $left"
