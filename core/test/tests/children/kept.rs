//! Environments that stay for a look inside.

use std::time::Duration;

use crate::bed::{Bed, played, until};
use crate::scenes::NAME;

const SCENE: &str = "scenes::a_child_plays_its_scene";
const KEEP: &str = "ENCAMP_TEST_KEEP";

/// The name that a command to look inside has.
#[track_caller]
fn name(bed: &Bed, said: &str) -> String {
    let command = format!("  encamp --state {} shell -e ", bed.state().display());
    let lines: Vec<&str> = said.lines().filter_map(|line| line.strip_prefix(&command)).collect();
    let [db, web] = lines[..] else { panic!("{said}") };
    let name = db.strip_suffix(" db").expect("the machine stands last");
    assert_eq!(web, format!("{name} web"));
    assert!(
        said.contains(&format!("  encamp --state {} down -e {name}", bed.state().display())),
        "{said}"
    );
    name.to_owned()
}

/// What the command to end it does, by a child that is no maker of it.
#[track_caller]
fn end(bed: &Bed, name: &str) {
    let ended = played(bed.command(SCENE, "end").env(NAME, name));
    assert!(ended.status.success(), "{}", ended.said);
    bed.is_empty_within(Duration::ZERO);
}

#[test]
fn what_is_kept_is_there_by_the_name_that_is_told() {
    for (scene, value) in [("err", "on-failure"), ("well", "always")] {
        let bed = Bed::new();
        let mut command = bed.command(SCENE, scene);
        let played = played(command.arg("--nocapture").env(KEEP, value));
        let name = name(&bed, &played.said);
        bed.works(2);
        end(&bed, &name);
    }
}

#[test]
fn what_did_not_fail_is_not_kept_for_failures() {
    let bed = Bed::new();
    let played = played(bed.command(SCENE, "well").env(KEEP, "on-failure"));
    assert!(played.status.success(), "{}", played.said);
    bed.is_empty_within(Duration::ZERO);
}

#[test]
fn what_is_kept_ends_with_its_lease() {
    let bed = Bed::new();
    let mut command = bed.command(SCENE, "short lease");
    let played = played(command.arg("--nocapture").env(KEEP, "always"));
    assert!(played.status.success(), "{}", played.said);
    bed.works(2);
    // Machines of this host end by themselves; a minute after that its keeper removes what they were.
    until(
        Duration::from_secs(30),
        "they end",
        || bed.at_work().is_empty(),
        String::new,
    );
    end(&bed, &name(&bed, &played.said));
}

#[test]
fn a_word_that_is_not_known_fails_the_test() {
    let bed = Bed::new();
    let played = played(bed.command(SCENE, "well").env(KEEP, "yes"));
    assert!(!played.status.success());
    assert!(played.said.contains("ENCAMP_TEST_KEEP is `yes`"), "{}", played.said);
}
