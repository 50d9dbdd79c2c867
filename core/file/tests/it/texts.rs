//! Texts that are rendered while the environment runs.

use encamp_core::{Addr, AddrScope, Name, Published};
use encamp_file::spec::{Command, Environment};
use encamp_file::text::{Facts, MachineFacts, RenderErrorKind, Text, Tree, Viewer};
use serde_json::json;

use crate::fake::{SHOP, good, kinds_with_host, load_with, refused};

fn name(text: &str) -> Name {
    Name::new(text).expect("a name")
}

fn member(text: &str) -> Viewer {
    Viewer::Member(name(text))
}

fn facts() -> Facts {
    let mut facts = Facts::default();
    facts.machines.insert(
        name("db"),
        MachineFacts::new(vec![Addr::new("10.0.0.7", AddrScope::Scope)], Vec::new()),
    );
    for (index, port) in [(0, 49163), (1, 49164), (2, 49165)] {
        facts.machines.insert(
            name(&format!("web-{index}")),
            MachineFacts::new(Vec::new(), vec![Published::new(8080, "127.0.0.1", port)]),
        );
    }
    facts
}

fn words(environment: &Environment, task: usize) -> &[Text] {
    match environment.stages[0].tasks[task].command().expect("a command") {
        Command::Argv(words) => words,
        Command::Shell(text) => std::slice::from_ref(text),
    }
}

#[test]
fn a_task_of_a_group_is_rendered_for_each_member() {
    let shop = good(SHOP).environment;
    let words = words(&shop, 1);
    assert_eq!(words[1].as_static(), Some("test"));
    assert_eq!((words[2].as_static(), words[2].is_late()), (None, false));
    assert_eq!(words[2].render(&Facts::default(), &member("web-2")).unwrap(), "web-2");
    assert_eq!(words[3].as_static(), Some("db:5432"));
    assert_eq!(words[2].source(), "{{ me.name }}");
}

#[test]
fn an_address_is_known_once_the_machine_runs() {
    let shop = good(SHOP).environment;
    let text = &shop.stages[0].tasks[1].env["ADDR"];
    assert!(text.is_late());
    assert_eq!(text.needs().iter().collect::<Vec<_>>(), [&name("db")]);
    assert_eq!(text.render(&facts(), &member("web-0")).unwrap(), "10.0.0.7");
    let error = text.render(&Facts::default(), &member("web-0")).unwrap_err();
    assert_eq!(error.kind(), &RenderErrorKind::NotKnown { machine: name("db") });
    insta::assert_snapshot!(error, @r#"env/encamp.toml:47:16: `machines.db.address`: this is known only once `db` runs"#);
}

#[test]
fn the_controller_sees_published_ports() {
    let shop = good(SHOP).environment;
    let url = &shop.outputs["url"];
    assert!(url.is_late());
    assert_eq!(
        url.render(&facts(), &Viewer::Controller).unwrap(),
        "http://127.0.0.1:49163"
    );
    let all = &shop.outputs["all"];
    assert_eq!(
        all.render(&facts(), &Viewer::Controller).unwrap(),
        "127.0.0.1:49163 127.0.0.1:49164 127.0.0.1:49165"
    );
    assert_eq!(
        words(&shop, 2)[0].render(&facts(), &Viewer::Controller).unwrap(),
        "curl http://127.0.0.1:49163"
    );
    let mut unpublished = facts();
    unpublished.machines.insert(name("web-0"), MachineFacts::default());
    let error = url.render(&unpublished, &Viewer::Controller).unwrap_err();
    insta::assert_snapshot!(error, @r#"env/encamp.toml:56:7: `machines.web[0].endpoint('http')`: port `http` of `web-0` is not published"#);
}

#[test]
fn late_leaves_of_a_table_are_rendered_by_pointer() {
    let shop = good(SHOP).environment;
    let tree = &shop.machine("etcd-0").unwrap().tables["docker"];
    let rendered = tree.render_late(&facts(), &member("etcd-0")).unwrap();
    assert_eq!(rendered["/labels/db"], json!("10.0.0.7"));
    let mut table = tree.skeleton();
    assert!(encamp_core::fill_late(&mut table, &rendered).is_empty());
    assert_eq!(table["labels"]["db"], "10.0.0.7");
}

#[test]
fn what_an_expression_did_not_declare_it_does_not_read() {
    let text = "name = 'x'\n[machines.a]\nprovider = 'lab'\n[machines.b]\nprovider = 'lab'\n\
                [outputs]\no = \"{{ machines.b.address if machines.a.address == '1' else 'no' }}\"\n";
    let output = &good(text).environment.outputs["o"];
    assert_eq!(output.needs().len(), 2);
}

#[test]
fn texts_of_a_program_are_fixed() {
    let text = Text::from("a {{ b }}");
    assert_eq!(
        text.render(&Facts::default(), &Viewer::Controller).unwrap(),
        "a {{ b }}"
    );
    assert!(!text.is_late() && text.needs().is_empty());
    let tree = Tree::fixed(json!({ "image": "x" }));
    assert_eq!(tree.late().count(), 0);
    assert_eq!(tree.skeleton(), json!({ "image": "x" }));
}

#[test]
fn values_keep_their_type() {
    let text = "name = 'x'\n[machines.a]\nprovider = 'lab'\nports = { p = 80 }\n[outputs]\n\
                o = \"{{ machines.a.endpoint('p')| split(':') | last | int }}\"\n";
    let output = good(text).environment.outputs["o"].clone();
    let mut facts = Facts::default();
    facts.machines.insert(
        name("a"),
        MachineFacts::new(Vec::new(), vec![Published::new(80, "h", 5)]),
    );
    assert_eq!(output.render_value(&facts, &Viewer::Controller).unwrap(), json!(5));
}

/// A machine of this host that speaks of another, of its own group, and of a container.
const HERE: &str = r#"
name = "here"
[machines.db]
provider = "here"
here.image = "x"
ports = { pg = 5432 }
[machines.box]
provider = "docker"
docker.image = "x"
ports = { http = 80 }
[machines.web]
provider = "here"
count = 2
here = { image = "x", command = ["serve", "{{ me.port('http') }}"] }
ports = { http = 8080 }
env = { DB = "{{ machines.db.endpoint('pg') }}", PEERS = "{{ machines.web.endpoints('http') | join(',') }}", BOX = "{{ machines.box.endpoint('http') }}" }
"#;

#[test]
fn ports_of_this_host_have_the_numbers_that_they_are_given() {
    let loaded = load_with(HERE, &kinds_with_host(), &[]).unwrap_or_else(|failure| panic!("{}", failure.render(false)));
    let here = loaded.environment;
    let web = here.machine("web-1").expect("a member");
    let given = |machine: &str, port: &str, number| (name(machine), [(name(port), number)].into());
    let mut known = Facts {
        numbers: std::sync::Arc::new(
            [
                given("db", "pg", 20_001),
                given("web-0", "http", 20_002),
                given("web-1", "http", 20_003),
            ]
            .into(),
        ),
        ..Facts::default()
    };
    known.machines.insert(
        name("box"),
        MachineFacts::new(Vec::new(), vec![Published::new(80, "127.0.0.1", 40_080)]),
    );
    let text = |key: &str| web.env[key].render(&known, &member("web-1")).unwrap();
    assert_eq!(text("DB"), "127.0.0.1:20001");
    assert_eq!(text("PEERS"), "127.0.0.1:20002,127.0.0.1:20003");
    // A container is dialled from this host, where it is published: known once it runs.
    assert_eq!(text("BOX"), "127.0.0.1:40080");
    assert!(web.env["BOX"].is_late() && !web.env["DB"].is_late() && !web.env["PEERS"].is_late());
    assert!(web.after.contains(&name("db")) && web.after.contains(&name("box")));
    let table = web.tables.values().next().expect("a table");
    let late = table.render_late(&known, &member("web-1")).unwrap();
    assert_eq!(late.values().next(), Some(&json!(20003)), "{late:?}");
}

#[test]
fn a_container_cannot_reach_this_host() {
    let text = HERE.replace(
        "docker.image = \"x\"",
        "docker.image = \"x\"\nenv = { DB = \"{{ machines.db.endpoint('pg') }}\" }",
    );
    let said = refused(load_with(&text, &kinds_with_host(), &[]));
    assert!(
        said.contains("`box` has a network of its own and cannot reach `db`"),
        "{said}"
    );
    let group = HERE.replace("machines.db.endpoint('pg')", "machines.web.endpoint('http')");
    let said = refused(load_with(&group, &kinds_with_host(), &[]));
    assert!(
        said.contains("`web` is a group, and on this host each of its members has a number of its own"),
        "{said}"
    );
}

/// What a port is, and who reaches it, is not the same on both.
#[test]
fn providers_of_two_sorts_of_networks_are_not_mixed() {
    let text = HERE.replacen("provider = \"here\"", "provider = [\"here\", \"docker\"]", 1);
    assert_ne!(text, HERE);
    let said = refused(load_with(&text, &kinds_with_host(), &[]));
    assert!(
        said.contains("would listen on this host or in a network of its own"),
        "{said}"
    );
    let one = HERE.replacen("provider = \"docker\"", "provider = [\"docker\", \"docker-eu\"]", 1);
    assert_ne!(one, HERE);
    assert!(load_with(&one, &kinds_with_host(), &[]).is_ok());
}
