//! `encamp plan` on a real daemon: what would change, and nothing does.

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
