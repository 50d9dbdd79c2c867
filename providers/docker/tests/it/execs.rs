//! Commands: codes, streams, terminals, signals.

use std::time::{Duration, Instant};

use encamp_core::{ErrorKind, Exec, Exit, Signal, Size, Target};
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::bed::{Bed, all, cx, finish};

#[tokio::test]
async fn exit_codes_are_the_commands_own() {
    let bed = Bed::new().await;
    let target = bed.sleeper("db").await;
    for (line, code) in [
        ("exit 0", 0),
        ("exit 7", 7),
        ("kill -9 $$", 137),
        ("kill -TERM $$", 143),
    ] {
        let (out, err, exit) = bed.sh(&target, line).await;
        assert_eq!((out.as_str(), err.as_str(), exit), ("", "", Exit::Code(code)), "{line}");
    }
}

#[tokio::test]
async fn output_and_errors_come_apart_and_whole() {
    let bed = Bed::new().await;
    let target = bed.sleeper("db").await;
    let (out, err, exit) = bed.sh(&target, "echo out; echo err >&2; printf more").await;
    assert_eq!(
        (out.as_str(), err.as_str(), exit),
        ("out\nmore", "err\n", Exit::Code(0))
    );
    // More than every buffer on the way holds.
    let (out, _, exit) = bed
        .sh(&target, "dd if=/dev/zero bs=1024 count=4096 2>/dev/null | tr '\\0' x")
        .await;
    assert_eq!((out.len(), exit), (4096 * 1024, Exit::Code(0)));
}

#[tokio::test]
async fn a_slow_reader_loses_nothing() {
    let bed = Bed::new().await;
    let target = bed.sleeper("db").await;
    let mut process = bed
        .exec(Exec::new(
            target,
            ["sh", "-c", "dd if=/dev/zero bs=1024 count=512 2>/dev/null"],
        ))
        .await;
    tokio::time::sleep(Duration::from_secs(3)).await;
    let mut bytes = Vec::new();
    process.stdout.read_to_end(&mut bytes).await.unwrap();
    assert_eq!(bytes.len(), 512 * 1024);
    assert_eq!(process.control.wait().await.unwrap(), Exit::Code(0));
}

#[tokio::test]
async fn input_reaches_the_command_and_ends() {
    let bed = Bed::new().await;
    let target = bed.sleeper("db").await;
    let mut exec = Exec::new(target.clone(), ["cat"]);
    exec.stdin = true;
    let mut process = bed.exec(exec.clone()).await;
    let mut stdin = process.stdin.take().unwrap();
    stdin.write_all(b"hello").await.unwrap();
    stdin.shutdown().await.unwrap();
    assert_eq!(
        finish(process).await,
        ("hello".to_owned(), String::new(), Exit::Code(0))
    );
    // Dropping it is the end as well.
    let mut process = bed.exec(exec).await;
    let mut stdin = process.stdin.take().unwrap();
    stdin.write_all(b"bye").await.unwrap();
    stdin.flush().await.unwrap();
    drop(stdin);
    assert_eq!(finish(process).await.0, "bye");
    // Without input there is none to wait for.
    assert_eq!(bed.sh(&target, "cat").await.2, Exit::Code(0));
}

#[tokio::test]
async fn a_command_has_its_environment_folder_and_user() {
    let bed = Bed::new().await;
    let target = bed.sleeper("db").await;
    let mut exec = Exec::new(target, ["sh", "-c", "echo $A; pwd; id -u"]);
    exec.env.insert("A".into(), "1 2".into());
    exec.cwd = Some("/tmp".into());
    exec.user = Some("user".into());
    let process = bed.exec(exec).await;
    assert_eq!(finish(process).await.0, "1 2\n/tmp\n1000\n");
}

#[tokio::test]
async fn a_terminal_has_its_size_and_can_be_resized() {
    let bed = Bed::new().await;
    let target = bed.sleeper("db").await;
    let mut exec = Exec::new(
        target,
        [
            "sh",
            "-c",
            "until stty size | grep '11 22'; do sleep 0.05; done; read x; stty size; test -t 1 && echo tty",
        ],
    );
    exec.tty = Some(Size::new(11, 22));
    exec.stdin = true;
    let mut process = bed.exec(exec).await;
    assert!(process.stderr.is_none());
    let mut stdin = process.stdin.take().unwrap();
    let mut seen = String::new();
    let mut buffer = [0; 256];
    while !seen.contains("11 22") {
        let count = process.stdout.read(&mut buffer).await.unwrap();
        assert_ne!(count, 0, "{seen}");
        seen.push_str(&String::from_utf8_lossy(&buffer[..count]));
    }
    process.control.resize(Size::new(33, 44)).await.unwrap();
    stdin.write_all(b"\n").await.unwrap();
    let rest = all(process.stdout).await;
    assert!(rest.contains("33 44") && rest.contains("tty"), "{rest}");
    assert_eq!(process.control.wait().await.unwrap(), Exit::Code(0));
}

#[tokio::test]
async fn a_command_that_is_not_there_ends_with_the_engines_code_and_words() {
    let bed = Bed::new().await;
    let target = bed.sleeper("db").await;
    let process = bed.exec(Exec::new(target, ["nope"])).await;
    let (out, err, exit) = finish(process).await;
    assert_eq!(out, "");
    assert!(err.contains("nope"), "{err}");
    assert!(matches!(exit, Exit::Code(126 | 127)), "{exit:?}");
}

async fn count(bed: &Bed, target: &Target, what: &str) -> u32 {
    let line = format!("ps -o pid,args | grep -cE '{what}$'");
    bed.sh(target, &line).await.0.trim().parse().unwrap()
}

/// Waits until so many processes do that.
async fn until_counted(bed: &Bed, target: &Target, what: &str, at_least: u32) {
    for _ in 0..300 {
        if count(bed, target, what).await >= at_least {
            return;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    panic!("fewer than {at_least} processes do `{what}`");
}

#[tokio::test]
async fn a_signal_reaches_everything_that_the_command_started() {
    let bed = Bed::new().await;
    let target = bed
        .machine("db", json!({ "command": ["sleep", "1000"], "init": true }))
        .await;
    // A child in the background, one in a session of its own, one without the mark, one with a mark alone.
    let line = "sleep 7771 & setsid sleep 7771 & env -i /bin/sleep 7771 & (setsid sh -c 'sleep 7771 & sleep 7771' &); sleep 7771";
    let mut process = bed.exec(Exec::new(target.clone(), ["sh", "-c", line])).await;
    let bystander = bed.exec(Exec::new(target.clone(), ["sleep", "7772"])).await;
    until_counted(&bed, &target, "[0-9] (/bin/)?sleep 7771", 6).await;
    until_counted(&bed, &target, "[0-9] sleep 7772", 1).await;
    process.control.signal(Signal::Kill).await.unwrap();
    assert_eq!(process.control.wait().await.unwrap(), Exit::Code(137));
    assert_eq!(count(&bed, &target, "sleep 7771").await, 0);
    assert_eq!(count(&bed, &target, "sleep 7772").await, 1);
    drop(bystander);
    // A signal to what has ended is no fault.
    process.control.signal(Signal::Term).await.unwrap();
}

#[tokio::test]
async fn a_signal_reaches_processes_of_other_users() {
    let bed = Bed::new().await;
    let target = bed.sleeper("db").await;
    let line = "setsid su user -c 'exec sleep 7773' & sleep 7773";
    let mut process = bed.exec(Exec::new(target.clone(), ["sh", "-c", line])).await;
    let mut as_user = Exec::new(target.clone(), ["sh", "-c", "(setsid sleep 7774 &); sleep 7774"]);
    as_user.user = Some("user".into());
    let mut users = bed.exec(as_user).await;
    until_counted(&bed, &target, "[0-9] sleep 7773", 2).await;
    until_counted(&bed, &target, "[0-9] sleep 7774", 2).await;
    for control in [&mut process.control, &mut users.control] {
        control.signal(Signal::Kill).await.unwrap();
        assert_eq!(control.wait().await.unwrap(), Exit::Code(137));
    }
    assert_eq!(
        bed.sh(&target, "ps -o args | grep -v grep | grep -c 'sleep 777'")
            .await
            .0,
        "0\n"
    );
}

#[tokio::test]
async fn a_signal_waits_for_what_is_about_to_begin() {
    let bed = Bed::new().await;
    let target = bed.sleeper("db").await;
    for _ in 0..10 {
        let mut process = bed.exec(Exec::new(target.clone(), ["sleep", "7776"])).await;
        process.control.signal(Signal::Term).await.unwrap();
        let exit = tokio::time::timeout(Duration::from_secs(30), process.control.wait()).await;
        assert_eq!(exit.expect("it was not reached").unwrap(), Exit::Code(143));
    }
}

#[tokio::test]
async fn what_takes_a_while_to_die_is_not_left() {
    let bed = Bed::new().await;
    let target = bed.sleeper("db").await;
    // What is about to run another program shows no variables for a moment, so it is waited for. The signal counts from the
    // fortieth time on; the last one may be sent again while it dies.
    let line = concat!(
        "ENCAMP_EXEC=late setsid sleep 7775 & until grep -q sleep /proc/$!/comm; do :; done;",
        "tries=0; kill() { tries=$((tries + 1)); [ $tries -lt 40 ] || command kill \"$@\"; };",
        "set -- ENCAMP_EXEC=late KILL\n",
        include_str!("../../src/client/signals.sh"),
        "[ $tries -ge 40 ] && echo stubborn || echo $tries"
    );
    assert_eq!(bed.sh(&target, line).await.0, "found\nleft 0\nstubborn\n");
}

#[tokio::test]
async fn a_command_may_handle_a_signal() {
    let bed = Bed::new().await;
    let target = bed.sleeper("db").await;
    let line = "trap 'echo got; exit 5' TERM; echo ready; while :; do sleep 0.05; done";
    let mut process = bed.exec(Exec::new(target, ["sh", "-c", line])).await;
    let mut ready = [0; 6];
    process.stdout.read_exact(&mut ready).await.unwrap();
    process.control.signal(Signal::Term).await.unwrap();
    let (out, _, exit) = finish(process).await;
    assert_eq!(exit, Exit::Code(5));
    assert_eq!(out, "got\n");
}

#[tokio::test]
async fn a_daemonised_child_that_keeps_the_output_open_does_not_hold_the_exit_back() {
    let bed = Bed::new().await;
    let target = bed.sleeper("db").await;
    let begun = Instant::now();
    let mut process = bed
        .exec(Exec::new(target, ["sh", "-c", "(setsid sleep 60 &); echo out; exit 4"]))
        .await;
    assert_eq!(process.control.wait().await.unwrap(), Exit::Code(4));
    assert_eq!(all(process.stdout).await, "out\n");
    assert!(begun.elapsed() < Duration::from_secs(10), "{:?}", begun.elapsed());
    process.control.signal(Signal::Kill).await.unwrap();
}

#[tokio::test]
async fn a_machine_that_goes_away_is_never_a_success() {
    let bed = Bed::new().await;
    let target = bed.sleeper("db").await;
    let line = ["sh", "-c", "echo up; sleep 1000"];
    let mut process = bed.exec(Exec::new(target.clone(), line)).await;
    let mut up = [0; 3];
    process.stdout.read_exact(&mut up).await.unwrap();
    bed.destroy(&target).await.unwrap();
    match process.control.wait().await.unwrap() {
        Exit::Lost(_) | Exit::Code(137) => {}
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn an_image_without_a_shell_cannot_be_signalled() {
    let bed = Bed::new().await;
    let target = bed.sleeper("db").await;
    let mut process = bed.exec(Exec::new(target.clone(), ["sleep", "1000"])).await;
    assert_eq!(bed.sh(&target, "rm /bin/sh").await.2, Exit::Code(0));
    let error = process.control.signal(Signal::Kill).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unsupported);
    assert!(error.message().contains("`sh`"), "{error}");
}

#[tokio::test]
async fn a_machine_that_does_not_run_runs_no_command() {
    let bed = Bed::new().await;
    let created = bed.create(bed.request("db", json!({})).await).await.unwrap();
    let exec = Exec::new(bed.target("db", Some(&created.id)), ["true"]);
    let error = bed.provider.exec(&cx(), exec).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unavailable);
    let exec = Exec::new(bed.target("web", None), ["true"]);
    let error = bed.provider.exec(&cx(), exec).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotFound);
}
