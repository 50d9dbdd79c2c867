//! A file that uses every feature, and what becomes of it.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use encamp_core::{Addr, AddrScope, KindName, Name, Secret};
use encamp_file::spec::{
    Action, Command, Condition, ControlVerb, Environment, On, Restart, SecretSource, Step, TaskAction,
};
use encamp_file::text::{Facts, MachineFacts, Viewer};

use crate::fake::{FULL, Memory, good, load_from};

fn name(text: &str) -> Name {
    Name::new(text).expect("a name")
}

fn full() -> Environment {
    let loaded = good(FULL);
    assert!(loaded.warnings.is_empty(), "{}", loaded.render(false));
    loaded.environment
}

fn step(environment: &Environment, machine: &str, index: usize) -> Step {
    environment.machine(machine).expect("a machine").setup[index].clone()
}

/// What is known once all runs.
fn facts() -> Facts {
    let mut db = MachineFacts::new(vec![Addr::new("10.0.0.7", AddrScope::Scope)], Vec::new());
    db.outputs.insert("token".to_owned(), "t0k3n".to_owned());
    let secrets = [
        ("shop-token", "<shop-token>"),
        ("db-password", "<db-password>"),
        ("api-key", "<api-key>"),
    ];
    let mut facts = facts_with(&secrets);
    facts.machines.insert(name("db"), db);
    facts
}

fn facts_with(secrets: &[(&str, &str)]) -> Facts {
    let secrets = secrets
        .iter()
        .map(|(it, value)| (name(it), Secret::new((*value).to_owned())));
    Facts {
        secrets: Arc::new(secrets.collect()),
        ..Facts::default()
    }
}

#[test]
fn set_up_is_read_in_order() {
    let full = full();
    let db = &full.machine("db").unwrap().setup;
    let Action::Script(script) = &db[0].action else {
        panic!("{:?}", db[0])
    };
    assert_eq!(script.file, Path::new("env/install.sh"));
    assert_eq!(script.args[1].as_static(), Some("1.4"));
    assert_eq!(db[0].timeout, Duration::from_mins(5));
    assert_eq!(db[1].timeout, Step::TIMEOUT);
    assert!(matches!(&db[1].action, Action::Run(Command::Shell(text)) if text.as_static() == Some("useradd ${NAME%}")));
    assert_eq!(db[1].env["NAME"].as_static(), Some("pg"));
    assert_eq!(
        (db[1].cwd.as_ref().unwrap().source(), db[1].user.as_deref()),
        ("/tmp", Some("root"))
    );
    assert_eq!(db[2].output, Some(name("token")));
    assert!(db[3].after_ready && !db[2].after_ready);
    let Action::Fetch(fetch) = &db[4].action else {
        panic!("{:?}", db[4])
    };
    assert!(fetch.unpack && fetch.sha256.starts_with("e3b0c442"));
    assert_eq!(fetch.url.as_static(), Some("https://example.org/data-1.4.tar.gz"));
    let Action::Sync(sync) = &db[5].action else {
        panic!("{:?}", db[5])
    };
    assert_eq!((sync.from.as_path(), sync.exclude.len()), (Path::new("env"), 2));
    assert_eq!(db[5].place.as_ref().unwrap().line, 27);

    let Action::Copy(copy) = step(&full, "web-1", 0).action else {
        panic!()
    };
    assert_eq!(copy.from, Path::new("env/site"));
    assert_eq!((copy.owner.as_deref(), copy.mode), (Some("www:www"), Some(0o644)));
    let Action::Copy(copy) = step(&full, "web-1", 1).action else {
        panic!()
    };
    assert_eq!(
        (copy.from.as_path(), copy.mode),
        (Path::new("env/install.sh"), Some(0o755))
    );
}

#[test]
fn services_secrets_and_probes() {
    let full = full();
    let db = full.machine("db").unwrap();
    assert_eq!(db.services.len(), 2);
    assert_eq!(db.services[0].name.as_str(), "postgres");
    assert_eq!(db.services[0].restart, Restart::OnFailure);
    assert_eq!(db.services[1].restart, Restart::No);
    assert!(matches!(&db.services[1].command, Command::Argv(words) if words[1].as_static() == Some("{{")));
    assert_eq!(db.ready[0].stable, Some(Duration::from_secs(2)));
    assert!(matches!(&db.ready[1].condition, Condition::Log { pattern } if pattern.ends_with(r"\d+")));
    assert!(matches!(&db.ready[2].condition, Condition::File { path } if path.as_static() == Some("/run/ready")));
    let web = full.machine("web-0").unwrap();
    assert!(
        matches!(&web.ready[0].condition, Condition::Http { json: Some(json), .. } if json["status"] == "ok" && json["n"] == 1)
    );
    assert!(matches!(web.ready[1].condition, Condition::Healthcheck));
    assert!(matches!(web.ready[2].condition, Condition::Ssh));
    assert!(matches!(web.ready[3].condition, Condition::CloudInit));
    assert!(matches!(&web.group_ready[0].condition, Condition::Tcp { port } if port.as_str() == "http"));
    assert_eq!((web.ready.len(), web.group_ready.len()), (4, 1));
    assert!(matches!(&full.secrets["shop-token"], SecretSource::Variable(it) if it == "SHOP_TOKEN"));
    assert!(matches!(&full.secrets["db-password"], SecretSource::File(it) if it == Path::new("env/secret/password")));
    assert!(
        matches!(&full.secrets["api-key"], SecretSource::Command(Command::Argv(it)) if it[2].as_static() == Some("1.4"))
    );
    let names = full.secret_names();
    assert_eq!(
        names.iter().map(Name::as_str).collect::<Vec<_>>(),
        ["api-key", "db-password", "shop-token"]
    );
}

#[test]
fn serial_members_wait_for_the_one_before() {
    let full = full();
    let after = |machine: &str| {
        full.machine(machine)
            .unwrap()
            .after
            .iter()
            .map(Name::as_str)
            .collect::<Vec<_>>()
    };
    assert_eq!(after("web-0"), ["db"]);
    assert_eq!(after("web-1"), ["db", "web-0"]);
}

#[test]
fn secrets_are_rendered_from_facts_alone() {
    let full = full();
    let db = full.machine("db").unwrap();
    let text = &db.env["PGPASSWORD"];
    assert!(text.is_secret() && !text.is_late() && text.as_static().is_none());
    let viewer = Viewer::Member(name("db"));
    assert_eq!(text.render(&facts(), &viewer).unwrap(), "<db-password>");
    let error = text.render(&Facts::default(), &viewer).unwrap_err();
    assert_eq!(
        error.to_string(),
        "env/encamp.toml:19:22: `secret('db-password')`: the secret `db-password` is not known here"
    );
    assert!(!format!("{text:?}").contains("<db-password>"));
    let url = &full.machine("web-0").unwrap().secrets["URL"];
    assert_eq!(url.render(&facts(), &viewer).unwrap(), "https://u:<api-key>@x");
}

#[test]
fn an_error_about_a_secret_does_not_quote_it() {
    // While loading something of nine characters stands for a secret; then the other branch is taken.
    let text = "name = 'x'\n[secrets]\ns = { variable = 'S' }\n[machines.a]\nprovider = 'lab'\n\
                env = { A = \"{{ 'x' if secret('s') | length == 9 else machines[secret('s')].name }}\" }\n\
                setup = [{ template = 't.j2', to = '/t' }]\n";
    let mut memory = Memory::new(text);
    memory.put(
        "t.j2",
        "{% set name = secret('s') %}{% if name | length != 9 %}{{ machines[name].name }}{% endif %}",
    );
    let loaded = load_from(&memory, |_| {}).unwrap_or_else(|failure| panic!("{}", failure.render(false)));
    let machine = &loaded.environment.machines[0];
    let (facts, viewer) = (facts_with(&[("s", "hunter2")]), Viewer::Member(name("a")));
    let Action::Template(file) = &machine.setup[0].action else {
        panic!()
    };
    for error in [
        machine.env["A"].render(&facts, &viewer).unwrap_err(),
        file.template.render(&facts, &viewer).unwrap_err(),
    ] {
        assert!(!format!("{error:?} {error}").contains("hunter2"), "{error}");
        assert!(error.message().contains("holds a secret"), "{error}");
    }
}

#[test]
fn outputs_are_late_and_a_dependency() {
    let full = full();
    let docker = KindName::new("docker").unwrap();
    let table = &full.machine("web-0").unwrap().tables[&docker];
    let late = table.render_late(&facts(), &Viewer::Member(name("web-0"))).unwrap();
    assert_eq!(late["/command/4"], "t0k3n");
    let output = &full.outputs["token"];
    assert!(output.is_late() && output.needs().contains("db"));
    assert_eq!(output.render(&facts(), &Viewer::Controller).unwrap(), "t0k3n");
}

#[test]
fn templates_see_what_expressions_see_and_their_variables() {
    let full = full();
    let Action::Template(file) = step(&full, "web-1", 2).action else {
        panic!()
    };
    assert_eq!(
        (file.mode, file.template.file()),
        (Some(0o600), Path::new("env/conf/app.conf.j2"))
    );
    let template = &file.template;
    assert!(template.is_late() && template.is_secret());
    assert_eq!(template.needs().iter().map(Name::as_str).collect::<Vec<_>>(), ["db"]);
    let viewer = Viewer::Member(name("web-1"));
    assert_eq!(
        template.render(&facts(), &viewer).unwrap(),
        "# hello 1 from web-1\nserver web-0:8080;\nserver web-1:8080;\ndb = 10.0.0.7\n{{ left alone }}\ntoken = <shop-token>\n"
    );
    let error = template.render(&Facts::default(), &viewer).unwrap_err();
    assert_eq!(
        error.to_string(),
        "env/conf/app.conf.j2:4:21: this is known only once `db` runs"
    );
    let Action::Template(file) = step(&full, "web-1", 3).action else {
        panic!()
    };
    assert!(!file.template.is_late() && !file.template.is_secret());
    assert_eq!(file.template.render(&Facts::default(), &viewer).unwrap(), "42\n");
}

#[test]
fn tasks_do_what_they_say() {
    let full = full();
    let tasks = &full.stages[0].tasks;
    assert!(tasks[0].background && !tasks[1].background);
    assert!(tasks[1].env["TOKEN"].is_secret());
    let Some(Command::Shell(raw)) = tasks[2].command() else {
        panic!()
    };
    assert_eq!(raw.as_static(), Some("echo '{{ not.an.expression }}' {{ me.name"));
    assert!(matches!(&tasks[3].action, TaskAction::Step(Action::Template(file)) if file.template.is_late()));
    let TaskAction::Control { verb, machine } = &tasks[4].action else {
        panic!()
    };
    assert_eq!((*verb, machine.as_str()), (ControlVerb::Stop, "web-1"));
    assert_eq!(tasks[4].on, On::Machines(name("web-1")));
    assert_eq!(tasks[5].timeout, Duration::from_mins(2));
    assert!(matches!(&tasks[6].action, TaskAction::Finish { task } if task.as_str() == "load"));
    assert_eq!(tasks[6].on, On::Machines(name("db")));
    let outside = &full.stages[1].tasks;
    let TaskAction::Step(Action::Script(script)) = &outside[0].action else {
        panic!()
    };
    assert_eq!((&outside[0].on, script.args.len()), (&On::Controller, 1));
    assert!(matches!(&outside[2].action, TaskAction::Step(Action::Fetch(fetch)) if fetch.sha256.starts_with("e3b0")));
    let words: Vec<String> = tasks.iter().map(|task| task.action.to_string()).collect();
    assert_eq!(
        words[3..],
        [
            "template app.conf.j2 to /etc/app.conf",
            "stop web-1",
            "start web",
            "finish load"
        ]
    );
}

#[test]
fn the_hash_covers_what_is_named() {
    let docker = KindName::new("docker").unwrap();
    let lab = KindName::new("ssh").unwrap();
    let hash = |change: &dyn Fn(&mut Memory), text: &str, machine: &str, kind: &KindName| {
        let mut memory = Memory::new(text);
        change(&mut memory);
        let loaded = load_from(&memory, |_| {}).unwrap_or_else(|failure| panic!("{}", failure.render(false)));
        loaded.environment.machine(machine).unwrap().spec_hash(kind)
    };
    let none: &dyn Fn(&mut Memory) = &|_| {};
    let (web, db) = (hash(none, FULL, "web-0", &docker), hash(none, FULL, "db", &lab));
    let put = |path: &'static str, content: &'static str| move |memory: &mut Memory| memory.put(path, content);

    assert_ne!(
        web,
        hash(&put("site/index.html", "bye"), FULL, "web-0", &docker),
        "a copied file"
    );
    assert_ne!(
        web,
        hash(&put("site/new.html", ""), FULL, "web-0", &docker),
        "a new file in a copied folder"
    );
    assert_ne!(
        web,
        hash(&put("conf/app.conf.j2", "{{ greeting }}"), FULL, "web-0", &docker),
        "a template"
    );
    assert_ne!(
        web,
        hash(&put("web/Dockerfile", "FROM x"), FULL, "web-0", &docker),
        "what an image is built from"
    );
    assert_eq!(
        web,
        hash(&put("web/build.log", "other"), FULL, "web-0", &docker),
        "what `.dockerignore` leaves out"
    );
    assert_ne!(db, hash(&put("install.sh", "exit 1"), FULL, "db", &lab), "a script");
    assert_eq!(
        db,
        hash(&put("other.txt", "x"), FULL, "db", &lab),
        "the tree of a `sync`"
    );

    let changed = |from: &str, to: &str| {
        assert!(FULL.contains(from), "{from}");
        FULL.replace(from, to)
    };
    for (from, to) in [
        ("\"useradd ${NAME%}\"", "\"useradd\""),
        ("restart = \"on-failure\"", "restart = \"no\""),
        ("LC_ALL = \"C\"", "LC_ALL = \"D\""),
        ("unpack = true", "unpack = false"),
        ("exclude = [\"target\"", "exclude = [\"targets\""),
        ("secret('db-password') }}\" }", "secret('api-key') }}\" }"),
        (", user = \"root\"", ""),
    ] {
        assert_ne!(db, hash(none, &changed(from, to), "db", &lab), "{from}");
    }
    for (from, to) in [
        ("greeting = \"hello", "greeting = \"bye"),
        ("nodes = { default = 2 }", "nodes = { default = 3 }"),
        (
            "TOKEN = \"{{ secret('shop-token') }}\", URL",
            "TOKEN = \"{{ secret('api-key') }}\", URL",
        ),
        ("mode = \"600\"", "mode = \"640\""),
    ] {
        assert_ne!(web, hash(none, &changed(from, to), "web-0", &docker), "{from}");
    }
    for (from, to) in [
        ("within = \"60s\"", "within = \"61s\""),
        ("timeout = \"5m\"", "timeout = \"6m\""),
        ("variable = \"SHOP_TOKEN\"", "variable = \"OTHER\""),
        ("depends_on = [\"db\"]", "depends_on = []"),
        ("background = true", "background = true\nalways = true"),
    ] {
        let text = changed(from, to);
        assert_eq!(db, hash(none, &text, "db", &lab), "{from}");
        assert_eq!(web, hash(none, &text, "web-0", &docker), "{from}");
    }
}

#[test]
fn more_secrets_may_come_from_the_settings() {
    let text = FULL.replace("shop-token = { variable = \"SHOP_TOKEN\" }", "");
    let memory = Memory::new(&text);
    let further = [name("shop-token")].into();
    assert!(load_from(&memory, |_| {}).is_err());
    let loaded = load_from(&memory, |load| load.secrets = &further).unwrap();
    assert!(loaded.environment.secret_names().contains("shop-token"));
    assert!(!loaded.environment.secrets.contains_key("shop-token"));
}

#[test]
fn a_secret_may_be_visible_where_that_is_allowed() {
    let text = FULL.replace("/shop\" }", "/shop\", PASSWORD = \"{{ secret('db-password') }}\" }");
    let memory = Memory::new(&text);
    assert!(load_from(&memory, |_| {}).is_err());
    let loaded = load_from(&memory, |load| load.allow_visible = true).unwrap();
    assert!(loaded.environment.machine("web-0").unwrap().env["PASSWORD"].is_secret());
}

#[test]
fn inputs_may_come_from_a_file() {
    let mut memory = Memory::new(FULL);
    memory.put("values.toml", "nodes = 3\nversion = \"1.5\"\n");
    let set = [("version".to_owned(), "1.4".to_owned())];
    let loaded = load_from(&memory, |load| {
        load.inputs = Some(Path::new("env/values.toml"));
        load.set = &set;
    });
    let environment = loaded
        .unwrap_or_else(|failure| panic!("{}", failure.render(false)))
        .environment;
    assert_eq!(environment.groups["web"].len(), 3);
    let docker = KindName::new("docker").unwrap();
    let image = &environment.machine("web-0").unwrap().tables[&docker].skeleton()["image"];
    assert_eq!(image, "shop/web:1.4", "`--set` comes first");
}
