//! A command that is killed and a store that is lost, both at once.

use std::collections::BTreeSet;
use std::fs;
use std::time::Duration;

use serde_json::Value;

use crate::clock;
use crate::daemon::Class;
use crate::files::{PAIR, single, with_task};
use crate::installation::Installation;
use crate::program::PATIENCE;

/// Places at which something stands on the daemon already, from a lonely network to everything.
const PLACES: [(&str, &str); 5] = [
    ("up", "send.create.db.before"),
    ("up", "send.create.db.after"),
    ("up", "commit.ready.db.before"),
    ("up", "send.start.app.after"),
    ("run", "commit.ready.app.after"),
];

/// All of it, as a disk or a hand loses it.
fn lose_store(installation: &Installation) {
    for lost in ["store.db", "store.db-wal", "store.db-shm"] {
        let _ = fs::remove_file(installation.path().join("state").join(lost));
    }
}

/// The one environment that was recorded again.
fn recovered(installation: &Installation) -> String {
    let names = installation.environments();
    let [one] = &names[..] else { panic!("{names:#?}") };
    text(&one["name"]).to_owned()
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

#[test]
fn crash_killed_and_without_store_is_recovered() {
    for (verb, point) in PLACES {
        let installation = Installation::new();
        let file = installation.write("pair.toml", PAIR);
        let ended = installation.call(&[verb, &file]).killed_at(point).end();
        assert!(ended.was_killed(), "{point}: {ended}");
        lose_store(&installation);
        let before = installation.standing();
        assert!(!before.is_empty(), "{point}: {ended}");

        let recovered = installation.call(&["recover", "--json"]).well().json();
        let environments = recovered["recovery"]["environments"]
            .as_array()
            .cloned()
            .unwrap_or_default();
        let [environment] = &environments[..] else {
            panic!("{point}: one environment was made: {recovered:#}")
        };
        let objects = environment["objects"].as_array().cloned().unwrap_or_default();
        let named: BTreeSet<&str> = objects.iter().map(|object| text(&object["key"])).collect();
        let there: BTreeSet<&str> = before.iter().map(|thing| thing.name.as_str()).collect();
        assert_eq!(named, there, "{point}: {recovered:#}");
        assert_eq!(installation.standing(), before, "{point}: nothing is changed");

        let name = text(&environment["name"]);
        let listed = installation.environments();
        assert!(
            listed.iter().any(|one| text(&one["name"]) == name),
            "{point}: {listed:#?}"
        );
        installation.call(&["show", "-e", name]).well();
        for machine in before
            .iter()
            .filter(|thing| thing.class == Class::Container && thing.running)
        {
            let machine = machine.label("encamp.machine");
            installation
                .call(&["exec", machine, "-e", name, "-T", "--", "true"])
                .well();
        }
        // What else is brought up tidies nothing of it away.
        let other = installation.write("other.toml", &single("other"));
        installation.call(&["up", &other]).well();
        installation.down("other");
        assert_eq!(installation.standing(), before, "{point}");
        installation.down(name);
        installation.is_empty();
    }
}

/// A keeper has the store that it began with open for as long as it lives, and would act on what that says.
#[test]
fn crash_former_keeper_does_not_end_what_was_recovered() {
    let installation = Installation::new();
    let file = installation.write("one.toml", &single("one").replace("30m", "6s"));
    let impatient = |arguments: &[&str]| installation.call(arguments).kept().env("ENCAMP__TIMEOUTS__GRACE", "1s");
    impatient(&["up", &file]).well();
    let former = installation.keepers();
    assert_eq!(former.len(), 1);
    lose_store(&installation);
    impatient(&["recover"]).well();
    let now = installation.keepers();
    assert!(now.len() == 1 && now != former, "{former:?} {now:?}");
    let gone = clock::until(Duration::from_secs(9), || {
        installation.standing().is_empty().then_some(())
    });
    assert!(
        gone.is_none(),
        "ended by the lease of the lost store: {}",
        installation.kept()
    );
    // The new one is told like any other.
    impatient(&["down", "-e", &recovered(&installation)]).well();
    installation.empties(Duration::from_secs(10));
}

/// Who still has the lost store open knows what it does.
#[test]
fn crash_living_run_is_left_to_itself() {
    let installation = Installation::new();
    let file = installation.write("slow.toml", &with_task("slow", "60s", "echo begun; sleep 50"));
    let mut running = installation.call(&["run", &file]).begin();
    let begun = clock::until(PATIENCE, || running.said().contains("begun").then_some(()));
    assert!(begun.is_some(), "{}", running.end());
    lose_store(&installation);
    let ended = installation.call(&["recover"]).well();
    assert!(
        ended
            .said()
            .contains("left alone: an encamp that still has the lost store"),
        "{ended}"
    );
    assert!(ended.said().contains("nothing was recorded again · "), "{ended}");
    assert!(installation.environments().is_empty(), "{ended}");
    installation.call(&["gc"]).well();
    assert!(installation.environments().is_empty());
    running.kill();
    installation.call(&["recover"]).well();
    installation.down(&recovered(&installation));
    installation.is_empty();
}
