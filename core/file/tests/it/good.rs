//! Files that are fine, and what becomes of them.

use std::time::Duration;

use encamp_core::{KindName, Name, Publish};
use encamp_file::spec::{Command, Condition, Environment, On};
use serde_json::json;

use crate::fake::{SHOP, good, kinds, load_with};

fn names(environment: &Environment) -> Vec<&str> {
    environment
        .machines
        .iter()
        .map(|machine| machine.name.as_str())
        .collect()
}

#[test]
fn the_shop_is_spelled_out() {
    let loaded = good(SHOP);
    let shop = &loaded.environment;
    assert_eq!(shop.name.as_str(), "shop");
    assert_eq!(shop.ttl, Duration::from_hours(2));
    assert_eq!(
        names(shop),
        ["db", "web-0", "web-1", "web-2", "etcd-0", "etcd-1", "etcd-2"]
    );
    assert_eq!(shop.groups["web"].len(), 3);
    assert_eq!(shop.members("web").len(), 3);
    assert_eq!(shop.members("db").len(), 1);
    assert_eq!(shop.folder.to_str(), Some("env"));
    assert!(loaded.warnings.is_empty(), "{}", loaded.render(false));
}

#[test]
fn members_know_who_they_are() {
    let shop = good(SHOP).environment;
    let web = shop.machine("web-1").unwrap();
    let docker = KindName::new("docker").unwrap();
    assert_eq!(
        web.group.as_ref().map(|(name, index)| (name.as_str(), *index)),
        Some(("web", 1))
    );
    assert_eq!(web.env["INDEX"].as_static(), Some("1"));
    assert_eq!(web.env["N"].as_static(), Some("1.10"));
    assert_eq!(web.env["DATABASE_URL"].as_static(), Some("postgres://db:5432/shop"));
    assert_eq!(
        web.tables[&docker].skeleton(),
        json!({ "image": "shop/web:1.4", "command": ["serve", "--name", "web-1"] })
    );
    assert_eq!(web.after.iter().map(Name::as_str).collect::<Vec<_>>(), ["db"]);
    assert_eq!(web.needs.memory, Some(4 << 30));
    assert_eq!(web.place.as_ref().unwrap().to_string(), "env/encamp.toml:16:11");
}

#[test]
fn an_own_group_is_no_dependency_and_an_address_is_late() {
    let shop = good(SHOP).environment;
    let docker = KindName::new("docker").unwrap();
    let etcd = shop.machine("etcd-0").unwrap();
    let skeleton = etcd.tables[&docker].skeleton();
    assert_eq!(
        skeleton["command"][2],
        "etcd-0=http://etcd-0:2380,etcd-1=http://etcd-1:2380,etcd-2=http://etcd-2:2380"
    );
    assert_eq!(
        skeleton["labels"]["db"],
        json!({ "$late": "{{ machines.db.address }}" })
    );
    let late: Vec<String> = etcd.tables[&docker].late().map(|(pointer, _)| pointer).collect();
    assert_eq!(late, ["/labels/db"]);
    assert_eq!(etcd.after.iter().map(Name::as_str).collect::<Vec<_>>(), ["db"]);
    assert_eq!(etcd.port("client").unwrap().publish, Publish::Inside);
}

#[test]
fn defaults_are_those_of_the_specification() {
    let shop = good(SHOP).environment;
    let probe = &shop.machine("web-0").unwrap().ready[0];
    assert!(
        matches!(&probe.condition, Condition::Http { status: None, path, .. } if path.as_static() == Some("/healthz"))
    );
    assert_eq!(
        (probe.within, probe.timeout),
        (Duration::from_mins(1), Duration::from_secs(5))
    );
    let tasks = &shop.stages[0].tasks;
    assert_eq!(tasks[0].timeout, Duration::from_mins(10));
    assert_eq!(tasks[1].timeout, Duration::from_mins(30));
    assert!(matches!(&tasks[0].on, On::Machines(name) if name.as_str() == "web-0"));
    assert_eq!(tasks[2].on, On::Controller);
    assert_eq!(tasks[2].retries, 2);
    assert!(matches!(tasks[1].command().unwrap(), Command::Argv(words) if words.len() == 4));
}

#[test]
fn what_is_set_takes_the_type_of_the_default() {
    let text = "name = 'x'\n[inputs]\nv = { default = '1.4' }\nn = { default = 1 }\nfree = { help = 'any' }\n\
                [machines.a]\nprovider = 'docker'\ncount = '{{ inputs.n }}'\ndocker = { image = 'a:{{ inputs.v }}', \
                pids = '{{ inputs.free }}', user = '{{ inputs.free }}' }\n";
    let set = [
        ("inputs.v", "1.10"),
        ("n", "2"),
        ("free", "7"),
        ("machines.*.provider", "docker-eu"),
    ];
    let loaded = load_with(text, &kinds(), &set).unwrap();
    let machines = &loaded.environment.machines;
    assert_eq!(machines.len(), 2);
    assert_eq!(machines[0].providers[0].as_str(), "docker-eu");
    let table = machines[0].tables[&KindName::new("docker").unwrap()].skeleton();
    assert_eq!(table, json!({ "image": "a:1.10", "pids": 7, "user": "7" }));
}

#[test]
fn a_machine_needs_no_table_where_none_is_required() {
    let loaded = good("name = 'x'\n[machines.a]\nprovider = 'lab'\n");
    assert!(loaded.environment.machines[0].tables.contains_key("ssh"));
    assert_eq!(loaded.environment.ttl, Duration::from_hours(1));
}

#[test]
fn machines_come_after_what_they_wait_for() {
    let text = "name = 'x'\n[machines.a]\nprovider = 'lab'\ndepends_on = ['c']\n[machines.b]\nprovider = 'lab'\n\
                [machines.c]\nprovider = 'lab'\nports = { p = 1 }\nenv = { X = \"{{ machines['d-e'].endpoint('p') }}\" }\n\
                [machines.d-e]\nprovider = 'lab'\nports = { p = 1 }\nenv = { Y = \"{{ machines.c.name }}:{{ machines.c.port('p') }}\" }\n";
    assert_eq!(names(&good(text).environment), ["b", "d-e", "c", "a"]);
}

#[test]
fn the_hash_is_of_what_makes_a_machine() {
    let docker = KindName::new("docker").unwrap();
    let hash = |text: &str| good(text).environment.machine("etcd-1").unwrap().spec_hash(&docker);
    let before = hash(SHOP);
    assert_eq!(before.len(), 16);
    assert_eq!(before, hash(SHOP));
    assert_eq!(
        before,
        hash(
            &SHOP
                .replace("ttl = \"2h\"", "ttl = \"3h\"")
                .replace("pg_isready", "true")
        )
    );
    assert_ne!(before, hash(&SHOP.replace("2380", "2381")));
    assert_ne!(before, hash(&SHOP.replace("\"etcd\"\n", "\"etcd:2\"\n")));
    assert_ne!(
        before,
        hash(&SHOP.replace("machines.db.address", "machines.db.address ~ ''"))
    );
    insta::assert_snapshot!(before, @r#"d1be55724ebef3cf"#);
}

#[test]
fn shell_syntax_is_left_alone() {
    let text = "name = 'x'\n[machines.a]\nprovider = 'lab'\nenv = { A = '${#x} {% if %} {# no #} { {{ \"{{\" }} }' }\n";
    assert_eq!(
        good(text).environment.machines[0].env["A"].as_static(),
        Some("${#x} {% if %} {# no #} { {{ }")
    );
}

#[test]
fn warnings_do_not_refuse() {
    let text = "name = 'x'\n[machines.a]\nprovider = 'docker'\ndocker.image = 'r.io/library/postgres:16@sha256:1'\n\
                ports = { pg = 5432 }\nready = [{ tcp = 'pg' }]\nenv = { count = 3 }\nssh = { ports = 1 }\n";
    let rendered = good(text).render(false);
    insta::assert_snapshot!(rendered, @r#"
    warning[W0202]: `a` opens its port before postgres answers
     --> env/encamp.toml:6:9
      |
    6 | ready = [{ tcp = 'pg' }]
      |         ^^^^^^^^^^^^^^^^ help: { run = "pg_isready -h 127.0.0.1" }
    warning[W0201]: `count` is a key of the machine; here it becomes a variable
     --> env/encamp.toml:7:9
      |
    7 | env = { count = 3 }
      |         ^^^^^ help: write `count` beside `env`
    warning[W0201]: `ports` is a key of the machine, not of `ssh`
     --> env/encamp.toml:8:9
      |
    8 | ssh = { ports = 1 }
      |         ^^^^^ help: write `ports` beside `ssh`
    "#);
}

#[test]
fn udp_is_reached_where_a_provider_may_carry_both() {
    good(
        "name = 'x'\n[machines.stats]\nprovider = ['lab', 'docker']\ndocker.image = 'a'\nports = { s = { port = 8125, protocol = 'udp' } }\n\
         [machines.web]\nprovider = 'docker'\ndocker.image = 'a'\nenv = { STATS = \"{{ machines.stats.endpoint('s') }}\" }\n",
    );
}

#[test]
fn newer_toml_is_read_and_noted() {
    let rendered = good("name = 'x'\n[machines.a]\nprovider = 'lab'\nenv = {\n  A = \"\\e[1m\",\n}\n").render(false);
    insta::assert_snapshot!(rendered, @r#"
    warning[W0204]: a table in braces over several lines needs TOML 1.1
     --> env/encamp.toml:4:7
      |
    4 | env = {
      |       ^
      |
      = note: encamp reads it; other tools may know TOML 1.0 alone
    warning[W0204]: this escape needs TOML 1.1
     --> env/encamp.toml:5:8
      |
    5 |   A = "\e[1m",
      |        ^^
      |
      = note: encamp reads it; other tools may know TOML 1.0 alone
    warning[W0204]: a comma behind the last key of a table in braces needs TOML 1.1
     --> env/encamp.toml:5:14
      |
    5 |   A = "\e[1m",
      |              ^
      |
      = note: encamp reads it; other tools may know TOML 1.0 alone
    "#);
}

#[test]
fn a_secret_that_is_none_is_noted() {
    let rendered = good("name = 'x'\n[machines.a]\nprovider = 'lab'\nsecrets = { A = 'hunter2' }\n").render(false);
    insta::assert_snapshot!(rendered, @r#"
    warning[W0205]: `A` is no secret: it stands in the file
     --> env/encamp.toml:4:17
      |
    4 | secrets = { A = 'hunter2' }
      |                 ^^^^^^^^^ help: `env` for what is none; else `A = "{{ secret('…') }}"`
    "#);
}
