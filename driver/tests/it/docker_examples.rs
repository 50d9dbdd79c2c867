//! The examples, each as its first lines say.

use std::path::Path;
use std::process::Command;

use crate::bed::{Bed, serve};

/// A bed with a copy of an example in it, whose images the parts have made.
fn example(name: &str, images: &[&str]) -> Bed {
    let bed = Bed::with_images(images);
    copy(&bed, name);
    bed
}

fn copy(bed: &Bed, name: &str) {
    let from = Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples").join(name);
    let copied = Command::new("cp")
        .arg("-r")
        .arg(from)
        .arg(bed.path().join(name))
        .status();
    assert!(copied.is_ok_and(|status| status.success()), "{name} cannot be copied");
}

fn output(bed: &Bed, path: &str) -> String {
    bed.read(&format!("encamp-out/artifacts/{path}/output.log"))
}

#[test]
fn a_cluster_forms_and_survives_the_loss_of_a_member() {
    let bed = example("etcd", &["etcd:3.4-bookworm"]);
    bed.encamp(&["run", "etcd"]).exits(0);
    assert!(output(&bed, "loss/still-writes/etcd-1").contains("green"));
    assert!(output(&bed, "loss/caught-up/etcd-0").contains("black"));
    bed.nothing_is_left();
}

#[test]
fn a_flip_behind_a_proxy_is_noticed_by_nobody() {
    let bed = example("bluegreen", &["nginx:1.22-bookworm"]);
    bed.encamp(&["run", "bluegreen"]).exits(0);
    assert!(output(&bed, "flip/watch/client").contains("none failed"));
    bed.nothing_is_left();
}

#[test]
fn a_migration_is_proved_on_what_was_fetched() {
    let bed = example("migration", &["postgres:15-bookworm"]);
    let (port, _serving) = serve(&bed.path().join("migration/data"));
    let dumps = format!("inputs.dumps=http://127.0.0.1:{port}");
    bed.encamp(&["run", "migration", "--set", &dumps]).exits(0);
    // Whoever changes the dump is found out; from the cache nothing is asked again.
    bed.encamp(&["run", "migration", "--set", "inputs.dumps=http://127.0.0.1:1"])
        .exits(0);
    bed.nothing_is_left();
}

#[test]
fn the_quickstart_runs_on_this_host_and_on_docker() {
    let bed = example("quickstart", &["busybox:1.35"]);
    for provider in ["local", "docker"] {
        let set = format!("machines.*.provider={provider}");
        let ran = bed.encamp(&["run", "quickstart", "--set", &set]).exits(0);
        assert!(
            ran.to_string().contains("2 tasks, 1 test, all passed"),
            "{provider}: {ran}"
        );
    }
    bed.nothing_is_left();
}

#[test]
fn browsers_of_a_grid_find_their_hub() {
    let bed = example("grid", &["chromium:bookworm", "busybox:1.35"]);
    bed.encamp(&["run", "grid"]).exits(0);
    let said = output(&bed, "browse/clicks/hub");
    assert!(
        said.contains("browser-0 clicked in Chromium") && said.contains("browser-1 clicked in Chromium"),
        "{said}"
    );
    let picture = std::fs::read(bed.path().join("encamp-out/artifacts/browse/clicks/hub/browser-1.png"));
    assert!(
        picture.is_ok_and(|png| png.starts_with(b"\x89PNG")),
        "the browser's picture"
    );
    bed.nothing_is_left();
}

#[test]
fn a_shop_sells_to_the_outside() {
    let bed = example("shop", &["postgres:15-bookworm", "redis:7-bookworm"]);
    bed.encamp(&["run", "shop"]).exits(0);
    let junit = bed.read("encamp-out/junit.xml");
    assert!(
        junit.contains("tests=\"5\"") && junit.contains("failures=\"0\""),
        "{junit}"
    );
    let up = bed.encamp(&["up", "shop", "--json"]).exits(0).stdout;
    let url = up
        .split("\"url\":\"")
        .nth(1)
        .and_then(|rest| rest.split('"').next())
        .expect("the output `url` is told");
    let answer = Command::new("busybox")
        .args(["wget", "-q", "-O", "-", url])
        .output()
        .unwrap();
    assert_eq!(String::from_utf8_lossy(&answer.stdout).trim(), "[]", "{url}");
    // The password is asked for anew each time and is part of nothing that decides a change.
    let again = bed.encamp(&["plan", "shop"]).exits(0).stdout;
    assert!(again.contains("5 unchanged"), "{again}");
    bed.encamp(&["down", "-e", "shop"]).exits(0);
    bed.nothing_is_left();
}

#[test]
fn the_shop_runs_on_this_host_by_one_word() {
    for program in ["redis-server", "perl", "wget", "pg_isready"] {
        let there = Command::new("sh").args(["-c", "command -v \"$0\"", program]).output();
        assert!(
            there.is_ok_and(|it| it.status.success()),
            "{program} is missing: tests/run --install"
        );
    }
    let bed = Bed::with_local();
    copy(&bed, "shop");
    let ran = bed
        .encamp(&["run", "shop", "--set", "machines.*.provider=local"])
        .exits(0);
    assert!(ran.stdout.contains("2 tasks, 5 tests, all passed"), "{ran}");
    assert!(
        bed.read("encamp-out/artifacts/test/stored/db/shop.sql")
            .contains("CREATE TABLE")
    );
    assert!(bed.encamp(&["ls"]).stdout.contains("no environments"));
}
