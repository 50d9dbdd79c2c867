# Runs the words of this script until they end, or until nobody holds its standard input open any more, however whoever
# did has ended.
command -v "$1" >/dev/null || exit 127
exec 3<&0
"$@" </dev/null 3<&- &
held=$!
exec 2>/dev/null
(
    while read -r line; do :; done
    kill "$held"
    # It is this one that is ended where that was enough.
    sleep 1
    kill -KILL "$held"
) <&3 3<&- &
watch=$!
exec 3<&- </dev/null
wait "$held"
code=$?
kill "$watch"
exit "$code"
