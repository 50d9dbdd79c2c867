//! The places where the crash suite kills the program.

use std::os::unix::process::ExitStatusExt;

use crate::bed::{Bed, pair};

#[test]
fn the_program_is_killed_where_it_is_told_and_not_before() {
    let bed = Bed::new();
    bed.write("encamp.toml", &pair("true"));
    let mut command = bed.command(&["run"]);
    command.env("DOCKER_HOST", "unix:///nonexistent");
    command.env("ENCAMP__FAILPOINT", "commit.take.environment.before");
    command.env("ENCAMP__FAILPOINT_TRACE", bed.path().join("trace"));
    assert_eq!(command.output().unwrap().status.signal(), Some(9));
    let reached = [
        "commit.found.environment.before",
        "commit.found.environment.after",
        "commit.take.environment.before",
    ];
    assert_eq!(bed.read("trace").lines().collect::<Vec<_>>(), reached);
}

#[test]
fn a_time_can_be_given() {
    let bed = Bed::with_docker();
    bed.write("encamp.toml", &pair("true").replace("junit = [\"report.xml\"]\n", ""));
    let ended = |failpoint: &str| {
        let mut command = bed.command(&["run"]);
        let status = command.env("ENCAMP__FAILPOINT", failpoint).output().unwrap().status;
        (status.signal(), status.code())
    };
    assert_eq!(ended("send.create.client.after"), (Some(9), None));
    assert_eq!(ended("send.create.web.before@1"), (Some(9), None));
    // What the killed ones left is settled by sending it again, which counts as well.
    bed.encamp(&["gc"]).exits(0);
    assert_eq!(ended("send.create.web.before@2"), (None, Some(0)));
    bed.nothing_is_left();
}

#[test]
fn a_stop_that_dies_half_way_leaves_a_machine_that_nobody_replaces() {
    let bed = Bed::with_docker();
    bed.write("encamp.toml", &pair("true"));
    bed.encamp(&["up"]).exits(0);
    let before = bed.on_daemon();
    for (verb, point) in [
        ("stop", "send.stop.web.before"),
        ("stop", "send.stop.web.after"),
        ("start", "send.start.web.before"),
        ("start", "send.start.web.after"),
    ] {
        let mut command = bed.command(&[verb, "web"]);
        command.env("ENCAMP__FAILPOINT", point);
        assert_eq!(command.output().unwrap().status.signal(), Some(9), "{point}");
        let planned = bed.encamp(&["plan"]).exits(0).stdout;
        assert!(planned.starts_with("pair   2 unchanged\n"), "{point}: {planned}");
    }
    bed.encamp(&["start", "web"]).exits(0);
    assert_eq!(bed.on_daemon(), before);
    assert!(bed.encamp(&["ls"]).stdout.contains("pair   2/2        ready"));
}
