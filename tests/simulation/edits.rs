//! One file and thirty edits of it: each gives exactly the plan that is expected, and `up` does exactly that.

use std::collections::BTreeMap;
use std::sync::Arc;

use encamp_engine::events::Events;
use encamp_engine::journal::Memory;
use encamp_engine::plan::Action;
use encamp_file::Load;
use encamp_file::spec::Environment;
use serde_json::json;

use crate::bed::Bed;

const FILE: &str = r#"
name = "shop"
ttl = "1h"

[inputs]
version = { default = "1.4" }

[machines.db]
provider = "sim"
memory.image = "db:15"
env = { MODE = "quick" }
ports = { pg = 5432 }

[machines.cache]
provider = "sim"
memory.image = "cache"

[machines.web]
provider = "sim"
count = 3
memory.image = "web:{{ inputs.version }}"
env = { DB = "{{ machines.db.endpoint('pg') }}", WHO = "{{ me.name }}" }
ports = { http = 80 }
setup = [{ run = ["true"] }]
ready = [{ run = ["true"] }]

[machines.probe]
provider = "sim"
memory.image = "probe"
env = { AT = "{{ machines.db.address }}" }

[[stages]]
name = "test"
[[stages.tasks]]
name = "try"
on = "web-0"
run = ["true"]

[outputs]
url = "http://{{ machines.web[0].host('http') }}"
"#;

/// What stands in the file, what takes its place, and what that does to machines; every other one stays.
type Edit = (&'static str, &'static str, &'static [(&'static str, Action)]);

const WEB: &[(&str, Action)] = &[
    ("web-0", Action::Replace),
    ("web-1", Action::Replace),
    ("web-2", Action::Replace),
];
/// What was made with the address of a machine that comes anew, comes anew with it: in the same `up`.
const DB: &[(&str, Action)] = &[("db", Action::Replace), ("probe", Action::Replace)];
const CACHE: &[(&str, Action)] = &[("cache", Action::Replace)];
const NOTHING: &[(&str, Action)] = &[];

const EDITS: [Edit; 33] = [
    ("", "", NOTHING),
    // What decides nothing.
    ("ttl = \"1h\"", "ttl = \"2h\"", NOTHING),
    ("[inputs]", "# a comment\n\n[inputs]", NOTHING),
    ("name = \"try\"", "name = \"other\"", NOTHING),
    (
        "run = [\"true\"]\n\n[outputs]",
        "run = \"exit 0\"\ntimeout = \"1m\"\n\n[outputs]",
        NOTHING,
    ),
    ("url =", "address =", NOTHING),
    ("ready = [{ run = [\"true\"] }]", "", NOTHING),
    (
        "ready = [{ run = [\"true\"] }]",
        "ready = [{ run = [\"true\"], within = \"5s\" }]",
        NOTHING,
    ),
    ("memory.image = \"cache\"", "memory.image = 'cache'", NOTHING),
    ("memory.image = \"cache\"", "memory = { image = \"cache\" }", NOTHING),
    (
        "memory.image = \"cache\"",
        "depends_on = [\"db\"]\nmemory.image = \"cache\"",
        NOTHING,
    ),
    ("MODE = \"quick\"", "MODE = \"{{ 'quick' }}\"", NOTHING),
    (
        "version = { default = \"1.4\" }",
        "version = { default = \"1.4\", help = \"which\" }",
        NOTHING,
    ),
    (
        "memory.image = \"web:{{ inputs.version }}\"",
        "memory.image = \"web:1.4\"",
        NOTHING,
    ),
    // What decides a replacement, of that machine alone.
    ("MODE = \"quick\"", "MODE = \"slow\"", DB),
    ("MODE = \"quick\"", "MODE = \"quick\", MORE = 1", DB),
    ("env = { MODE = \"quick\" }\n", "", DB),
    ("memory.image = \"db:15\"", "memory.image = \"db:16\"", DB),
    ("ports = { pg = 5432 }", "ports = { pg = 5432, admin = 9000 }", DB),
    (
        "ports = { pg = 5432 }",
        "ports = { pg = { port = 5432, publish = false } }",
        DB,
    ),
    ("memory.image = \"cache\"", "memory.image = \"cache:2\"", CACHE),
    (
        "memory.image = \"cache\"",
        "memory.image = \"cache\"\nservices.extra = { run = [\"true\"] }",
        CACHE,
    ),
    (
        "memory.image = \"cache\"",
        "memory.image = \"cache\"\nenv = { A = \"b\" }",
        CACHE,
    ),
    ("default = \"1.4\"", "default = \"1.5\"", WEB),
    (
        "setup = [{ run = [\"true\"] }]",
        "setup = [{ run = [\"true\"] }, { run = [\"true\"] }]",
        WEB,
    ),
    ("WHO = \"{{ me.name }}\"", "WHO = \"{{ me.index }}\"", WEB),
    // What spreads.
    (
        "pg = 5432",
        "pg = 5433",
        &[
            ("db", Action::Replace),
            ("probe", Action::Replace),
            ("web-0", Action::Replace),
            ("web-1", Action::Replace),
            ("web-2", Action::Replace),
        ],
    ),
    // What comes and what goes.
    ("count = 3", "count = 4", &[("web-3", Action::Create)]),
    (
        "count = 3",
        "count = 1",
        &[("web-1", Action::Destroy), ("web-2", Action::Destroy)],
    ),
    (
        "[machines.cache]\nprovider = \"sim\"\nmemory.image = \"cache\"\n",
        "",
        &[("cache", Action::Destroy)],
    ),
    (
        "[machines.cache]",
        "[machines.redis]",
        &[("cache", Action::Destroy), ("redis", Action::Create)],
    ),
    (
        "[machines.cache]",
        "[machines.mail]\nprovider = \"sim\"\nmemory.image = \"mail\"\n\n[machines.cache]",
        &[("mail", Action::Create)],
    ),
    ("machines.db.endpoint('pg')", "machines.cache.name", WEB),
];

fn load(bed: &Bed, folder: &std::path::Path, text: &str) -> Environment {
    let path = folder.join("encamp.toml");
    std::fs::write(&path, text).unwrap();
    let kinds = bed.camp.providers.kinds();
    match encamp_file::load(&Load::new(&path, &kinds)) {
        Ok(loaded) => loaded.environment,
        Err(failure) => panic!("{}", failure.render(false)),
    }
}

/// The key of each machine that exists, which no other generation has.
fn standing(bed: &Bed) -> BTreeMap<String, String> {
    let machines = bed.world.machines();
    machines
        .iter()
        .map(|machine| (machine.object().to_owned(), machine.key.clone()))
        .collect()
}

#[tokio::test(start_paused = true)]
async fn each_edit_does_what_it_should_and_no_more() {
    for (index, (from, to, expected)) in EDITS.iter().enumerate() {
        let what = format!("edit {index}: {from} -> {to}");
        let bed = Bed::new(index as u64, json!({ "network": true }), Arc::new(Memory::default()));
        let folder = tempfile::tempdir().unwrap();
        let first = bed
            .camp
            .prepare_up(load(&bed, folder.path(), FILE), Events::none())
            .await
            .unwrap();
        let report = first.execute().await.unwrap();
        assert!(report.ready, "{what}: {report:?}");
        let before = standing(&bed);
        assert_eq!(before.len(), 6, "{what}");

        assert!(FILE.contains(from), "{what}");
        let edited = FILE.replacen(from, to, 1);
        let pending = bed
            .camp
            .prepare_up(load(&bed, folder.path(), &edited), Events::none())
            .await
            .unwrap();
        let planned: BTreeMap<&str, Action> = pending
            .plan()
            .steps
            .iter()
            .filter(|step| step.action != Action::Keep)
            .map(|step| (step.machine.as_str(), step.action))
            .collect();
        let wanted: BTreeMap<&str, Action> = expected.iter().copied().collect();
        assert_eq!(planned, wanted, "{what}");

        assert!(pending.execute().await.unwrap().ready, "{what}");
        let after = standing(&bed);
        let mut names: Vec<&str> = before.keys().chain(after.keys()).map(String::as_str).collect();
        names.sort_unstable();
        names.dedup();
        for name in names {
            let (old, new) = (before.get(name), after.get(name));
            let as_planned = match wanted.get(name) {
                None => old.is_some() && old == new,
                Some(Action::Replace) => old.is_some() && new.is_some() && old != new,
                Some(Action::Create) => old.is_none() && new.is_some(),
                Some(Action::Destroy) => old.is_some() && new.is_none(),
                Some(_) => false,
            };
            assert!(as_planned, "{what}: {name} was {old:?} and is {new:?}");
        }
        let again = bed
            .camp
            .prepare_up(load(&bed, folder.path(), &edited), Events::none())
            .await
            .unwrap();
        assert!(again.plan().is_empty(), "{what}: {:?}", again.plan());
        again.abandon().await.unwrap();
    }
}
