//! A daemon that stops answering in the middle, and connections that break.

use std::fs;
use std::time::Duration;

use crate::clock;
use crate::daemon::Class;
use crate::files::{PAIR, PAIR_NAME, single, with_task};
use crate::installation::Installation;
use crate::program::{Call, Ended, PATIENCE, Running};
use crate::proxy::{Fate, Mode, Proxy, Trigger};

/// Short ones, so that a test does not wait for the patience of a user.
const TIMEOUTS: [(&str, &str); 5] = [
    ("CHECK", "5s"),
    ("CREATE", "3s"),
    ("CHANGE", "3s"),
    ("DOWN", "4s"),
    ("WATCH", "500ms"),
];
/// Within these a command gives up, whatever it still hoped for: each step has its time-out once to work and once to
/// settle, and the disposal as much again.
const DEADLINE: Duration = Duration::from_secs(90);

fn through(proxy: &Proxy, call: Call) -> Call {
    let call = call.env("DOCKER_HOST", proxy.host());
    TIMEOUTS.iter().fold(call, |call, (name, value)| {
        call.env(&format!("ENCAMP__TIMEOUTS__{name}"), value)
    })
}

/// `run` while the daemon goes away; once it is back, `gc` finishes.
fn outage(trigger: Trigger, step: &str) {
    let installation = Installation::new();
    let file = installation.write("pair.toml", PAIR);
    let proxy = Proxy::new(installation.path());
    proxy.on(trigger);
    let ended = through(&proxy, installation.call(&["run", &file])).end();
    assert_eq!(proxy.mode(), trigger.then, "the daemon was to go away: {ended}");
    // The machine may still be there, so it cannot be 3.
    assert_eq!(ended.code(), Some(4), "{ended}");
    assert!(ended.took < DEADLINE, "{ended}");
    for said in ["db", step, "help:", "encamp gc"] {
        assert!(ended.said().contains(said), "`{said}` is missing: {ended}");
    }
    assert!(installation.machine("db").is_ok(), "{ended}");

    proxy.set(Mode::Well);
    installation.call(&["gc"]).env("DOCKER_HOST", proxy.host()).well();
    installation.is_empty();
}

#[test]
fn crash_silent_daemon_is_given_up() {
    outage(
        Trigger {
            text: "/containers/create",
            fate: Fate::Sent,
            then: Mode::Silent,
        },
        "step create",
    );
}

#[test]
fn crash_silent_daemon_that_refuses_is_given_up() {
    outage(
        Trigger {
            text: "/start HTTP",
            fate: Fate::Lost,
            then: Mode::Refusing,
        },
        "step start",
    );
}

/// One machine, made past the proxy, and a command in it that has begun.
fn exec(installation: &Installation, proxy: &Proxy, command: &str) -> Running {
    let file = installation.write("one.toml", &single("one"));
    installation.call(&["up", &file]).well();
    let arguments = ["exec", "m", "-e", "one", "-T", "--", "sh", "-c", command];
    let running = installation.call(&arguments).env("DOCKER_HOST", proxy.host()).begin();
    let begun = clock::until(PATIENCE, || running.printed().contains("begun").then_some(()));
    assert!(begun.is_some(), "{}", running.end());
    running
}

fn is_lost(ended: &Ended) {
    assert_eq!(ended.code(), Some(3), "{ended}");
    assert!(ended.err.contains("lost"), "{ended}");
    assert!(ended.err.contains("help:"), "{ended}");
}

#[test]
fn crash_lost_exit_is_not_invented() {
    for status in ["0", "1"] {
        let installation = Installation::new();
        let proxy = Proxy::new(installation.path());
        let running = exec(&installation, &proxy, &format!("echo begun; sleep 600; exit {status}"));
        proxy.set(Mode::Refusing);
        is_lost(&running.end());
        installation.down("one");
        installation.is_empty();
    }
}

/// A command that has been sent for is told what encamp is told, also before it is known to have begun.
#[test]
fn crash_signal_reaches_a_command_that_begins_late() {
    let installation = Installation::new();
    let file = installation.write("one.toml", &single("one"));
    installation.call(&["up", &file]).well();
    let proxy = Proxy::new(installation.path());
    proxy.on(Trigger {
        text: "/start HTTP",
        fate: Fate::Held,
        then: Mode::Well,
    });
    let arguments = ["exec", "m", "-e", "one", "-T", "--", "sleep", "600"];
    let running = installation.call(&arguments).env("DOCKER_HOST", proxy.host()).begin();
    let held = clock::until(PATIENCE, || proxy.holds().then_some(()));
    assert!(held.is_some(), "{}", running.end());
    running.signal("TERM");
    proxy.release();
    let ended = running.end();
    assert_eq!(ended.code(), Some(128 + 15), "{ended}");
    installation.down("one");
    installation.is_empty();
}

/// Where the daemon can still be asked, it knows how the command has ended.
#[test]
fn crash_lost_exit_is_asked_for() {
    let installation = Installation::new();
    let proxy = Proxy::new(installation.path());
    let running = exec(&installation, &proxy, "echo begun; sleep 2; exit 7");
    proxy.cut();
    let ended = running.end();
    assert_eq!(ended.code(), Some(7), "{ended}");
    installation.down("one");
    installation.is_empty();
}

/// A task that is lost has not failed: nobody knows.
#[test]
fn crash_lost_exit_of_a_task_is_no_failure_of_it() {
    let installation = Installation::new();
    let file = installation.write("one.toml", &with_task("one", "10m", "echo begun; sleep 600"));
    let proxy = Proxy::new(installation.path());
    let running = installation
        .call(&["run", &file])
        .env("DOCKER_HOST", proxy.host())
        .begin();
    let begun = clock::until(PATIENCE, || running.said().contains("begun").then_some(()));
    assert!(begun.is_some(), "{}", running.end());
    proxy.set(Mode::Refusing);
    let is_over = |line: &str| line.contains("look FAILED");
    let over = clock::until(PATIENCE, || running.said().lines().any(is_over).then_some(()));
    proxy.set(Mode::Well);
    let ended = running.end();
    assert!(over.is_some() && ended.said().contains("lost"), "{ended}");
    assert_eq!(ended.code(), Some(3), "{ended}");
    installation.is_empty();
}

/// `up`, of which one request is on its way and stays there.
fn held_up(installation: &Installation, proxy: &Proxy, text: &'static str) -> Running {
    let file = installation.write("pair.toml", PAIR);
    proxy.on(Trigger {
        text,
        fate: Fate::Held,
        then: Mode::Well,
    });
    let running = installation
        .call(&["up", &file])
        .env("DOCKER_HOST", proxy.host())
        .begin();
    let held = clock::until(PATIENCE, || proxy.holds().then_some(()));
    assert!(held.is_some(), "{}", running.end());
    running
}

/// A machine that comes after its environment has gone is the sweep's.
#[test]
fn crash_late_create_is_swept() {
    let installation = Installation::new();
    let proxy = Proxy::new(installation.path());
    drop(held_up(&installation, &proxy, "/containers/create"));
    installation.down(PAIR_NAME);
    installation.is_empty();

    proxy.release();
    let late = clock::until(PATIENCE, || installation.machine("db").ok());
    assert!(late.is_some(), "the create was to arrive");
    let ended = installation.call(&["gc"]).well();
    assert!(ended.said().contains("destroyed"), "{ended}");
    installation.is_empty();
}

/// As long as a request for a network may still take effect, its absence proves nothing.
#[test]
fn crash_late_network_is_waited_for() {
    let installation = Installation::new();
    let proxy = Proxy::new(installation.path());
    drop(held_up(&installation, &proxy, "/networks/create"));
    let down = installation.call(&["down", "-e", PAIR_NAME]).begin();
    let _ = clock::until(Duration::from_secs(3), || None::<()>);
    proxy.release();
    let ended = down.end();
    assert_eq!(ended.code(), Some(0), "{ended}");
    let _ = clock::until(Duration::from_secs(1), || None::<()>);
    installation.is_empty();
}

/// The same where the holder itself has stood still, past the end of its tenure: its answer has come meanwhile.
#[test]
fn crash_paused_holder_is_fenced_when_it_goes_on() {
    let installation = Installation::new();
    let proxy = Proxy::new(installation.path());
    let paused = held_up(&installation, &proxy, "/containers/create");
    paused.signal("STOP");
    proxy.release();
    let made = clock::until(PATIENCE, || installation.machine("db").ok());
    assert!(made.is_some(), "the create was to arrive");
    fs::remove_dir_all(installation.path().join("state/locks")).expect("the locks lie there");
    let file = installation.write("pair.toml", PAIR);
    installation.call(&["up", &file]).well();
    let before = installation.standing();
    assert_eq!(
        before.iter().filter(|thing| thing.class == Class::Container).count(),
        2,
        "what the paused one had made was adopted, not doubled: {before:#?}"
    );

    paused.signal("CONT");
    let ended = paused.end();
    assert_ne!(ended.code(), Some(0), "{ended}");
    assert!(ended.said().contains("taken `pair` over"), "{ended}");
    assert_eq!(installation.standing(), before, "{ended}");
    let shown = installation.call(&["show", "-e", PAIR_NAME, "--json"]).well().json();
    assert_eq!(shown["environment"]["state"], "ready", "{shown:#}");
    installation.down(PAIR_NAME);
    installation.is_empty();
}

/// A holder that was taken over finds it out before it does anything more.
#[test]
fn crash_taken_over_holder_is_fenced() {
    let installation = Installation::new();
    let proxy = Proxy::new(installation.path());
    let first = held_up(&installation, &proxy, "/containers/create");
    // As where a lock does not hold: on a network's file system, or after somebody has tidied up by hand.
    fs::remove_dir_all(installation.path().join("state/locks")).expect("the locks lie there");
    let file = installation.write("pair.toml", PAIR);
    installation.call(&["up", &file]).well();
    let before = installation.standing();

    proxy.release();
    let first = first.end();
    assert_ne!(first.code(), Some(0), "{first}");
    assert!(first.said().contains("taken `pair` over"), "{first}");
    assert_eq!(installation.standing(), before, "{first}");
    assert_eq!(before.iter().filter(|thing| thing.class == Class::Container).count(), 2);
    installation.down(PAIR_NAME);
    installation.is_empty();
}
