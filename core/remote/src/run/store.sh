
# Makes the folder of a command with a terminal; what is to be run there follows.
main() {
    mkdir -m 700 "$d" || refuse "folder $base"
    written=
    echo "$boot" >"$d/boot" && read -r written <"$d/boot" && [ "$written" = "$boot" ] || give_up "full $base"
    prepare </dev/null
    keep || give_up "full $base"
    say "s$boot $d"
}
