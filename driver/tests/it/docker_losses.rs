//! The store is gone; what stands on the daemon is not.

use insta::assert_snapshot;
use serde_json::Value;

use crate::bed::{Bed, pair};

/// All of the store, as a disk or a hand loses it.
fn lose_store(bed: &Bed) {
    for file in ["store.db", "store.db-wal", "store.db-shm"] {
        let _ = std::fs::remove_file(bed.path().join("state").join(file));
    }
}

#[test]
fn what_a_lost_store_knew_comes_back() {
    let bed = Bed::with_docker();
    bed.write("encamp.toml", &pair("true"));
    bed.encamp(&["up"]).exits(0);
    let before = bed.on_daemon();
    lose_store(&bed);
    let lost = bed.encamp(&["ls"]).exits(0);
    assert_snapshot!(lost, @r"
    exit 0
    -- stdout
    no environments
    -- stderr
    the store of this installation was not there, and is empty now · encamp recover finds what it knew
    ");
    assert_eq!(bed.encamp(&["ls"]).stderr, "", "it is said once");

    let recovered = bed.encamp(&["recover"]).exits(0);
    for said in [
        " recorded again · ends ",
        "  web          running   docker ",
        "  docker/net   shared    docker",
        "1 environment recorded again · ",
    ] {
        assert!(recovered.stdout.contains(said), "{said}: {recovered}");
    }
    assert_eq!(bed.on_daemon(), before, "nothing was changed");
    let json: Value = serde_json::from_str(&bed.encamp(&["recover", "--json"]).exits(0).stdout).expect("it is JSON");
    let environment = &json["recovery"]["environments"][0];
    let name = environment["name"].as_str().expect("it has one");
    let keys: Vec<&str> = environment["objects"]
        .as_array()
        .expect("a list")
        .iter()
        .filter_map(|one| one["key"].as_str())
        .collect();
    assert!(
        before.iter().all(|standing| keys.contains(&standing.as_str())),
        "{before:?} {json}"
    );

    let listed = bed.encamp(&["ls"]).exits(0);
    assert!(listed.stdout.contains("2/2        ready   docker"), "{listed}");
    let shown = bed.encamp(&["show", "-e", name]).exits(0);
    assert!(
        shown.stdout.contains("ready · recovered, its file is not known · ends"),
        "{shown}"
    );
    let said = bed
        .encamp(&["exec", "client", "-e", name, "--", "wget", "-qO-", "http://web:8080/"])
        .exits(0);
    assert_eq!(said.stdout, "hello\n");
    assert_eq!(bed.encamp(&["logs", "web", "-e", name]).exits(0).stdout, "serving\n");
    bed.encamp(&["extend", "1h", "-e", name]).exits(0);
    // A new one of the same file is another environment.
    bed.encamp(&["up"]).exits(0);
    bed.encamp(&["down"]).exits(0);
    assert_eq!(bed.on_daemon(), before);
    bed.encamp(&["down", "-e", name]).exits(0);
    bed.nothing_is_left();
}

#[test]
fn what_cannot_be_reached_may_hide_anything() {
    let bed = Bed::with_docker();
    bed.write("encamp.toml", &pair("true"));
    bed.encamp(&["up"]).exits(0);
    lose_store(&bed);
    let mut command = bed.command(&["recover"]);
    command.env("DOCKER_HOST", "unix:///nowhere/docker.sock");
    let ran = bed.run(&mut command).exits(3);
    assert!(
        ran.stderr
            .contains("not reached: `docker`; something of ours may be there   "),
        "{ran}"
    );
    assert!(
        ran.stdout
            .contains(" listed, 1 provider not reached: encamp recover once it is"),
        "{ran}"
    );
    let name = recovered_name(&bed);
    bed.encamp(&["down", "-e", &name]).exits(0);
    bed.nothing_is_left();
}

fn recovered_name(bed: &Bed) -> String {
    let json = bed.encamp(&["recover", "--json"]).exits(0).stdout;
    let json: Value = serde_json::from_str(&json).expect("it is JSON");
    json["recovery"]["environments"][0]["name"]
        .as_str()
        .expect("it has one")
        .to_owned()
}

/// With another owner key nothing can be proved, and nothing is taken.
#[test]
fn another_key_recovers_nothing() {
    let bed = Bed::with_docker();
    bed.write("encamp.toml", &pair("true"));
    bed.encamp(&["up"]).exits(0);
    let key = bed.path().join("state/owner.key");
    let own = std::fs::read(&key).expect("it is there");
    std::fs::write(&key, [7; 32]).expect("it can be written");
    lose_store(&bed);
    let ran = bed.encamp(&["recover"]).exits(0);
    assert!(ran.stdout.starts_with("nothing of ours was found · "), "{ran}");
    assert!(ran.stderr.contains("its labels carry no proof of ours"), "{ran}");
    std::fs::write(&key, own).expect("it can be written");
    let name = recovered_name(&bed);
    bed.encamp(&["down", "-e", &name]).exits(0);
    bed.nothing_is_left();
}
