# A menu: each entry is one command. `tests/run` is what a change must pass.

features := "--workspace --all-features --locked"

_menu:
    @{{just_executable()}} --list --unsorted

# does it compile
check:
    cargo check {{features}} --all-targets

# all tests but those in documentation; `just test -E 'package(encamp-file)'` for some
[positional-arguments]
test *args:
    cargo nextest run {{features}} "$@"

# format everything
fmt:
    cargo fmt --all

# all lints, as errors
lint:
    cargo clippy {{features}} --all-targets -- -D warnings

# documentation of our crates
doc:
    RUSTDOCFLAGS=-Dwarnings cargo doc {{features}} --no-deps

# dependencies: doubles, bans, licences, sources
deny:
    cargo deny --workspace --all-features --locked check bans licenses sources

# known vulnerabilities; fetches the advisory database, which `tests/run` does not
advisories:
    cargo deny --workspace --all-features --locked check advisories

# Docker and the images of the examples, to work with
up:
    tests/parts/parts up

# stops what `just up` started
down:
    tests/parts/parts down

# everything that a change must pass
all:
    tests/run
