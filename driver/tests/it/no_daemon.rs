//! No Docker daemon answers.

use insta::assert_snapshot;

use crate::bed::{Bed, Ran, pair};

fn without_daemon(bed: &Bed, arguments: &[&str]) -> Ran {
    bed.run(bed.command(arguments).env("DOCKER_HOST", "unix:///nonexistent"))
}

#[test]
fn up_says_so_and_exits_3() {
    let bed = Bed::new();
    bed.write("encamp.toml", &pair("true"));
    assert_snapshot!(without_daemon(&bed, &["up"]), @"");
    assert_snapshot!(without_daemon(&bed, &["down"]), @"");
}

#[test]
fn run_says_so_exits_3_and_leaves_nothing() {
    let bed = Bed::new();
    bed.write("encamp.toml", &pair("true"));
    assert_snapshot!(without_daemon(&bed, &["run"]), @"");
    assert_eq!(bed.encamp(&["ls"]).stdout, "no environments\n");
}

#[test]
fn programs_get_the_code_too() {
    let bed = Bed::new();
    bed.write("encamp.toml", &pair("true"));
    let ran = without_daemon(&bed, &["run", "--json"]).exits(3);
    assert_eq!(ran.stderr, "");
    let events: Vec<serde_json::Value> = ran
        .stdout
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    assert!(
        events.iter().all(|event| event["v"] == 1 && event["event"].is_string()),
        "{ran}"
    );
    let report = events.last().unwrap();
    assert_eq!(
        (report["event"].as_str(), report["exit"].as_i64()),
        (Some("report"), Some(3))
    );
    assert_eq!(report["report"]["errors"][0]["code"], "E0401");
}
