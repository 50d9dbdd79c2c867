//! Processes in machines that die, or will not.

use std::time::Duration;

use crate::daemon::processes;
use crate::files::{single, with_task};
use crate::installation::Installation;

#[test]
fn crash_dying_machine_fails_at_once() {
    let installation = Installation::new();
    let dying = "docker.command = ['sh', '-c', 'echo opened the store; sleep 1; echo no room for the log >&2; exit 3']\n\
                 ready = [{ run = 'false', within = '90s' }]";
    let text = single("dying").replace("docker.command = [\"sleep\", \"1800\"]", dying);
    let file = installation.write("dying.toml", &text);
    for verb in ["run", "up"] {
        let ended = installation.call(&[verb, &file]).end();
        assert_eq!(ended.code(), Some(3), "{ended}");
        assert!(ended.took < Duration::from_secs(20), "{ended}");
        for said in [
            "exited 3",
            "m on `docker`",
            "opened the store",
            "no room for the log",
            "encamp ",
        ] {
            assert!(ended.said().contains(said), "`{said}` is missing: {ended}");
        }
    }
    installation.down("dying");
    installation.is_empty();
}

/// What is started in the background ignores the signal, and one of it has left the session.
const STUBBORN: &str = "trap '' TERM\nsleep 1201 &\nsetsid sleep 1202 &\n(sleep 1203 & sleep 1204) &\nsleep 1205";

#[test]
fn crash_task_timeout_leaves_no_process() {
    let installation = Installation::new();
    let file = installation.write("slow.toml", &with_task("slow", "1s", STUBBORN));
    let ended = installation.call(&["run", "--keep", &file]).end();
    assert_eq!(ended.code(), Some(1), "{ended}");
    assert!(ended.said().contains("1s"), "{ended}");

    let machine = installation.machine("m").unwrap_or_else(|error| panic!("{error}"));
    assert_eq!(processes(&machine.id), ["sleep 1800"], "{ended}");
    let environments = installation.environments();
    let [kept] = &environments[..] else {
        panic!("{environments:#?}")
    };
    installation.down(kept["name"].as_str().expect("it has a name"));
    installation.is_empty();
}
