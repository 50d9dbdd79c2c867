//! A kind with a table like Docker's, and files that are not on any disk.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsString;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, LazyLock};

use async_trait::async_trait;
use encamp_core::{
    Ambient, Capabilities, Cx, Error, ErrorKind, InstanceName, Keeps, Kind, KindInfo, KindName, Network, Problem,
    Provider, Settle, Value,
};
use encamp_file::{Failure, FileKind, Found, Kinds, Load, Loaded, Sources};
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
    Context(#[schemars(extend("x-content" = ".dockerignore"))] String),
    Full(BuildTable),
}

#[derive(JsonSchema)]
#[serde(deny_unknown_fields)]
#[expect(dead_code, reason = "only its schema is used")]
struct BuildTable {
    #[schemars(extend("x-content" = ".dockerignore"))]
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
    let mut capabilities = Capabilities::new(Keeps::Labels, Settle::Replay { token_life: None });
    capabilities.env_visible = name.as_str() == "docker";
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

/// The same with `here`, whose machines share this host's network.
pub(crate) fn kinds_with_host() -> Kinds {
    let mut kinds = kinds();
    let (name, capabilities) = (KindName::new("here").expect("a kind"), {
        let mut capabilities = Capabilities::new(Keeps::Labels, Settle::Replay { token_life: None });
        capabilities.network = Network::Host;
        capabilities
    });
    let schema = schemars::schema_for!(Table).into();
    let info = KindInfo::new(name.clone(), "1", Value::Null, schema, capabilities);
    kinds.kinds.insert(name.clone(), Arc::new(FakeKind(info)));
    kinds
        .instances
        .insert(InstanceName::new("here").expect("an instance"), name);
    kinds
}

/// The environment file and what lies beside it, by path; links lead to other paths.
#[derive(Debug, Default)]
pub(crate) struct Memory {
    pub(crate) files: BTreeMap<PathBuf, String>,
    pub(crate) links: BTreeMap<PathBuf, PathBuf>,
}

/// Where the environment file lies.
pub(crate) const FILE: &str = "env/encamp.toml";

impl Memory {
    /// The environment file, and what the examples name.
    pub(crate) fn new(text: &str) -> Self {
        let mut memory = Self::default();
        for (path, content) in BESIDE.iter().chain(&[("encamp.toml", text)]) {
            memory.put(path, content);
        }
        memory.links.insert("env/way-out".into(), "/etc".into());
        memory
            .links
            .insert("env/conf/way-in".into(), "env/conf/app.conf.j2".into());
        memory.files.insert("/etc/passwd".into(), "root".into());
        memory
    }

    pub(crate) fn put(&mut self, path: &str, content: &str) {
        self.files.insert(Path::new("env").join(path), content.to_owned());
    }

    /// The path without links, as far as this needs it.
    fn real(&self, path: &Path) -> PathBuf {
        for (link, target) in &self.links {
            if let Ok(rest) = path.strip_prefix(link) {
                return if rest.as_os_str().is_empty() {
                    target.clone()
                } else {
                    target.join(rest)
                };
            }
        }
        path.to_owned()
    }

    fn is_folder(&self, path: &Path) -> bool {
        self.files.keys().any(|file| file != path && file.starts_with(path))
    }
}

impl Sources for Memory {
    fn read(&self, path: &Path) -> io::Result<String> {
        let content = self.files.get(&self.real(path));
        content.cloned().ok_or_else(|| io::ErrorKind::NotFound.into())
    }

    fn look(&self, path: &Path) -> io::Result<Found> {
        let real = self.real(path);
        let kind = if self.files.contains_key(&real) {
            let executable = real.extension().is_some_and(|extension| extension == "sh");
            FileKind::File { executable }
        } else if self.is_folder(&real) {
            FileKind::Folder
        } else {
            return Err(io::ErrorKind::NotFound.into());
        };
        Ok(Found { real, kind })
    }

    fn list(&self, folder: &Path, most: usize) -> io::Result<Vec<(OsString, FileKind)>> {
        let paths = self.files.keys().chain(self.links.keys());
        let names: BTreeSet<&Path> = paths
            .filter_map(|path| path.strip_prefix(folder).ok())
            .filter_map(|rest| rest.components().next().map(|part| Path::new(part.as_os_str())))
            .collect();
        if names.len() > most {
            return Err(io::Error::other("too many"));
        }
        let kind = |name: &Path| match self.links.get(&folder.join(name)) {
            Some(target) => Ok(FileKind::Link(target.clone())),
            None => self.look(&folder.join(name)).map(|found| found.kind),
        };
        names
            .iter()
            .map(|name| Ok((name.as_os_str().to_owned(), kind(name)?)))
            .collect()
    }

    fn open(&self, path: &Path) -> io::Result<Box<dyn io::Read>> {
        Ok(Box::new(io::Cursor::new(self.read(path)?.into_bytes())))
    }
}

/// Loads the environment file of `memory`; `adjust` may change how.
pub(crate) fn load_from<'a>(memory: &'a Memory, adjust: impl FnOnce(&mut Load<'a>)) -> Result<Loaded, Failure> {
    static KINDS: LazyLock<Kinds> = LazyLock::new(kinds);
    let mut load = Load::new(Path::new(FILE), &KINDS);
    load.sources = memory;
    adjust(&mut load);
    encamp_file::load(&load)
}

pub(crate) fn load_with(text: &str, kinds: &Kinds, set: &[(&str, &str)]) -> Result<Loaded, Failure> {
    let set: Vec<(String, String)> = set.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
    let memory = Memory::new(text);
    let mut load = Load::new(Path::new(FILE), kinds);
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
    refused(load_with(text, &kinds(), set))
}

/// What is said of what has to be refused.
pub(crate) fn refused(loaded: Result<Loaded, Failure>) -> String {
    let failure = loaded.expect_err("the file should be refused");
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

/// What lies beside the environment files of the tests.
const BESIDE: &[(&str, &str)] = &[
    ("install.sh", "#!/bin/sh\n"),
    ("site/index.html", "hello"),
    ("site/css/a.css", "a {}"),
    ("web/Dockerfile", "FROM busybox"),
    ("web/.dockerignore", "*.log\n"),
    ("web/build.log", "noise"),
    (
        "conf/app.conf.j2",
        "# {{ greeting }} from {{ me.name }}\n{% for peer in machines.web -%}\nserver {{ peer.endpoint('http') }};\n\
         {% endfor %}db = {{ machines.db.address }}\n{% raw %}{{ left alone }}{% endraw %}\ntoken = {{ secret('shop-token') }}\n",
    ),
    (
        "conf/plain.j2",
        "{% set n = inputs.nodes * 2 %}{{ n }}{% if lines is defined %}{{ lines | length }}{% endif %}\n",
    ),
];

/// A file that uses every feature of the language.
pub(crate) const FULL: &str = r#"
name = "full"
ttl = "90m"

[inputs]
version = { default = "1.4", help = "release under test", type = "string", choices = ["1.4", "1.5"] }
nodes = { default = 2 }
debug = { default = false }

[secrets]
shop-token = { variable = "SHOP_TOKEN" }
db-password = { file = "secret/password" }
api-key = { command = ["pass", "show", "{{ inputs.version }}"] }

[machines.db]
provider = "lab"
ssh.labels = ["ssd"]
ports = { pg = 5432, stats = { port = 8125, protocol = "udp" } }
env = { PGPASSWORD = "{{ secret('db-password') }}" }
needs = { cpu = 2, memory = "4GiB", disk = "20GiB", arch = "x86_64", os = "linux", gpu = 0 }
setup = [
    { script = "install.sh", args = ["--version", "{{ inputs.version }}"], timeout = "5m" },
    { run = "useradd ${NAME%}", env = { NAME = "pg" }, cwd = "/tmp", user = "root" },
    { run = "make-token '{{ secret('api-key') }}'", output = "token" },
    { run = "psql -f schema.sql", after = "ready" },
    { fetch = "https://example.org/data-{{ inputs.version }}.tar.gz", sha256 = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855", to = "/data", unpack = true },
    { sync = ".", to = "/src", exclude = ["target", "*.log"] },
]
services.postgres = { run = "postgres -D /data", cwd = "/data", user = "pg", restart = "on-failure", env = { LC_ALL = "C" } }
services.stats = { run = ["statsd", "{{ '{{' }}"], restart = "no" }
ready = [
    { run = "pg_isready -h 127.0.0.1", within = "60s", every = "1s", timeout = "3s", stable = "2s" },
    { log = 'ready to accept connections on port \d+' },
    { file = "/run/ready" },
]

[machines.web]
provider = ["docker", "lab"]
count = "{{ inputs.nodes }}"
serial = true
depends_on = ["db"]
docker.image = "shop/web:{{ inputs.version }}"
docker.build = "web"
docker.command = ["serve", "--name", "{{ me.name }}", "--token", "{{ machines.db.outputs.token }}"]
ports = { http = 8080, admin = { port = 9090, publish = false } }
env = { DATABASE_URL = "postgres://{{ machines.db.endpoint('pg') }}/shop" }
secrets = { TOKEN = "{{ secret('shop-token') }}", URL = "https://u:{{ secret('api-key') }}@x" }
setup = [
    { copy = "site", to = "/srv/site", owner = "www:www", mode = "0644" },
    { copy = "./install.sh", to = "/usr/local/bin/install", mode = 0o755 },
    { template = "conf/app.conf.j2", to = "/etc/app.conf", mode = "600", vars = { greeting = "hello {{ me.index }}" } },
    { template = "conf/plain.j2", to = "/etc/plain", vars = { lines = ["a", "{{ machines.db.name }}"], deep = { n = 1 } } },
]
ready = [
    { http = "http", path = "/healthz", status = 200, json = { status = "ok", n = 1 } },
    { healthcheck = true },
    { ssh = true },
    { cloud_init = true },
    { tcp = "http", of = "group" },
]

[machines.migrate]
provider = "docker"
docker.image = "shop/migrate"
ready = [{ exited = 0 }]

[[stages]]
name = "test"
[[stages.tasks]]
name = "load"
on = "db"
run = "wrk {{ machines.web.endpoints('http') | first }}"
background = true
artifacts = ["load/**"]
[[stages.tasks]]
name = "contract"
on = "web-0"
run = "TOKEN={{ secret('shop-token') }} pytest --junitxml=report.xml"
env = { STAGE = "{{ stage }}", TOKEN = "{{ secret('shop-token') }}" }
cwd = "/srv"
user = "www"
junit = ["report.xml"]
artifacts = ["screenshots/**"]
timeout = "10m"
retries = 2
every = "5s"
[[stages.tasks]]
name = "as-it-is"
on = "web"
run = "echo '{{ not.an.expression }}' {{ me.name"
raw = true
allow_failure = true
[[stages.tasks]]
name = "new-config"
on = "web"
template = "conf/app.conf.j2"
to = "/etc/app.conf"
vars = { greeting = "flip at {{ me.address }}" }
[[stages.tasks]]
name = "stop-one"
do = "stop"
machine = "web-1"
[[stages.tasks]]
name = "start-all"
do = "start"
machine = "web"
timeout = "2m"
[[stages.tasks]]
name = "end-of-load"
do = "finish"
task = "load"

[[stages]]
name = "outside"
parallel = true
[[stages.tasks]]
name = "check"
on = "controller"
script = "install.sh"
args = ["{{ machines.web[0].url('http') }}", "{{ ['-v'] if inputs.debug }}"]
always = true
[[stages.tasks]]
name = "files"
on = "db"
copy = "site"
to = "/srv"
[[stages.tasks]]
name = "data"
on = "db"
fetch = "https://example.org/x"
sha256 = "sha256:E3B0C44298FC1C149AFBF4C8996FB92427AE41E4649B934CA495991B7852B855"
to = "/data/x"

[outputs]
url = "http://{{ machines.web[0].endpoint('http') }}"
token = "{{ machines.db.outputs.token }}"
"#;
