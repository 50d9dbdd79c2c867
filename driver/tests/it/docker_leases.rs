//! Leases that end, and that are moved, on a real daemon, which ends nothing by itself.

use std::process::Command;

use insta::assert_snapshot;
use serde_json::Value;

use crate::bed::{Bed, Ran};

/// One machine that is wanted so long, and a task that takes so long.
fn one(name: &str, ttl: &str, task_seconds: u32) -> String {
    format!(
        r#"name = "{name}"
ttl = "{ttl}"

[machines.m]
provider = "docker"
docker.image = "busybox:1.35"
docker.command = ["sleep", "600"]

[[stages]]
name = "test"

[[stages.tasks]]
name = "wait"
on = "m"
run = "sleep {task_seconds}"
"#
    )
}

/// The program, which waits no longer than it must after a lease's end.
fn impatient(bed: &Bed, arguments: &[&str]) -> Command {
    let mut command = bed.command(arguments);
    command.env("ENCAMP__TIMEOUTS__GRACE", "1s");
    command
}

fn call(bed: &Bed, arguments: &[&str]) -> Ran {
    bed.run(&mut impatient(bed, arguments))
}

/// The states of all environments, by name.
fn states(bed: &Bed) -> Vec<(String, String)> {
    let listed: Value = serde_json::from_str(&call(bed, &["ls", "--json"]).stdout).expect("it is JSON");
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let all = listed["environments"].as_array().expect("a list").iter();
    all.map(|one| (text(&one["name"]), text(&one["state"]))).collect()
}

#[test]
fn what_is_over_goes_and_what_was_extended_stays() {
    let bed = Bed::with_docker();
    bed.write("brief.toml", &one("brief", "30s", 0));
    bed.write("longer.toml", &one("longer", "30s", 0));
    call(&bed, &["up", "brief.toml"]).exits(0);
    call(&bed, &["up", "longer.toml"]).exits(0);
    let shorter = call(&bed, &["extend", "1s", "-e", "longer"]).exits(0);
    assert!(shorter.stdout.contains(" as before: that is no sooner\n"), "{shorter}");
    let extended = call(&bed, &["extend", "10m", "-e", "longer"]).exits(0);
    assert_snapshot!(extended, @r"
    exit 0
    -- stdout
    longer   ends [CLOCK] (in 10m), was [CLOCK]
    -- stderr
    its machines keep the label [CLOCK], which counts again should the store be lost
    ");
    let early = call(&bed, &["gc"]).exits(0);
    assert!(early.stdout.contains("nothing was due"), "{early}");

    let overdue = ("brief".to_owned(), "overdue".to_owned());
    bed.until("the end of the lease", || states(&bed).contains(&overdue));
    let swept = call(&bed, &["gc"]).exits(0);
    assert!(
        swept.stdout.contains("1 environment ended · there are longer\n"),
        "{swept}"
    );
    assert_eq!(states(&bed), [("longer".to_owned(), "ready".to_owned())]);
    call(&bed, &["exec", "m", "-e", "longer", "--", "true"]).exits(0);
    // A lease that is gone with its environment cannot be moved.
    let late = call(&bed, &["extend", "1h", "-e", "brief"]).exits(2);
    assert!(
        late.stderr.contains("error[E0302]: no environment is called `brief`"),
        "{late}"
    );
    call(&bed, &["down", "-e", "longer"]).exits(0);
    bed.nothing_is_left();
}

#[test]
fn a_run_goes_on_for_as_long_as_it_was_extended() {
    let bed = Bed::with_docker();
    bed.write("brief.toml", &one("brief", "10s", 13));
    bed.write("longer.toml", &one("longer", "10s", 13));
    let run = |file: &str, out: &str| {
        let mut command = impatient(&bed, &["run", file, "--out", out]);
        command
            .stdout(std::process::Stdio::piped())
            .stderr(std::process::Stdio::piped());
        command.spawn().expect("it starts")
    };
    let (brief, longer) = (run("brief.toml", "one"), run("longer.toml", "two"));
    let named = || {
        let mut names = states(&bed).into_iter().map(|(name, _)| name);
        names.find(|name| name.starts_with("longer-"))
    };
    bed.until("the run", || named().is_some());
    let name = named().expect("it runs");
    let extended = call(&bed, &["extend", "1m", "-e", &name, "--json"]).exits(0);
    let extended: Value = serde_json::from_str(&extended.stdout).expect("it is JSON");
    assert_eq!(extended["extended"]["environment"], name.as_str());
    assert!(
        extended["extended"]["ends"].as_str() > extended["extended"]["was"].as_str(),
        "{extended}"
    );

    let brief = bed.ran(brief).exits(3);
    assert!(brief.stderr.contains("its lease ended at"), "{brief}");
    assert!(brief.stderr.contains("`encamp extend`"), "{brief}");
    bed.ran(longer).exits(0);
    bed.nothing_is_left();
}
