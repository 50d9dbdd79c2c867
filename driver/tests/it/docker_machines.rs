//! Single machines of an environment: taken down early, stopped, started.

use crate::bed::{Bed, pair};

fn up() -> Bed {
    let bed = Bed::with_docker();
    bed.write("encamp.toml", &pair("true"));
    bed.encamp(&["up"]).exits(0);
    bed
}

fn containers(bed: &Bed) -> usize {
    // The network is the one thing beside them.
    bed.on_daemon().len() - 1
}

#[test]
fn a_machine_goes_early_and_the_next_up_makes_it_again() {
    let bed = up();
    let ran = bed.encamp(&["down", "client"]).exits(0);
    assert_eq!(ran.stdout, "pair   client · gone in [T] · web stays\n");
    assert_eq!(containers(&bed), 1);
    assert!(bed.encamp(&["ls"]).stdout.contains("pair   1/2        partial"));
    let planned = bed.encamp(&["plan"]).exits(0).stdout;
    assert!(planned.contains("1 unchanged, 1 to create"), "{planned}");
    bed.encamp(&["up"]).exits(0);
    assert_eq!(containers(&bed), 2);
    let ran = bed.encamp(&["down", "nobody"]).exits(2);
    assert!(ran.stderr.contains("`pair` has no machine called `nobody`"), "{ran}");
}

#[test]
fn what_others_depend_on_is_asked_about() {
    let bed = up();
    let ran = bed.encamp(&["down", "web"]).exits(2);
    for line in [
        "error[E0307]: Take web down? client depends on it. Nobody can be asked here",
        "  now:   pair is as it was",
        "  help:  encamp down web -e pair --yes",
    ] {
        assert!(ran.stderr.contains(line), "{line}: {ran}");
    }
    assert_eq!(containers(&bed), 2);
    // Without the file nobody knows who depends on whom.
    let file = bed.path().join("encamp.toml");
    let text = bed.read("encamp.toml");
    std::fs::write(&file, "name = ").unwrap();
    let ran = bed.encamp(&["down", "client"]).exits(2);
    assert!(ran.stderr.contains("so it is not known who depends on it"), "{ran}");
    std::fs::write(&file, text).unwrap();
    // Nobody is left who would depend on it.
    let ran = bed.encamp(&["down", "web", "client"]).exits(0);
    assert!(
        ran.stdout.contains("client and web · gone in [T] · no machine stays"),
        "{ran}"
    );
    bed.encamp(&["down"]).exits(0);
    bed.nothing_is_left();
}

const GROUP: &str = r#"name = "pair"
ttl = "10m"

[machines.node]
provider = "docker"
count = 2
docker.image = "busybox:1.35"
docker.command = ["sh", "-c", "echo I am $ENCAMP_PORT_HTTP; exec sleep 600"]
docker.volumes = ["data:/data"]
"#;

#[test]
fn groups_go_and_speak_as_one() {
    let bed = Bed::with_docker();
    bed.write("encamp.toml", GROUP);
    bed.encamp(&["up"]).exits(0);
    let said = || bed.encamp(&["logs", "node"]).exits(0).stdout;
    bed.until("both speak", || said().lines().count() == 2);
    assert_eq!(said(), "node-0 | I am\nnode-1 | I am\n");
    let volumes = |bed: &Bed| bed.on_daemon().iter().filter(|name| name.contains("vol")).count();
    assert_eq!(volumes(&bed), 2);
    bed.encamp(&["down", "node-1"]).exits(0);
    assert_eq!(volumes(&bed), 1, "a volume of its own goes with a machine");
    let ran = bed.encamp(&["stop", "node", "--grace", "0s"]).exits(0);
    assert!(ran.stdout.starts_with("  node-0   stopped"), "{ran}");
    bed.encamp(&["down", "node"]).exits(0);
    assert_eq!(volumes(&bed), 0);
}

#[test]
fn what_was_stopped_on_purpose_has_not_died() {
    let bed = up();
    let before = bed.on_daemon();
    let ran = bed.encamp(&["stop", "web", "--grace", "0s"]).exits(0);
    assert!(
        ran.stdout
            .starts_with("  web   stopped   [T]\npair   1 of 1 machine stopped"),
        "{ran}"
    );
    assert!(bed.encamp(&["show"]).stdout.contains("  web      stopped   docker "));
    assert!(bed.encamp(&["ls"]).stdout.contains("pair   1/2        partial"));
    let planned = bed.encamp(&["plan"]).exits(0).stdout;
    assert!(planned.starts_with("pair   2 unchanged\n"), "{planned}");
    let ran = bed.encamp(&["up"]).exits(0);
    assert!(
        ran.stderr
            .contains("stopped on purpose, and left so: web · encamp start web -e pair"),
        "{ran}"
    );

    let ran = bed.encamp(&["start", "web"]).exits(0);
    assert!(
        ran.stderr.contains("web waiting"),
        "it waits for what `ready` asks: {ran}"
    );
    assert!(
        ran.stdout.contains("  web   ready   [T]\npair   1 of 1 machine ready"),
        "{ran}"
    );
    assert_eq!(bed.on_daemon(), before);
    // A free port is another one after a start, and everything that speaks of it with it.
    let shown = bed.encamp(&["show", "--json"]).exits(0).stdout;
    let shown: serde_json::Value = serde_json::from_str(&shown).unwrap();
    let port = &shown["machines"][1]["ports"][0]["host_port"];
    assert_eq!(shown["outputs"]["url"], format!("http://127.0.0.1:{port}"), "{shown}");

    // One that died without being stopped is replaced.
    bed.encamp(&["exec", "client", "--", "kill", "-KILL", "1"]);
    bed.encamp(&["stop", "client", "--grace", "0s"]);
    bed.encamp(&["start", "client"]).exits(0);
}

#[test]
fn a_start_that_does_not_get_ready_says_why() {
    let bed = Bed::with_docker();
    // It is well once, and has nothing to show for it the second time.
    let text = pair("true")
        .replace(
            "echo waiting; exec sleep 600",
            "test -e /started && exit 4; trap 'rm /well; exit' TERM; touch /started /well; while :; do sleep 0.1; done",
        )
        .replace("env = { WEB", "ready = [{ run = \"test -e /well\" }]\nenv = { WEB");
    bed.write("encamp.toml", &text);
    bed.encamp(&["up"]).exits(0);
    bed.encamp(&["stop", "client"]).exits(0);
    let ran = bed.encamp(&["start", "client"]).exits(3);
    for line in [
        "error[E0414]: ",
        "while: start pair, client on `docker`, step ready",
        "  now:   pair is as it was",
    ] {
        assert!(ran.stderr.contains(line), "{line}: {ran}");
    }
    let planned = bed.encamp(&["plan"]).exits(0).stdout;
    assert!(
        planned.contains("~ client   docker   replace   it failed: "),
        "{planned}"
    );
}

#[test]
fn what_another_hand_removed_is_seen_by_a_look() {
    let bed = Bed::with_docker();
    bed.write("encamp.toml", &pair("true"));
    bed.encamp(&["up"]).exits(0);
    let shown = bed.encamp(&["show", "--json"]).exits(0).stdout;
    let shown: serde_json::Value = serde_json::from_str(&shown).unwrap();
    let machines = shown["machines"].as_array().unwrap();
    let web = machines.iter().find(|machine| machine["name"] == "web").unwrap();
    let removed = std::process::Command::new("docker")
        .args(["rm", "--force", web["key"].as_str().unwrap()])
        .output()
        .unwrap();
    assert!(removed.status.success(), "{removed:?}");
    let stored = bed.encamp(&["show"]).exits(0).stdout;
    assert!(stored.contains("  web      ready   docker "), "{stored}");
    let seen = bed.encamp(&["show", "--live"]).exits(0).stdout;
    for line in [
        "  web      gone    docker ",
        "  client   ready   docker ",
        "Gone    web: removed by another hand; `encamp up` makes it anew\n",
    ] {
        assert!(seen.contains(line), "{line}: {seen}");
    }
}

#[test]
fn what_up_was_told_is_known_to_those_who_come_after() {
    let bed = Bed::with_docker();
    bed.write(
        "encamp.toml",
        &pair("true").replace("{ default = \"hello\" }", "{ type = \"string\" }"),
    );
    bed.write("given/inputs.toml", "greeting = \"from a file\"\n");
    for told in [["--set", "greeting=set"], ["--inputs", "given/inputs.toml"]] {
        bed.encamp(&[["up", "encamp.toml"], told].concat()).exits(0);
        bed.encamp(&["stop", "web", "--grace", "0s"]).exits(0);
        let ran = bed.encamp(&["start", "web"]).exits(0);
        // The file alone could not be read, and nobody would know what `ready` asks for.
        assert!(!ran.stderr.contains("waited until it ran"), "{ran}");
        assert!(ran.stderr.contains("http /"), "{ran}");
        let ran = bed.encamp(&["down", "web"]).exits(2);
        assert!(ran.stderr.contains("Take web down? client depends on it."), "{ran}");
        bed.encamp(&["down"]).exits(0);
    }
    bed.nothing_is_left();
}
