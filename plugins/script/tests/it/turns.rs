//! Changes of one machine, one after the other.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::time::Duration;

use encamp_core::{Ambient, Cx, ErrorKind, Removal, Retry};

use crate::bed::{APART, Bed, cx, soon};

#[tokio::test]
async fn changes_of_one_machine_are_made_one_after_the_other() {
    let bed = Bed::new("destroy) mkdir lock || exit 9; sleep 0.2; rmdir lock;;").await;
    let (one, other) = (cx(), cx());
    let (one, other) = tokio::join!(bed.destroy(&one), bed.destroy(&other));
    assert!(one.is_ok() && other.is_ok(), "{one:?} {other:?}");
    // Also with the look at its labels that comes before.
    let list = "list) mkdir lock || exit 9; sleep 0.2; rmdir lock; echo '{\"complete\":true}';;";
    let bed = Bed::with("[capabilities]\nkeeps = \"labels\"", &format!("destroy) :;;\n{list}")).await;
    let (one, other) = (cx(), cx());
    let (one, other) = tokio::join!(bed.destroy(&one), bed.destroy(&other));
    assert!(one.is_ok() && other.is_ok(), "{one:?} {other:?}");
}

#[tokio::test]
async fn the_command_of_a_process_that_was_killed_has_its_turn() {
    const FOLDER: &str = "ENCAMP_TEST_FOLDER";
    if let Some(folder) = Ambient::of_process().variable(FOLDER) {
        let bed = Bed::again(Path::new(folder)).await;
        // Its command is not over when this is killed.
        let ended = bed.destroy(&cx()).await;
        panic!("it is not killed: {ended:?}");
    }
    let arms = "destroy) cat >request; echo $$ >child; echo began >>seen
        until [ -e go ]; do sleep 0.05; done; echo ended >>seen;;";
    let bed = Bed::new(arms).await;
    let name = "turns::the_command_of_a_process_that_was_killed_has_its_turn";
    let mut other = std::process::Command::new(std::env::current_exe().unwrap())
        .args(["--exact", name])
        .env(FOLDER, bed.folder.path())
        .stdout(std::process::Stdio::null())
        .spawn()
        .unwrap();
    bed.begins("child").await;
    soon("the first", || bed.read("seen") == "began\n").await;
    other.kill().unwrap();
    other.wait().unwrap();
    // What may not wait so long has changed nothing.
    let error = bed.destroy(&Cx::within(Duration::from_millis(100))).await.unwrap_err();
    assert_eq!((error.kind(), error.retryable()), (ErrorKind::Unavailable, Retry::Safe));
    assert!(error.message().contains("still at work"), "{error:?}");
    assert_eq!(bed.read("seen"), "began\n");
    let long = cx();
    let going = async {
        // Time for whoever would not wait.
        tokio::time::sleep(Duration::from_millis(300)).await;
        fs::write(bed.path("go"), "").unwrap();
    };
    let (destroyed, ()) = tokio::join!(bed.destroy(&long), going);
    assert_eq!(destroyed.unwrap(), Removal::Gone);
    assert_eq!(bed.read("seen"), "began\nended\nbegan\nended\n");
    assert!(bed.turns().is_empty(), "{:?}", bed.turns());
}

#[tokio::test]
async fn turns_are_private_and_go_with_the_machine() {
    let arms = format!("create) setsid sleep 1799 <&0 >/dev/null 2>&1 & echo $! >child; {APART};;\ndestroy) :;;");
    let bed = Bed::new(&arms).await;
    bed.create(&cx()).await.unwrap();
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    let turns = bed.turns();
    assert_eq!(turns.len(), 1, "{turns:?}");
    assert_eq!((mode(&turns[0]), mode(turns[0].parent().unwrap())), (0o600, 0o700));
    // What is to stay reads from the pipe of a command that has ended, which is nobody's turn.
    assert!(bed.lives("child"));
    assert_eq!(bed.destroy(&cx()).await.unwrap(), Removal::Gone);
    assert!(bed.lives("child") && bed.turns().is_empty());
    bed.kill("child");
    // Somebody else's folder is not used.
    let folder = turns[0].parent().unwrap();
    fs::set_permissions(folder, fs::Permissions::from_mode(0o777)).unwrap();
    assert_eq!(bed.destroy(&cx()).await.unwrap_err().kind(), ErrorKind::Invalid);
}

#[tokio::test]
async fn what_was_cancelled_before_its_turn_is_not_started() {
    let bed = Bed::new("destroy) echo began >seen;;").await;
    let cancelled = cx();
    cancelled.cancel();
    assert_eq!(bed.destroy(&cancelled).await.unwrap_err().kind(), ErrorKind::Cancelled);
    let late = bed.destroy(&Cx::within(Duration::ZERO)).await.unwrap_err();
    assert_eq!(late.retryable(), Retry::Safe);
    assert_eq!(bed.read("seen"), "");
}
