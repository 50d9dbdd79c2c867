//! Ctrl-C, SIGTERM and the end of the terminal, on a real daemon.

use rustix::process::Signal;

use crate::bed::{Bed, pair, signal};

const SLOW: &str = "echo begun; sleep 60";

fn stopped_by(sent: Signal) {
    let bed = Bed::with_docker();
    bed.write("encamp.toml", &pair(SLOW));
    let child = bed.start(&["run"]);
    bed.until_ready(2);
    signal(&child, sent);
    let ran = bed.ran(child).exits(130);
    assert!(ran.stderr.contains("stopping; what was made is taken down"), "{ran}");
    assert!(
        ran.stdout.ends_with("· nothing left · results in encamp-out/\n"),
        "{ran}"
    );
    assert!(ran.stdout.contains("interrupted after"), "{ran}");
    bed.nothing_is_left();
    assert_eq!(bed.encamp(&["ls"]).stdout, "no environments\n");
}

#[test]
fn ctrl_c_disposes() {
    stopped_by(Signal::INT);
}

#[test]
fn sigterm_disposes() {
    stopped_by(Signal::TERM);
}

#[test]
fn the_end_of_the_terminal_disposes() {
    stopped_by(Signal::HUP);
}

#[test]
fn up_stops_where_it_stands() {
    let bed = Bed::with_docker();
    let never = pair("true").replace(
        "{ http = \"http\", within = \"30s\" }",
        "{ run = \"false\", within = \"60s\" }",
    );
    bed.write("encamp.toml", &never);
    let child = bed.start(&["up"]);
    while !bed.path().join("state/store.db").exists() || bed.on_daemon().len() < 2 {
        crate::bed::pause();
    }
    signal(&child, Signal::INT);
    let ran = bed.ran(child).exits(130);
    assert!(ran.stderr.contains("stopping where it stands"), "{ran}");
    assert!(
        ran.stdout
            .starts_with("interrupted · web is there and not ready; client does not exist · `encamp up` goes on"),
        "{ran}"
    );
    bed.write("encamp.toml", &pair("true"));
    bed.encamp(&["up", "--yes"]).exits(0);
    bed.encamp(&["down"]).exits(0);
    bed.nothing_is_left();
}

#[test]
fn a_killed_run_is_ended_by_the_next_command() {
    let bed = Bed::with_docker();
    bed.write("encamp.toml", &pair(SLOW));
    let child = bed.start(&["run"]);
    bed.until_ready(2);
    signal(&child, Signal::KILL);
    drop(bed.ran(child));
    let listed = bed.encamp(&["ls"]).exits(0).stdout;
    assert!(listed.contains("overdue: encamp gc"), "{listed}");
    let ran = bed.encamp(&["gc"]).exits(0);
    assert!(ran.stdout.ends_with("1 environment ended · no environments\n"), "{ran}");
    bed.nothing_is_left();
}
