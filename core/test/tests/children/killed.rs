//! A test program that is killed.

use std::io::{BufRead, BufReader};
use std::os::unix::process::ExitStatusExt;
use std::process::Child;

use rustix::process::{Pid, Signal, kill_process};

use crate::bed::{Bed, WITHIN, ended};

/// Waits for a line of a child. It may go on to speak.
#[track_caller]
fn wait_for(child: &mut Child, wanted: &str) {
    let out = child.stdout.take().expect("its output is piped");
    let mut lines = BufReader::new(out).lines().map_while(Result::ok);
    assert!(lines.any(|line| line == wanted), "the child does not say `{wanted}`");
    std::thread::spawn(move || lines.for_each(drop));
}

#[test]
fn a_killed_test_program_leaves_nothing() {
    for signal in [Signal::KILL, Signal::INT] {
        let bed = Bed::new();
        let mut command = bed.command("scenes::a_child_plays_its_scene", "killed");
        let mut child = command.arg("--nocapture").spawn().expect("it can be started");
        wait_for(&mut child, "ready");
        bed.works(2);
        kill_process(Pid::from_child(&child), signal).expect("it can be signalled");
        assert_eq!(ended(&mut child).signal(), Some(signal.as_raw()));
        bed.is_empty_within(WITHIN);
    }
}
