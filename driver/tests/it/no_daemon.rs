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
    assert_snapshot!(without_daemon(&bed, &["up"]), @r"
    exit 3
    -- stdout
    0 of 2 machines ready after [T] · nothing exists, `encamp up` tries again
    -- stderr
    [AT] pair 2 machines, ttl 10m (until [CLOCK]) · no keeper: if encamp is killed, its next command ends this
    error[E0401]: no Docker daemon answers at unix:///nonexistent
      while: up pair, web and client on `docker`, step connect, after [T]
      why:   chosen by: DOCKER_HOST
             the socket does not exist
      now:   nothing was started
      help:  sudo systemctl start docker, or point `host` of the provider (or DOCKER_HOST) at one that runs
    ");
    assert_eq!(bed.encamp(&["ls"]).stdout, "no environments\n");
}

#[test]
fn run_says_so_exits_3_and_leaves_nothing() {
    let bed = Bed::new();
    bed.write("encamp.toml", &pair("true"));
    assert_snapshot!(without_daemon(&bed, &["run"]), @r"
    exit 3
    -- stdout
    0 of 2 machines ready, no task ran, failed after [T] · results in encamp-out/
    -- stderr
    [AT] pair-[RUN] 2 machines, ttl 10m (until [CLOCK]) · no keeper: if encamp is killed, its next command ends this
    [AT] pair-[RUN] destroying
    [AT] pair-[RUN] gone  [T]  nothing left
    error[E0401]: no Docker daemon answers at unix:///nonexistent
      while: run pair-[RUN], web and client on `docker`, step connect, after [T]
      why:   chosen by: DOCKER_HOST
             the socket does not exist
      now:   nothing was started
      help:  sudo systemctl start docker, or point `host` of the provider (or DOCKER_HOST) at one that runs
    ");
    assert_eq!(bed.encamp(&["ls"]).stdout, "no environments\n");
}

/// Whoever reads JSON is told as well: it is said once.
#[test]
fn a_lost_store_is_told_to_programs_beside_what_they_read() {
    let bed = Bed::new();
    bed.encamp(&["ls"]).exits(0);
    for file in ["store.db", "store.db-wal", "store.db-shm"] {
        let _ = std::fs::remove_file(bed.path().join("state").join(file));
    }
    assert_snapshot!(bed.encamp(&["ls", "--json"]), @r#"
    exit 0
    -- stdout
    {"v":1,"environments":[]}
    -- stderr
    the store of this installation was not there, and is empty now · encamp recover finds what it knew
    "#);
    assert_eq!(bed.encamp(&["ls", "--json"]).stderr, "", "it is said once");
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
