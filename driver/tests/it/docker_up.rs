//! `up`, `show`, `logs`, `down` on a real daemon.

use crate::bed::{Bed, pair};

#[test]
fn up_changes_only_what_differs_and_down_leaves_nothing() {
    let bed = Bed::with_docker();
    bed.write("encamp.toml", &pair("true"));
    let first = bed.encamp(&["up"]).exits(0);
    assert!(
        first.stdout.starts_with("ready in [T] · url http://127.0.0.1:"),
        "{first}"
    );
    assert!(
        first
            .stdout
            .contains("· lease until [CLOCK], then the next encamp up, run, down or gc ends it"),
        "{first}"
    );
    assert!(first.stdout.ends_with("· encamp down ends it now\n"), "{first}");

    let listed = bed.encamp(&["ls"]).exits(0).stdout;
    assert!(
        listed.contains("pair   2/2        ready   docker      anna"),
        "{listed}"
    );
    let shown = bed.encamp(&["show"]).exits(0).stdout;
    for line in [
        "pair   ready · from [BED]/encamp.toml · ends [CLOCK]",
        "  client   ready   docker ",
        "http 127.0.0.1:",
        "Outputs url = http://",
    ] {
        assert!(shown.contains(line), "{line}: {shown}");
    }

    let again = bed.encamp(&["up"]).exits(0);
    assert!(again.stderr.contains("pair 2 unchanged"), "{again}");

    let before = bed.on_daemon();
    bed.write("encamp.toml", &pair("true").replace("sleep 600", "sleep 601"));
    let refused = bed.encamp(&["up"]).exits(2);
    for line in [
        "pair   1 unchanged, 1 to replace",
        "  ~ client   docker   replace   command changed (encamp.toml:",
        "  = web",
        "error[E0307]: Replace 1 machine? Nobody can be asked here",
        "  now:   pair is as it was",
        "  help:  encamp up --yes",
    ] {
        assert!(refused.stderr.contains(line), "{line}: {refused}");
    }
    assert_eq!(bed.on_daemon(), before);
    bed.encamp(&["up", "--yes"]).exits(0);
    assert_ne!(bed.on_daemon(), before);

    let down = bed.encamp(&["down"]).exits(0);
    assert_eq!(
        down.stdout,
        "pair   2 machines, 1 network · gone in [T] · nothing left\n"
    );
    bed.nothing_is_left();
    bed.encamp(&["down"]).exits(2);
}

#[test]
fn a_machine_that_is_not_ready_is_explained() {
    let bed = Bed::with_docker();
    bed.write(
        "encamp.toml",
        &pair("true")
            .replace("exec sleep 600", "sleep 1; echo no config >&2; exit 4")
            .replace(
                "env = { WEB",
                "ready = [{ run = \"false\", within = \"20s\" }]\nenv = { WEB",
            ),
    );
    let ran = bed.encamp(&["up"]).exits(3);
    for line in [
        "error[E0414]: client: its process exited 4",
        "while: up pair, client",
        "step ready",
        "no config",
        "now:   web is ready and kept; client",
        "help:  encamp logs client -e pair",
    ] {
        assert!(ran.stderr.contains(line), "{line}: {ran}");
    }
    assert!(
        ran.stdout
            .contains("1 of 2 machines ready after [T] · `encamp up --yes` goes on from here"),
        "{ran}"
    );
    let logs = bed.encamp(&["logs", "client"]).exits(0).stdout;
    assert!(logs.contains("no config"), "{logs}");
}

#[test]
fn a_machine_that_ends_well_is_told_what_it_had_to_do() {
    let bed = Bed::with_docker();
    bed.write(
        "encamp.toml",
        &pair("true")
            .replace("echo waiting; exec sleep 600", "echo done; exit 0")
            // Without one, a machine that was seen running once is ready.
            .replace("env = { WEB", "ready = [{ run = \"false\" }]\nenv = { WEB"),
    );
    let ran = bed.encamp(&["up"]).exits(3);
    for line in [
        "error[E0414]: client: its process ended (exit 0), and a machine has to keep running unless `ready` says \
         `exited = 0`\n",
        "help:  encamp logs client -e pair",
    ] {
        assert!(ran.stderr.contains(line), "{line}: {ran}");
    }
}

#[test]
fn logs_of_several_machines_are_whole_prefixed_lines() {
    let bed = Bed::with_docker();
    bed.write("encamp.toml", &pair("true"));
    bed.encamp(&["up"]).exits(0);
    bed.until("both speak", || bed.encamp(&["logs"]).stdout.lines().count() == 2);
    assert_eq!(
        bed.encamp(&["logs"]).exits(0).stdout,
        "client | waiting\nweb    | serving\n"
    );
    assert_eq!(bed.encamp(&["logs", "web"]).exits(0).stdout, "serving\n");
    assert_eq!(bed.encamp(&["logs", "web", "--tail", "0"]).exits(0).stdout, "");
    let ran = bed.encamp(&["logs", "wbe"]).exits(2);
    assert!(
        ran.stderr.contains("error[E0302]: `pair` has no machine called `wbe`"),
        "{ran}"
    );
}

#[test]
fn a_changed_name_or_another_file_is_refused() {
    let bed = Bed::with_docker();
    bed.write("encamp.toml", &pair("true"));
    bed.encamp(&["up"]).exits(0);
    bed.write("other.toml", &pair("true"));
    let ran = bed.encamp(&["up", "other.toml"]).exits(2);
    assert!(
        ran.stderr
            .contains("error[E0304]: an environment called `pair` is up already, from another file"),
        "{ran}"
    );
    assert!(ran.stderr.contains("it came from: [BED]/encamp.toml"), "{ran}");
}
