//! `encamp plan` on a real daemon: what would change, and nothing does.

use std::process::Command;

use crate::bed::{Bed, pair};

#[test]
fn what_is_new_is_shown_with_what_the_daemon_has() {
    let bed = Bed::with_docker();
    bed.write("encamp.toml", &pair("true"));
    let ran = bed.encamp(&["plan"]).exits(0);
    for line in [
        "pair   new, 2 machines, ttl 10m (until [CLOCK])\n",
        "  + web      docker   busybox:1.35 @",
        "   here   after web\n",
        "  + scope    docker   network\n",
        "2 to create · 0 to change · 0 to destroy · cost: none\n",
    ] {
        assert!(ran.stdout.contains(line), "{line}: {ran}");
    }
    assert_eq!(ran.stderr, "");
    assert_eq!(bed.encamp(&["ls"]).stdout, "no environments\n");
    bed.nothing_is_left();
}

#[test]
fn up_does_just_what_was_planned() {
    let bed = Bed::with_docker();
    bed.write("encamp.toml", &pair("true"));
    bed.encamp(&["up"]).exits(0);
    let before = bed.on_daemon();
    let plan = || bed.encamp(&["plan"]).exits(0).stdout;
    assert_eq!(
        plan(),
        "pair   2 unchanged\n  = web, client\n0 to create · 0 to change · 0 to destroy\n"
    );
    let changed = pair("true")
        .replace("[machines.client]", "[machines.guest]")
        .replace("on = \"client\"", "on = \"guest\"")
        .replace("{ http = 8080 }", "{ http = 8080, admin = 8081 }");
    bed.write("encamp.toml", &changed);
    let planned = plan();
    for line in [
        "pair   1 to create, 1 to replace, 1 to destroy\n",
        "  ~ web      docker   replace   port admin 8081/tcp (encamp.toml:7",
        "  + guest    docker   busybox:1.35 @",
        "  - client   docker   destroy   it is not described any more\n",
    ] {
        assert!(planned.contains(line), "{line}: {planned}");
    }
    assert_eq!(bed.on_daemon(), before, "a plan changes nothing");
    let ran = bed.encamp(&["up", "--yes"]).exits(0);
    for line in planned.lines().filter(|line| line.starts_with("  ")) {
        assert!(ran.stderr.contains(line), "{line}: {ran}");
    }
    assert!(plan().contains("2 unchanged"));
    let shown = bed.encamp(&["show"]).exits(0).stdout;
    assert!(shown.contains("guest") && !shown.contains("client"), "{shown}");
}

const SMALL: &str = r#"name = "small"
ttl = "10m"

[machines.web]
provider = "docker"
docker.image = "busybox:1.35"
docker.command = ["sleep", "600"]
setup = [{ script = "install.sh" }, { run = "true" }]

[machines.idle]
provider = "docker"
docker.image = "busybox:1.35"
docker.command = ["sleep", "600"]
"#;

#[test]
fn a_changed_file_is_named_and_a_stopped_machine_is_told() {
    let bed = Bed::with_docker();
    bed.write("install.sh", "#!/bin/sh\necho one\n");
    bed.write("encamp.toml", SMALL);
    bed.encamp(&["up"]).exits(0);
    bed.encamp(&["stop", "idle", "--grace", "0s"]).exits(0);
    bed.write("install.sh", "#!/bin/sh\necho two\n");
    let why = "  ~ web   docker   replace   setup: script install.sh changed (encamp.toml:4)\n";
    let stopped = "  = idle   stopped on purpose, and left so\n";
    let ran = bed.encamp(&["plan"]).exits(0);
    assert!(ran.stdout.contains(&format!("{why}{stopped}")), "{ran}");
    bed.write("encamp.toml", &SMALL.replace(", { run = \"true\" }", ""));
    let ran = bed.encamp(&["up", "--yes"]).exits(0);
    for line in ["setup: script install.sh changed, setup: true dropped (", stopped] {
        assert!(ran.stderr.contains(line), "{line}: {ran}");
    }
}

#[test]
fn what_it_takes_is_told_once_it_is_known() {
    let bed = Bed::with_docker();
    bed.write("install.sh", "#!/bin/sh\n");
    bed.write("encamp.toml", SMALL);
    let plan = || bed.encamp(&["plan"]).exits(0).stdout;
    for _ in 0..3 {
        assert!(!plan().contains("about"), "{}", plan());
        bed.encamp(&["up"]).exits(0);
        bed.encamp(&["down"]).exits(0);
    }
    assert!(plan().contains(" · about [T] (median of the last 3) · "), "{}", plan());
    // So many machines were not made yet.
    bed.write(
        "encamp.toml",
        SMALL.split("\n[machines.idle]").next().unwrap_or_default(),
    );
    assert!(!plan().contains("about"), "{}", plan());
}

#[test]
fn a_tag_that_moved_is_noted_and_replaces_nothing() {
    let bed = Bed::with_docker();
    let tag = Tag::of("busybox:1.35", &bed);
    bed.write("encamp.toml", &pair("true").replace("busybox:1.35", &tag.0));
    bed.encamp(&["up"]).exits(0);
    let ran = bed.encamp(&["plan"]).exits(0);
    assert!(!ran.stdout.contains("note:"), "{ran}");
    let before = bed.on_daemon();
    tag.moves();
    let note = format!(
        "note: web, client   image {} has moved since (kept; `encamp down web client`, then up, takes what it is now)\n",
        tag.0
    );
    let ran = bed.encamp(&["plan"]).exits(0);
    assert!(ran.stdout.contains(&format!("  = web, client\n{note}")), "{ran}");
    let ran = bed.encamp(&["up"]).exits(0);
    assert!(ran.stderr.contains(&note), "{ran}");
    let ran = bed.encamp(&["up", "--json"]).exits(0);
    assert!(ran.stdout.contains("has moved since"), "{ran}");
    assert_eq!(bed.on_daemon(), before, "nothing is replaced");
}

/// A tag of this test's own, which goes when it does.
struct Tag(String);

impl Tag {
    fn of(image: &str, bed: &Bed) -> Self {
        let own = bed
            .path()
            .file_name()
            .expect("it has a name")
            .to_string_lossy()
            .to_lowercase();
        let tag = Self(format!("encamp-test-moves:{}", own.trim_start_matches('.')));
        docker(&["tag", image, &tag.0]);
        tag
    }

    /// It names another image from now on, which is the same but for a label.
    fn moves(&self) {
        let container = docker(&["create", &self.0]);
        docker(&["commit", "--change", "LABEL moved=yes", &container, &self.0]);
        docker(&["rm", &container]);
    }
}

impl Drop for Tag {
    fn drop(&mut self) {
        // Machines of the image are there until the bed goes.
        let _ = Command::new("docker").args(["rmi", "--force", &self.0]).output();
    }
}

fn docker(arguments: &[&str]) -> String {
    let output = Command::new("docker").args(arguments).output().expect("docker starts");
    assert!(output.status.success(), "{arguments:?}: {output:?}");
    String::from_utf8_lossy(&output.stdout).trim().to_owned()
}

#[test]
fn a_plan_takes_no_lock() {
    let bed = Bed::with_docker();
    bed.write(
        "encamp.toml",
        &pair("true").replace("ready = [{ http = \"http\"", "ready = [{ run = \"test -e /go\""),
    );
    let child = bed.start(&["up"]);
    bed.until_listed("pair");
    let ran = bed.encamp(&["plan"]).exits(0);
    assert!(ran.stdout.contains("an earlier command did not finish it"), "{ran}");
    crate::bed::signal(&child, rustix::process::Signal::INT);
    bed.ran(child).exits(130);
}

#[test]
fn a_program_gets_the_plan_as_data() {
    let bed = Bed::with_docker();
    bed.write("encamp.toml", &pair("true"));
    let ran = bed.encamp(&["plan", "--json"]).exits(0);
    let said: serde_json::Value = serde_json::from_str(&ran.stdout).unwrap();
    assert_eq!(said["v"], 1);
    assert_eq!(said["plan"]["steps"][0]["action"], "create", "{ran}");
    assert_eq!(
        said["prospects"]["client"]["after"],
        serde_json::json!(["web"]),
        "{ran}"
    );
    assert_eq!(said["shared"][0]["name"], "docker/net", "{ran}");
}

#[test]
fn without_a_daemon_the_plan_says_what_it_could_not_ask() {
    let bed = Bed::new();
    bed.write("encamp.toml", &pair("true"));
    let ran = bed
        .run(bed.command(&["plan"]).env("DOCKER_HOST", "unix:///nonexistent"))
        .exits(3);
    assert!(ran.stdout.contains("  + web      docker\n"), "{ran}");
    assert!(ran.stdout.ends_with(" · not everything could be asked\n"), "{ran}");
    for line in [
        "error[E0401]: no Docker daemon answers at unix:///nonexistent",
        "  while: plan pair, client and web on `docker`, step connect, after [T]",
        "  now:   nothing was started",
    ] {
        assert!(ran.stderr.contains(line), "{line}: {ran}");
    }
    assert_eq!(bed.encamp(&["ls"]).stdout, "no environments\n");
}
