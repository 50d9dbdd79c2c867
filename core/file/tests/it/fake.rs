//! A kind with a table like Docker's, and files that are not on any disk.

use std::collections::BTreeMap;
use std::io;
use std::path::Path;
use std::sync::Arc;

use async_trait::async_trait;
use encamp_core::{
    Ambient, Capabilities, Cx, Error, ErrorKind, InstanceName, Keeps, Kind, KindInfo, KindName, Problem, Provider,
    Settle, Value,
};
use encamp_file::{Failure, Kinds, Load, Loaded, Sources};
use schemars::JsonSchema;

#[derive(JsonSchema)]
#[serde(deny_unknown_fields)]
#[expect(dead_code, reason = "only its schema is used")]
struct Table {
    image: String,
    #[schemars(extend("x-late" = true))]
    command: Option<Words>,
    build: Option<Build>,
    user: Option<String>,
    init: Option<bool>,
    cpus: Option<f64>,
    pids: Option<u16>,
    pull: Option<Pull>,
    tmpfs: Option<Vec<String>>,
    #[schemars(extend("x-late" = true))]
    labels: Option<BTreeMap<String, String>>,
    sysctls: Option<BTreeMap<String, String>>,
}

#[derive(JsonSchema)]
#[serde(untagged)]
#[expect(dead_code, reason = "only its schema is used")]
enum Words {
    Shell(String),
    Argv(Vec<String>),
}

#[derive(JsonSchema)]
#[serde(untagged)]
#[expect(dead_code, reason = "only its schema is used")]
enum Build {
    Context(String),
    Full(BuildTable),
}

#[derive(JsonSchema)]
#[serde(deny_unknown_fields)]
#[expect(dead_code, reason = "only its schema is used")]
struct BuildTable {
    context: String,
    target: Option<String>,
}

#[derive(JsonSchema)]
#[serde(rename_all = "lowercase")]
#[expect(dead_code, reason = "only its schema is used")]
enum Pull {
    Always,
    Missing,
}

#[derive(JsonSchema)]
#[expect(dead_code, reason = "only its schema is used")]
struct Open {
    labels: Option<Vec<String>>,
}

#[derive(Debug)]
struct FakeKind(KindInfo);

#[async_trait]
impl Kind for FakeKind {
    fn info(&self) -> &KindInfo {
        &self.0
    }

    fn examine(&self, table: &Value) -> Vec<Problem> {
        let image = table.get("image").and_then(Value::as_str).unwrap_or_default();
        if image.chars().any(char::is_uppercase) {
            return vec![Problem::new("/image", "an image has no upper case").help("write it in lower case")];
        }
        Vec::new()
    }

    async fn connect(&self, _: &Cx, _: InstanceName, _: Value, _: Ambient) -> encamp_core::Result<Arc<dyn Provider>> {
        Err(Error::new(ErrorKind::Unsupported, "a fake connects to nothing"))
    }
}

fn kind(name: &str, schema: Value) -> (KindName, Arc<dyn Kind>) {
    let name = KindName::new(name).expect("a kind");
    let capabilities = Capabilities::new(Keeps::Labels, Settle::Replay { token_life: None });
    let info = KindInfo::new(name.clone(), "1", Value::Null, schema, capabilities);
    (name, Arc::new(FakeKind(info)))
}

/// `docker` with the instance `docker`, `ssh` with the instance `lab`.
pub(crate) fn kinds() -> Kinds {
    let mut kinds = Kinds::default();
    kinds.kinds.extend([
        kind("docker", schemars::schema_for!(Table).into()),
        kind("ssh", schemars::schema_for!(Open).into()),
    ]);
    for (instance, kind) in [("docker", "docker"), ("docker-eu", "docker"), ("lab", "ssh")] {
        let instance = InstanceName::new(instance).expect("an instance");
        kinds.instances.insert(instance, KindName::new(kind).expect("a kind"));
    }
    kinds
}

#[derive(Debug)]
struct Memory<'a>(&'a str);

impl Sources for Memory<'_> {
    fn read(&self, path: &Path) -> io::Result<String> {
        if path == Path::new("env/encamp.toml") {
            return Ok(self.0.to_owned());
        }
        Err(io::Error::from(io::ErrorKind::NotFound))
    }
}

pub(crate) fn load_with(text: &str, kinds: &Kinds, set: &[(&str, &str)]) -> Result<Loaded, Failure> {
    let set: Vec<(String, String)> = set.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
    let memory = Memory(text);
    let mut load = Load::new(Path::new("env/encamp.toml"), kinds);
    load.sources = &memory;
    load.set = &set;
    encamp_file::load(&load)
}

pub(crate) fn load(text: &str) -> Result<Loaded, Failure> {
    load_with(text, &kinds(), &[])
}

/// A file that has to be fine.
pub(crate) fn good(text: &str) -> Loaded {
    load(text).unwrap_or_else(|failure| panic!("{}", failure.render(false)))
}

/// What is said of a file that has to be wrong.
pub(crate) fn wrong(text: &str) -> String {
    wrong_with(text, &[])
}

pub(crate) fn wrong_with(text: &str, set: &[(&str, &str)]) -> String {
    let failure = load_with(text, &kinds(), set).expect_err("the file should be refused");
    let text = failure.render(false);
    text.lines().map(|line| line.trim_end().to_owned() + "\n").collect()
}

/// The file of the specification, as far as this version goes.
pub(crate) const SHOP: &str = r#"
name = "shop"
ttl = "2h"

[inputs]
version = { default = "1.4", help = "release under test" }
nodes = { default = 3 }
debug = { default = false }

[machines.db]
provider = "lab"
ssh.labels = ["ssd"]
ports = { pg = 5432 }
ready = [{ run = "pg_isready -h 127.0.0.1", within = "60s" }]

[machines.web]
provider = ["docker", "lab"]
count = 3
docker.image = "shop/web:{{ inputs.version }}"
docker.command = ["serve", "--name", "{{ me.name }}", "{{ ['-v', '-v'] if inputs.debug }}"]
env = { DATABASE_URL = "postgres://{{ machines.db.endpoint('pg') }}/shop", N = 1.10, INDEX = "{{ me.index }}" }
ports = { http = 8080 }
ready = [{ http = "http", path = "/healthz" }]
needs = { cpu = 2, memory = "4GiB" }

[machines.etcd]
provider = "docker"
count = "{{ inputs.nodes }}"
docker.image = "etcd"
docker.command = ["etcd", "--initial-cluster", "{{ machines.etcd | each('{name}=http://{endpoint:peer}') | join(',') }}"]
docker.labels = { db = "{{ machines.db.address }}" }
ports = { peer = 2380, client = { port = 2379, publish = false } }

[[stages]]
name = "test"
[[stages.tasks]]
name = "contract"
on = "web-0"
run = "pytest --junitxml=report.xml"
junit = ["report.xml"]
artifacts = ["screenshots/**"]
timeout = "10m"
[[stages.tasks]]
name = "each"
on = "web"
run = ["echo", "{{ stage }}", "{{ me.name }}", "{{ machines.db.endpoint('pg') }}"]
env = { ADDR = "{{ machines.db.address }}" }
[[stages.tasks]]
name = "outside"
on = "controller"
run = "curl {{ machines.web[0].url('http') }}"
always = true
retries = 2

[outputs]
url = "http://{{ machines.web[0].endpoint('http') }}"
all = "{{ machines.web.endpoints('http') | join(' ') }}"
"#;
