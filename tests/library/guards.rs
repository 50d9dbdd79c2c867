//! Every row of the table of guards, with a child process.

use std::os::unix::process::ExitStatusExt;
use std::time::Duration;

use encamp::{ErrorKind, Ready, Survival};
use rustix::process::{Pid, Signal, kill_process};

use crate::bed::{Bed, WITHIN, alone, builder, ended, line, never_ready, pair, until};

/// What goes before the process does, with nobody's help.
#[test]
fn a_guard_that_is_dropped_takes_its_environment_along() {
    for (scene, well) in [("return", true), ("down", true), ("panic", false)] {
        let bed = Bed::new(false);
        assert_eq!(bed.plays(scene).success(), well, "{scene}");
        bed.is_empty_within(Duration::ZERO);
    }
}

#[test]
fn an_up_that_nobody_waits_for_any_more_takes_along_what_it_made() {
    let bed = Bed::new(false);
    assert!(ended(&mut bed.child("dropped future")).success());
    bed.is_empty_within(Duration::ZERO);
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
    // Long enough for a keeper to end what is nobody's.
    crate::bed::nap(Duration::from_secs(4));
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
    let late = never_ready(&bed.nap, Duration::from_millis(300));
    let error = bed.open().up(late).await.expect_err("it is never ready");
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

/// It waits for a machine that never gets ready again, and hears that nobody wants it any more.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_guard_that_is_dropped_while_a_machine_starts_waits_for_no_probe() {
    let bed = Bed::new(false);
    let ready = Ready::run("test ! -e not-yet").within(Duration::from_mins(1));
    let guard = bed.open().up(alone(&bed.nap, ready)).await.expect("it is up");
    let db = guard.machine("db").expect("a machine");
    let exit = db.exec(["touch", "not-yet"]).output().await.expect("it runs").exit;
    assert!(exit.success());
    let before = bed.at_work();
    let starting = tokio::spawn(async move { db.restart().await });
    let started = || bed.at_work().len() == 1 && bed.at_work() != before;
    until(WITHIN, "it is started", started, || format!("{:?}", bed.at_work()));
    drop(guard);
    bed.is_empty_within(Duration::ZERO);
    assert!(starting.await.expect("no panic").is_err());
}
