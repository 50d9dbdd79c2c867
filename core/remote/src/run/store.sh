
# Makes the folder of a command with a terminal; what is to be run there follows. A former session may have made it whose
# answer did not arrive.
main() {
    mkdir -m 700 "$d" || { [ -d "$d" ] && [ ! -L "$d" ] && [ -O "$d" ]; } || refuse "folder $base"
    written=
    echo "$boot" >"$d/boot" && read -r written <"$d/boot" && [ "$written" = "$boot" ] || give_up "full $base"
    prepare </dev/null
    keep || give_up "full $base"
    # Where nobody listens any more nobody runs it either.
    trap '' PIPE
    say "s$boot $d" || rm -rf "$d"
}
