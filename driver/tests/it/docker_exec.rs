//! `encamp exec` on a real daemon: only the command's own output, its status, its signals.

use std::process::Stdio;

use rustix::process::Signal;

use crate::bed::{Bed, pair, pause, signal};

fn up() -> Bed {
    let bed = Bed::with_docker();
    bed.write("encamp.toml", &pair("true"));
    bed.encamp(&["up"]).exits(0);
    bed
}

fn exec(bed: &Bed, script: &str) -> crate::bed::Ran {
    bed.encamp(&["exec", "client", "--", "sh", "-c", script])
}

#[test]
fn output_status_and_input_pass() {
    let bed = up();
    let ran = exec(&bed, "echo out; echo err >&2; exit 7").exits(7);
    assert_eq!((ran.stdout.as_str(), ran.stderr.as_str()), ("out\n", "err\n"));
    exec(&bed, "kill -KILL $$").exits(137);
    let unknown = bed.encamp(&["exec", "client", "--", "no-such-command"]);
    assert!(
        [126, 127].contains(&unknown.code) && unknown.stdout.is_empty(),
        "{unknown}"
    );

    let input = vec![b'x'; 200_000];
    let ran = bed
        .encamp_with_input(&["exec", "client", "--", "wc", "-c"], &input)
        .exits(0);
    assert_eq!(ran.stdout, "200000\n");

    let arguments = [
        "exec",
        "client",
        "--env",
        "A=b c",
        "--cwd",
        "/tmp",
        "--user",
        "nobody",
        "--",
        "sh",
        "-c",
        "echo $A; pwd; id -un",
    ];
    assert_eq!(bed.encamp(&arguments).exits(0).stdout, "b c\n/tmp\nnobody\n");
}

#[test]
fn a_failure_names_the_environment_as_people_do() {
    let bed = up();
    bed.encamp(&["stop", "client", "--grace", "0s"]).exits(0);
    let ran = bed.encamp(&["exec", "client", "--", "true"]).exits(3);
    assert!(ran.stderr.contains("  while: exec pair, client on `docker`"), "{ran}");
    let ran = bed.encamp(&["exec", "client", "--json", "--", "true"]).exits(3);
    let said: serde_json::Value = serde_json::from_str(&ran.stdout).unwrap();
    assert_eq!(said["errors"][0]["environment"], "pair", "{ran}");
}

#[test]
fn programs_get_lines_and_the_exit() {
    let bed = up();
    let ran = bed
        .encamp(&["exec", "client", "--json", "--", "sh", "-c", "echo out; exit 3"])
        .exits(3);
    let events: Vec<serde_json::Value> = ran
        .stdout
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    assert_eq!(
        (events[0]["stream"].as_str(), events[0]["line"].as_str()),
        (Some("stdout"), Some("out")),
        "{ran}"
    );
    assert_eq!(events[1]["exit"]["code"], 3, "{ran}");
}

#[test]
fn signals_reach_the_command() {
    let bed = up();
    let script = "trap 'echo got TERM; exit 9' TERM; echo begun >/tmp/begun; while :; do sleep 0.1; done";
    let child = bed.start(&["exec", "client", "--", "sh", "-c", script]);
    while exec(&bed, "cat /tmp/begun").code != 0 {
        pause();
    }
    signal(&child, Signal::TERM);
    let ran = bed.ran(child).exits(9);
    assert_eq!(ran.stdout, "got TERM\n");
}

#[test]
fn an_output_that_nobody_reads_ends_the_command() {
    let bed = up();
    let mut command = bed.command(&["exec", "client", "--", "yes"]);
    let mut child = command.stdout(Stdio::piped()).spawn().unwrap();
    drop(child.stdout.take());
    assert_eq!(child.wait().unwrap().code(), Some(141));
    let mut processes = exec(&bed, "ps").stdout;
    while processes.contains(" yes") {
        pause();
        processes = exec(&bed, "ps").stdout;
    }
}

#[test]
fn what_cannot_be_run_is_told_in_words() {
    let bed = Bed::with_docker();
    let group = pair("true").replace("[machines.client]", "[machines.client]\ncount = 2");
    bed.write("encamp.toml", &group.replace("on = \"client\"", "on = \"client-0\""));
    bed.encamp(&["up"]).exits(0);
    let exec = |arguments: &[&str]| bed.encamp(&[&["exec", "web"], arguments].concat());
    for (arguments, said) in [
        (
            ["--", "nothere", "x"].as_slice(),
            "the machine has no command `nothere` (OCI runtime exec failed",
        ),
        (
            &["--cwd", "/nowhere", "--", "true"],
            "the machine has no folder `/nowhere` to run in (",
        ),
        (
            &["--user", "nobodyhere", "--", "true"],
            "the machine knows no user `nobodyhere` (",
        ),
        (&["--", "/etc/passwd"], "`/etc/passwd` cannot be run: it is no program"),
        (
            &["--", "sh", "-c", "echo hello >/go && chmod +x /go && exec env /go"],
            "hello",
        ),
        (&["--", "/go"], "`/go` cannot be run: it has no line `#!`"),
    ] {
        let ran = exec(arguments);
        let ours = ran.stderr.starts_with(said) && ran.code != 0;
        // A shell that is asked to runs what has no such line, and says nothing of it.
        assert!(ours || said == "hello", "{said}: {ran}");
    }
    let of_group = bed.encamp(&["exec", "client", "--", "true"]).exits(2);
    for part in ["`client` is a group", "its machines: client-0 and client-1"] {
        assert!(of_group.stderr.contains(part), "{part}: {of_group}");
    }
    // Without names it is all of them.
    let ran = bed.encamp(&["stop", "--grace", "0s"]).exits(0);
    assert!(ran.stdout.contains("3 of 3 machines stopped"), "{ran}");
    let state = bed.path().join("state");
    let flag = format!("--state {}", state.display());
    let ran = exec(&["--state", state.to_str().unwrap(), "--", "true"]).exits(3);
    assert!(
        ran.stderr.contains(&format!(
            "  help:  encamp start {} web -e pair\n",
            flag.replace(bed.path().to_str().unwrap(), "[BED]")
        )),
        "{ran}"
    );
    assert!(bed.encamp(&["start"]).exits(0).stdout.contains("3 of 3 machines ready"));
}
