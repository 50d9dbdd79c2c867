
# What the other side says on standard input: `i<n>` and n bytes of input, `e` the end of input, `q` all is received.
# Between `busy` and `idle` a block is on its way to the command, and this process must not be killed.
feed() {
    file=$d/i.$$ deaf=
    echo idle >"$d/m.state"
    while IFS= read -r line; do
        case $line in
        i*)
            n=${line#i}
            dd bs="$n" count=1 iflag=fullblock of="$file" || return
            [ "$(wc -c <"$file")" -eq "$n" ] || return
            echo busy >"$d/m.state"
            [ -n "$deaf" ] || cat "$file" >&5 || deaf=yes
            taken=$((taken + n))
            echo "$taken." >"$d/i.pos"
            echo idle >"$d/m.state"
            if [ -n "$deaf" ]; then say c; else say "i$taken"; fi
            ;;
        e)
            if [ ! -e "$d/i.end" ]; then
                : >"$d/i.end"
                exec 5>&- 6<>"$d/i.hold"
            fi
            ;;
        q)
            rm -rf "$d"
            exit 0
            ;;
        esac
    done
}
