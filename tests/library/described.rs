//! Environments that a program describes.

use encamp::spec::{Environment, Machine, Step, expr};
use encamp::{Encamp, ErrorKind, local};

use crate::bed::Bed;

#[tokio::test]
async fn what_is_written_is_what_machines_see() {
    let bed = Bed::new(false);
    let camp = bed.open();
    let db = Machine::new("db", "local")
        .port("pg", 5432)
        .step(Step::run("echo set up >/tmp/mark"));
    let web = Machine::new("web", "local")
        .count(2)
        .env("LITERAL", "{{ me.name }}")
        .env("DB", expr("{{ machines.db.endpoint('pg') }}"))
        .env("ME", expr("{{ me.name }}"));
    let shop = Environment::new("shop").machine(db).machine(web).output("me", "all");
    let guard = camp.up(shop).await.expect("it is up");
    let said = guard
        .machine("web-1")
        .expect("a machine")
        .exec(["sh", "-c", "echo $LITERAL $ME $DB"])
        .output()
        .await;
    let said = said.expect("it runs").text();
    assert!(
        said.starts_with("{{ me.name }} web-1 db:") || said.starts_with("{{ me.name }} web-1 127.0.0.1:"),
        "{said}"
    );
    let mark = guard
        .machine("db")
        .expect("a machine")
        .exec(["cat", "/tmp/mark"])
        .output()
        .await
        .expect("it runs");
    assert_eq!(mark.text(), "set up\n", "{mark}");
    assert_eq!(guard.outputs()["me"], "all");
    guard
        .down()
        .await
        .expect("a disposal")
        .must_be_clean()
        .expect("it is clean");
}

#[tokio::test]
async fn a_mistake_is_told_with_its_line_before_anything_is_made() {
    let bed = Bed::new(false);
    let camp: Encamp = bed.open();
    let wrong = Environment::new("shop").machine(
        Machine::new("db", "local")
            .table(&local::Table::command("true"))
            .set("conut", 2),
    );
    let error = camp.up(wrong).await.expect_err("it is wrong");
    assert_eq!(error.kind(), ErrorKind::Invalid);
    let text = encamp::Report(&error).to_string();
    for part in ["program.toml:", "conut = 2", "a key with a similar name: `count`"] {
        assert!(text.contains(part), "{part}: {text}");
    }
    assert!(camp.environments().await.expect("a listing").is_empty());
}

#[tokio::test]
async fn a_file_is_read_as_the_driver_reads_it() {
    let bed = Bed::new(false);
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("encamp.toml");
    std::fs::write(
        &file,
        "name = \"one\"\n[machines.m]\nprovider = \"local\"\n[outputs]\na = \"{{ 1 + 1 }}\"\n",
    )
    .expect("a file");
    let guard = bed.open().up(file.as_path()).await.expect("it is up");
    assert_eq!(guard.outputs()["a"], "2");
    assert_eq!(guard.summary().file.as_deref(), file.to_str());
}
