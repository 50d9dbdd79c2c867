
# Sends `signal` to the group of a command. It may not have begun yet.
main() {
    turns=0
    while :; do
        if [ ! -d "$d" ] || [ -e "$d/exit" ]; then
            say ended
            return
        fi
        if lives "$d/pid" && strike; then
            say sent
            return
        fi
        turns=$((turns + 1))
        [ $turns -lt 60 ] || refuse signal
        sleep 0.05
    done
}
