//! What a test that failed says, and that nothing of it is left.

use std::time::Duration;

use crate::bed::{Bed, Played, WITHIN, played};

const SCENE: &str = "scenes::a_child_plays_its_scene";
const LATE: &str = "scenes::a_child_takes_too_long";

/// The line that is about a machine, and those that it has said.
#[track_caller]
fn of_machine<'a>(played: &'a Played, machine: &str) -> (&'a str, Vec<&'a str>) {
    let begin = format!("    {machine} on local: ");
    let mut lines = played.said.lines().skip_while(|line| !line.starts_with(&begin));
    let state = lines
        .next()
        .unwrap_or_else(|| panic!("nothing of {machine}: {}", played.said));
    let said = lines.map_while(|line| line.strip_prefix("      | "));
    (&state[begin.len()..], said.collect())
}

/// The last twenty lines of a machine that has said thirty.
fn last_of(machine: &str) -> Vec<String> {
    (11..=30).map(|n| format!("{machine} says {n}")).collect()
}

#[test]
fn a_test_that_fails_says_how_its_machines_stand() {
    for (scene, why) in [("panic", "it panicked"), ("err", "as it should\n  about: this")] {
        let bed = Bed::new();
        let played = bed.plays(SCENE, scene);
        bed.is_empty_within(Duration::ZERO);
        assert!(!played.status.success(), "{scene}");
        assert!(
            played.said.contains(&format!("`{SCENE}` failed: {why}")),
            "{}",
            played.said
        );
        assert!(played.said.contains("as it should"), "{}", played.said);
        for machine in ["db", "web"] {
            let (state, said) = of_machine(&played, machine);
            assert_eq!(state, "its process lives", "{scene}");
            assert_eq!(said, last_of(machine), "{scene}");
        }
        let look = format!("ENCAMP_TEST_KEEP=on-failure cargo test {SCENE}");
        assert!(played.said.contains(&look), "{}", played.said);
    }
}

#[test]
fn a_machine_that_has_ended_is_told_as_such() {
    let bed = Bed::new();
    let played = bed.plays(SCENE, "ended");
    bed.is_empty_within(Duration::ZERO);
    let (state, said) = of_machine(&played, "web");
    assert!(state.starts_with("its process has ended"), "{state}");
    assert_eq!(said, last_of("web"));
    assert_eq!(of_machine(&played, "db").0, "its process lives");
}

#[test]
fn what_never_got_ready_was_looked_at_before_it_went() {
    let bed = Bed::new();
    let played = bed.plays(SCENE, "never ready");
    bed.is_empty_within(Duration::ZERO);
    assert!(!played.status.success());
    let observed = "`file /never` did not hold within 300ms";
    assert!(played.said.contains(observed), "{}", played.said);
    assert!(played.said.contains(", which did not get ready"), "{}", played.said);
    for machine in ["db", "late"] {
        let (state, said) = of_machine(&played, machine);
        assert_eq!((state, said.len()), ("its process lives", 20), "{}", played.said);
    }
}

#[test]
fn what_died_before_it_was_ready_says_with_what() {
    let bed = Bed::new();
    let played = bed.plays(SCENE, "dies");
    bed.is_empty_within(Duration::ZERO);
    assert!(!played.status.success());
    let (state, said) = of_machine(&played, "late");
    assert_eq!(state, "its process has ended: it exited 3");
    assert_eq!(said, ["the disk is full"]);
}

#[test]
fn a_test_that_takes_too_long_says_what_was_there() {
    let scenes = ["there", "coming"].map(|scene| {
        let bed = Bed::new();
        let child = bed.command(LATE, scene);
        (scene, bed, child)
    });
    let playing = scenes.map(|(scene, bed, mut child)| (scene, bed, std::thread::spawn(move || played(&mut child))));
    for (scene, bed, playing) in playing {
        let played = playing.join().expect("the child has ended");
        bed.is_empty_within(WITHIN);
        assert!(!played.status.success(), "{scene}");
        let why = format!("`{LATE}` failed: it did not end within 10s");
        assert!(played.said.contains(&why), "{}", played.said);
        assert_eq!(
            of_machine(&played, "db"),
            ("its process lives", last_of("db").iter().map(String::as_str).collect())
        );
        let waits = "    late was waiting: ";
        assert_eq!(played.said.contains(waits), scene == "coming", "{}", played.said);
    }
}

#[test]
fn a_test_that_passes_says_nothing() {
    let bed = Bed::new();
    // A harness shows what a test has said only where it fails.
    let played = played(bed.command(SCENE, "well").arg("--nocapture"));
    bed.is_empty_within(Duration::ZERO);
    assert!(played.status.success(), "{}", played.said);
    assert!(!played.said.contains("encamp: "), "{}", played.said);
}
