//! What is Podman's own, on its service. That it keeps the contract is the conformance suite's.

use std::fs;
use std::process::Command;

use encamp_core::{Exec, Exit, Size};
use serde_json::json;
use tokio::io::AsyncReadExt;

use crate::bed::{Bed, finish};

/// Conmon takes sizes from a pipe, and of two that it finds there it takes the first one twice. Here it finds two,
/// because it was stopped meanwhile.
#[tokio::test]
async fn of_two_sizes_the_last_one_stays() {
    let bed = Bed::podman().await;
    let table = json!({ "image": "busybox:1.35", "command": ["sleep", "1000"] });
    let target = bed.machine("db", table).await;
    let mark = format!("of-{}", bed.controller);
    let script = "echo runs; i=0; while [ $i -lt 100 ] && [ \"$(stty size 2>/dev/null)\" != '33 44' ]; do sleep 0.1; i=$((i + 1)); done; stty size";
    let mut exec = Exec::new(target, ["sh", "-c", script, &mark]);
    exec.tty = Some(Size::new(11, 22));
    let mut process = bed.exec(exec).await;
    let mut runs = [0; 6];
    process.stdout.read_exact(&mut runs).await.unwrap();
    let conmon = parent_of(&mark);
    signal("STOP", conmon);
    let first = process.control.resize(Size::new(55, 66)).await;
    let second = process.control.resize(Size::new(33, 44)).await;
    signal("CONT", conmon);
    first.and(second).unwrap();
    let (said, _, exit) = finish(process).await;
    assert_eq!((said.trim(), exit), ("33 44", Exit::Code(0)));
}

/// The pid of what started the process whose last argument this is.
fn parent_of(mark: &str) -> u32 {
    let status = fs::read_dir("/proc").unwrap().find_map(|entry| {
        let folder = entry.unwrap().path();
        let arguments = fs::read(folder.join("cmdline")).ok()?;
        let found = arguments.ends_with(format!("\0{mark}\0").as_bytes());
        found.then(|| fs::read_to_string(folder.join("status")).unwrap())
    });
    let status = status.expect("the command runs on this host");
    let parent = status.lines().find_map(|line| line.strip_prefix("PPid:"));
    parent.unwrap().trim().parse().unwrap()
}

fn signal(name: &str, pid: u32) {
    let sent = Command::new("kill")
        .args([format!("-{name}"), pid.to_string()])
        .status();
    assert!(sent.unwrap().success());
}
