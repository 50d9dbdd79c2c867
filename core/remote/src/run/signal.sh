
# Sends `signal` to the group of a command. It may not have begun yet.
main() {
    turns=0
    while :; do
        if [ ! -d "$d" ] || [ -e "$d/exit" ]; then
            say ended
            return
        fi
        most=60
        if lives "$d/pid"; then
            if strike; then
                say sent
                return
            fi
        elif lives "$d/supervisor"; then
            # It is about to begin, or to be told as ended: a busy host takes its time.
            most=400
        fi
        turns=$((turns + 1))
        [ $turns -lt $most ] || refuse signal
        sleep 0.05
    done
}
