//! Commands with a terminal.

use std::time::Duration;

use encamp_core::{Cx, ErrorKind, Exec, Exit, Retry, Signal, Size};
use encamp_remote::Client;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::{sleep, timeout};

use crate::bed::{Bed, cases, cx, finish, remote, run, shell};
use crate::cuts::{Link, link};

cases!(
    a_terminal_has_a_size_and_a_status,
    a_terminal_edits_lines_and_ends_them,
    a_terminal_is_signalled,
    a_terminal_ends_with_its_link,
    a_terminal_that_does_not_begin_leaves_nothing,
    a_link_that_breaks_before_a_terminal_begins_leaves_its_outcome_open,
    an_answer_that_does_not_arrive_is_asked_for_again,
);

/// A command with a terminal and something that is nobody's business.
fn on_terminal(script: &str) -> Exec {
    let mut exec = shell(script);
    exec.tty = Some(Size::new(24, 80));
    exec.env.insert("SECRET".into(), "x".into());
    exec
}

/// A guard that does this where a command with a terminal is to begin, and else lets all through.
fn before_terminals(what: &str) -> Vec<String> {
    let script = format!("case $* in *encamp-run-*) {what} ;; esac; exec \"$@\"");
    ["sh", "-c", &script, "guard"].map(str::to_owned).to_vec()
}

async fn a_terminal_has_a_size_and_a_status(client: Client) {
    let (bed, remote) = (Bed::new(), remote(client));
    let mut exec = shell(
        "stty size; trap '[ \"$(stty size)\" != \"30 99\" ] || { stty size; exit 5; }' WINCH; \
         read line; echo \"<$line>\"; tty; while :; do sleep 0.05; done",
    );
    exec.tty = Some(Size::new(24, 101));
    exec.stdin = true;
    exec.env.insert("SECRET".into(), "x".into());
    let mut process = remote.exec(&cx(), &bed.access(), None, exec).await.unwrap();
    assert!(process.stderr.is_none());
    process.stdin.as_mut().unwrap().write_all(b"hello\n").await.unwrap();
    let mut seen = String::new();
    while !seen.contains("/dev/pts/") {
        let mut buffer = [0; 512];
        let length = process.stdout.read(&mut buffer).await.unwrap();
        assert!(length > 0, "{seen}");
        seen.push_str(&String::from_utf8_lossy(&buffer[..length]));
    }
    assert!(seen.contains("24 101") && seen.contains("<hello>"), "{seen}");
    process.control.resize(Size::new(30, 99)).await.unwrap();
    let _stdin = process.stdin.take();
    let ended = finish(process).await;
    assert_eq!(ended.exit, Exit::Code(5), "{ended:?}");
    assert!(ended.out.contains("30 99"), "{ended:?}");
    bed.is_clean().await;
}

async fn a_terminal_edits_lines_and_ends_them(client: Client) {
    let (bed, remote) = (Bed::new(), remote(client));
    for (input, script, seen, code) in [
        // A letter is taken back, and what comes to the program is a line; then the input ends.
        (
            &b"ax\x7fb\n"[..],
            "stty -echo; echo ready; cat; echo over",
            "ab\r\nover\r\n",
            0,
        ),
        (b"\x03", "stty -echo; echo ready; exec sleep 60", "", 130),
    ] {
        let mut exec = on_terminal(script);
        exec.stdin = true;
        let mut process = remote.exec(&cx(), &bed.access(), None, exec).await.unwrap();
        let mut ready = [0; 7];
        let read = timeout(Duration::from_secs(10), process.stdout.read_exact(&mut ready)).await;
        assert!(read.is_ok() && &ready == b"ready\r\n", "{ready:?}");
        process.stdin.as_mut().unwrap().write_all(input).await.unwrap();
        let ended = finish(process).await;
        assert_eq!((ended.exit, ended.out.as_str()), (Exit::Code(code), seen), "{script}");
    }
    bed.is_clean().await;
}

async fn a_terminal_is_signalled(client: Client) {
    let (bed, remote) = (Bed::new(), remote(client));
    for (signal, code) in [(Signal::Int, 130), (Signal::Kill, 137)] {
        let mut exec = shell("echo ready; exec sleep 60");
        exec.tty = Some(Size::new(24, 80));
        let mut process = remote.exec(&cx(), &bed.access(), None, exec).await.unwrap();
        let mut ready = [0; 5];
        process.stdout.read_exact(&mut ready).await.unwrap();
        process.control.signal(signal).await.unwrap();
        assert_eq!(finish(process).await.exit, Exit::Code(code));
    }
    bed.is_clean().await;
}

async fn a_terminal_ends_with_its_link(client: Client) {
    let Link {
        bed,
        relay,
        remote,
        access,
    } = link(client).await;
    let mut exec = shell("echo $$; exec sleep 60");
    exec.tty = Some(Size::new(24, 80));
    let mut process = remote.exec(&cx(), &access, None, exec).await.unwrap();
    let mut pid = vec![0; 8];
    let length = process.stdout.read(&mut pid).await.unwrap();
    let pid: i32 = String::from_utf8_lossy(&pid[..length]).trim().parse().unwrap();
    relay.cut().await;
    let mend = async {
        sleep(Duration::from_millis(100)).await;
        relay.mend();
    };
    let (ended, ()) = tokio::join!(finish(process), mend);
    let Exit::Lost(how) = &ended.exit else {
        panic!("{ended:?}")
    };
    assert!(how.contains("the connection broke"), "{how}");
    for _ in 0..400 {
        if !std::path::Path::new(&format!("/proc/{pid}")).exists() {
            bed.is_clean().await;
            return;
        }
        sleep(Duration::from_millis(50)).await;
    }
    panic!("{pid} lives on");
}

async fn a_terminal_that_does_not_begin_leaves_nothing(client: Client) {
    let (bed, remote) = (Bed::new(), remote(client));
    let mut access = bed.access();
    access.prefix = before_terminals("exit 1");
    let error = run(&remote, &access, on_terminal("true")).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unauthorized, "{error:?}");
    bed.is_clean().await;
    access.prefix = before_terminals("sleep 60");
    let within = Cx::within(Duration::from_secs(2));
    let error = remote.exec(&within, &access, None, on_terminal("true")).await;
    assert_eq!(error.map(drop).unwrap_err().kind(), ErrorKind::Unavailable);
    bed.is_clean().await;
    // Nor where nobody waits for it any more.
    let cx = cx();
    let exec = remote.exec(&cx, &access, None, on_terminal("true"));
    assert!(timeout(Duration::from_secs(2), exec).await.is_err());
    bed.is_clean().await;
}

async fn a_link_that_breaks_before_a_terminal_begins_leaves_its_outcome_open(client: Client) {
    let Link {
        bed,
        relay,
        remote,
        mut access,
    } = link(client).await;
    let waits = bed.path("waits");
    access.prefix = before_terminals(&format!("touch {}; sleep 60", waits.display()));
    let cut = async {
        while !waits.exists() {
            sleep(Duration::from_millis(20)).await;
        }
        relay.cut().await;
        sleep(Duration::from_millis(100)).await;
        relay.mend();
    };
    let (ran, ()) = tokio::join!(run(&remote, &access, on_terminal("true")), cut);
    let error = ran.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unavailable, "{error:?}");
    assert_eq!(error.retryable(), Retry::Unknown, "{error:?}");
    assert!(
        error.message().contains("before the command was seen to begin"),
        "{error}"
    );
    bed.is_clean().await;
}

async fn an_answer_that_does_not_arrive_is_asked_for_again(client: Client) {
    let (bed, remote) = (Bed::new(), remote(client));
    let mut access = bed.access();
    // The first session ends with its connection, when all that it was asked for is done.
    let script = format!(
        "if mkdir {}; then \"$@\" 2>/dev/null; kill -KILL $PPID; fi; exec \"$@\"",
        bed.path("once").display()
    );
    access.prefix = ["sh", "-c", &script, "guard"].map(str::to_owned).to_vec();
    let ran = run(&remote, &access, on_terminal("echo in")).await.unwrap();
    assert_eq!((ran.exit, ran.out.as_str()), (Exit::Code(0), "in\r\n"));
    bed.is_clean().await;
}
