//! Every row of the table of guards, with a child process.

use std::io::{BufRead, BufReader};
use std::os::unix::process::ExitStatusExt;
use std::process::Child;
use std::time::Duration;

use encamp::{ErrorKind, Survival};
use rustix::process::{Pid, Signal, kill_process};

use crate::bed::{Bed, WITHIN, builder, ended, pair};

/// The first line of that kind which a child says. It may go on to speak.
pub(crate) fn line(child: &mut Child, wanted: impl Fn(&str) -> bool) -> String {
    let out = child.stdout.take().expect("its output is piped");
    let mut lines = BufReader::new(out).lines().map_while(Result::ok);
    let line = lines.find(|line| wanted(line)).expect("the child says it");
    std::thread::spawn(move || lines.for_each(drop));
    line
}

/// What goes before the process does, with nobody's help.
#[test]
fn a_guard_that_is_dropped_takes_its_environment_along() {
    for (scene, well) in [
        ("return", true),
        ("down", true),
        ("panic", false),
        ("dropped future", true),
    ] {
        let bed = Bed::new(false);
        assert_eq!(bed.plays(scene).success(), well, "{scene}");
        bed.is_empty_within(Duration::ZERO);
    }
}

#[test]
fn what_a_process_leaves_is_its_keepers() {
    for scene in ["exit", "static", "abort"] {
        let bed = Bed::new(true);
        bed.plays(scene);
        bed.is_empty_within(WITHIN);
    }
}

#[test]
fn a_killed_process_leaves_nothing() {
    for (scene, signal) in [("killed", Signal::KILL), ("interrupted", Signal::INT)] {
        let bed = Bed::new(true);
        let mut child = bed.child(scene);
        line(&mut child, |line| line == "ready");
        bed.works(2);
        kill_process(Pid::from_child(&child), signal).expect("it can be signalled");
        assert_eq!(ended(&mut child).signal(), Some(signal.as_raw()), "{scene}");
        bed.is_empty_within(WITHIN);
    }
}

#[test]
fn without_a_keeper_the_next_up_ends_it() {
    let bed = Bed::new(false);
    bed.plays("abort");
    bed.works(2);
    bed.plays("return");
    bed.is_empty_within(Duration::ZERO);
}

#[test]
fn signals_dispose_where_that_is_wanted() {
    for (signal, status) in [(Signal::INT, 130), (Signal::TERM, 143)] {
        let bed = Bed::new(false);
        let mut child = bed.child("signals");
        line(&mut child, |line| line == "ready");
        kill_process(Pid::from_child(&child), signal).expect("it can be signalled");
        assert_eq!(ended(&mut child).code(), Some(status));
        bed.is_empty_within(Duration::ZERO);
    }
}

#[tokio::test]
async fn what_is_kept_stays_until_somebody_ends_it() {
    let bed = Bed::new(true);
    assert!(bed.plays("keep").success());
    bed.works(2);
    let camp = bed.open();
    let all = camp.environments().await.expect("a listing");
    assert_eq!(all.len(), 1);
    camp.down(&all[0].name, encamp::Events::none()).await.expect("it goes");
    bed.is_empty_within(Duration::ZERO);
}

#[tokio::test]
async fn who_ends_it_is_known_beforehand() {
    let bed = Bed::new(true);
    let guard = bed.open().up(pair(&bed.nap)).await.expect("it is up");
    assert!(
        matches!(guard.survival(), Survival::Keeper { .. }),
        "{:?}",
        guard.survival()
    );
    drop(guard);
    bed.is_empty_within(Duration::ZERO);
    let without = builder(&bed.state(), false).require_keeper().open().expect("it opens");
    let error = without.up(pair(&bed.nap)).await.expect_err("there is no keeper");
    assert_eq!(error.kind(), ErrorKind::Unavailable, "{error:?}");
    assert!(without.environments().await.expect("a listing").is_empty());
    bed.is_empty_within(Duration::ZERO);
}

#[tokio::test]
async fn what_did_not_come_up_is_gone_when_the_error_comes() {
    let bed = Bed::new(false);
    let broken = pair(&bed.nap).machine(
        encamp::spec::Machine::new("late", "local")
            .table(&encamp::local::Table::command([
                "sleep".to_owned(),
                format!("17{}", bed.nap),
            ]))
            .set("depends_on", vec!["db"])
            .ready(encamp::Ready::file("/never").within(Duration::from_millis(300))),
    );
    let error = bed.open().up(broken).await.expect_err("it is never ready");
    bed.is_empty_within(Duration::ZERO);
    let text = encamp::Report(&error).to_string();
    assert!(text.contains("/never"), "{text}");
    assert_eq!(error.machine(), Some("late"), "{text}");
}

#[tokio::test]
async fn machines_of_a_guard_stop_and_start_again() {
    let bed = Bed::new(false);
    let guard = bed.open().up(pair(&bed.nap)).await.expect("it is up");
    let db = guard.machine("db").expect("a machine");
    bed.works(2);
    let before = bed.at_work();
    db.restart().await.expect("it starts again");
    bed.works(2);
    assert_ne!(before, bed.at_work());
    db.stop(Duration::ZERO).await.expect("it stops");
    bed.works(1);
    guard
        .down()
        .await
        .expect("a disposal")
        .must_be_clean()
        .expect("it is clean");
    let error = db.start().await.expect_err("it is gone");
    assert_eq!(error.kind(), ErrorKind::NotFound, "{error:?}");
}
