//! What a checked environment file says: the engine's input.
//!
//! Members of groups are spelled out, inputs are rendered, references are resolved and in
//! order. What cannot be known before other machines are ready is a late [`Text`].

mod mentions;
mod probe;
mod secret;
mod stage;
mod step;

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use encamp_core::{InstanceName, KindName, Name, Needs, PortSpec};

pub use self::probe::{Condition, Probe};
pub use self::secret::SecretSource;
pub use self::stage::{ControlVerb, On, Stage, Task, TaskAction};
pub use self::step::{Action, Command, Copy, Fetch, Restart, Script, Service, Step, Sync, TemplateFile};
use crate::text::{Numbers, Text, Tree};

/// What a file was told beside what it says: without it, it would describe something else.
#[derive(Debug, Clone, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Given {
    /// Names and texts, as `--set` has them.
    #[serde(default)]
    pub set: Vec<(String, String)>,
    /// The file of inputs.
    #[serde(default)]
    pub inputs: Option<PathBuf>,
}

/// A described environment.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Environment {
    /// The name that the file gives it, at most 40 characters.
    pub name: Name,
    /// How long it is wanted once it is up.
    pub ttl: Duration,
    /// All machines, members of groups spelled out, each after those that it depends on.
    pub machines: Vec<Machine>,
    /// The members of each group, by index.
    pub groups: BTreeMap<Name, Vec<Name>>,
    /// What runs on it, in order.
    pub stages: Vec<Stage>,
    /// What it tells the outside, as the controller sees it.
    pub outputs: BTreeMap<String, Text>,
    /// Where the secrets come from that the file itself declares.
    pub secrets: BTreeMap<Name, SecretSource>,
    /// The file that it came from, as it was named; none for a program's own.
    pub file: Option<PathBuf>,
    /// The folder that relative paths start from.
    pub folder: PathBuf,
    /// The numbers that ports were given on machines which share this host's network.
    pub numbers: Arc<Numbers>,
    /// What the file was told, for whoever reads it again.
    pub given: Given,
    /// A hash of its text, and of what it was told; empty where it came from no text.
    pub digest: String,
}

impl Environment {
    /// An environment without stages, outputs and file; groups are those of the machines.
    pub fn new(name: Name, ttl: Duration, machines: Vec<Machine>, folder: impl Into<PathBuf>) -> Self {
        let mut groups: BTreeMap<Name, Vec<Name>> = BTreeMap::new();
        for machine in &machines {
            if let Some((group, _)) = &machine.group {
                groups.entry(group.clone()).or_default().push(machine.name.clone());
            }
        }
        Self {
            name,
            ttl,
            machines,
            groups,
            stages: Vec::new(),
            outputs: BTreeMap::new(),
            secrets: BTreeMap::new(),
            file: None,
            folder: folder.into(),
            numbers: Arc::default(),
            given: Given::default(),
            digest: String::new(),
        }
    }

    /// How long an environment is wanted where nothing says it.
    pub const TTL: Duration = Duration::from_hours(1);

    /// Every secret that a text, a template or a machine's `secrets` speaks of, declared here or not.
    pub fn secret_names(&self) -> BTreeSet<Name> {
        mentions::secrets(self)
    }

    /// The machine of that name.
    pub fn machine(&self, name: &str) -> Option<&Machine> {
        self.machines.iter().find(|machine| machine.name.as_str() == name)
    }

    /// The machines that a task's `on` speaks of: a machine, or each member of a group.
    pub fn members(&self, name: &str) -> Vec<&Machine> {
        if !self.groups.contains_key(name) {
            return self.machine(name).into_iter().collect();
        }
        // One pass: the members of a group stand in the order of their index.
        let is_member = |machine: &&Machine| machine.group.as_ref().is_some_and(|(group, _)| group.as_str() == name);
        self.machines.iter().filter(is_member).collect()
    }
}

/// One machine.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Machine {
    /// Its name, `db` or `web-0`.
    pub name: Name,
    /// The group that it is a member of, and its index there.
    pub group: Option<(Name, u32)>,
    /// Where its table begins: `file:line`.
    pub place: Option<Place>,
    /// Where what is refused only later stands, by what it is: `docker.image`, `ports.http.publish`. Shared by members that
    /// are described alike.
    pub places: Arc<BTreeMap<String, Place>>,
    /// The provider instances that may carry it, best first; never empty.
    pub providers: Vec<InstanceName>,
    /// For each kind that the file speaks of, the kind's own table.
    pub tables: BTreeMap<KindName, Tree>,
    /// The environment of its processes.
    pub env: BTreeMap<String, Text>,
    /// Its declared ports.
    pub ports: Vec<PortSpec>,
    /// What is done on it before it counts as ready, in order.
    pub setup: Vec<Step>,
    /// What runs on it beside its main process.
    pub services: Vec<Service>,
    /// By the name of the variable: the file `/run/encamp/secrets/NAME` holds it and `NAME_FILE` says so.
    pub secrets: BTreeMap<String, Text>,
    /// All must hold before it counts as ready.
    pub ready: Vec<Probe>,
    /// Judged on every member once the whole group runs; all must hold before any of them counts as ready.
    pub group_ready: Vec<Probe>,
    /// What it needs, whatever the provider.
    pub needs: Needs,
    /// The machines that must be ready before it is created: named, referred to, or the one before it in its group.
    pub after: BTreeSet<Name>,
    /// The hashes of the files beside the environment file that make it, by path.
    pub contents: BTreeMap<PathBuf, String>,
    /// The same for what a kind's table names, as the folder of a build: by kind and by JSON pointer into the table.
    pub table_contents: BTreeMap<KindName, BTreeMap<String, String>>,
}

impl Machine {
    /// A machine of no group, with nothing but its providers.
    pub fn new(name: Name, providers: Vec<InstanceName>) -> Self {
        Self {
            name,
            group: None,
            place: None,
            places: Arc::default(),
            providers,
            tables: BTreeMap::new(),
            env: BTreeMap::new(),
            ports: Vec::new(),
            setup: Vec::new(),
            services: Vec::new(),
            secrets: BTreeMap::new(),
            ready: Vec::new(),
            group_ready: Vec::new(),
            needs: Needs::default(),
            after: BTreeSet::new(),
            contents: BTreeMap::new(),
            table_contents: BTreeMap::new(),
        }
    }

    /// The port of that name.
    pub fn port(&self, name: &str) -> Option<&PortSpec> {
        self.ports.iter().find(|port| port.name.as_str() == name)
    }

    /// The hash of what decides a replacement: kind, that kind's table, env, ports, set-up, services, secrets, and the
    /// files that these name; late texts and secrets by their source.
    pub fn spec_hash(&self, kind: &KindName) -> String {
        crate::hash::spec_hash(self, kind)
    }

    /// Hashes of the parts of it that a request to a provider does not hold, by what people call them: what differs is what
    /// has changed.
    pub fn spec_parts(&self, kind: &KindName) -> BTreeMap<String, String> {
        crate::hash::spec_parts(self, kind)
    }
}

/// A place in a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    /// The file as it was named.
    pub file: PathBuf,
    /// From 1.
    pub line: u32,
    /// From 1, in characters.
    pub column: u32,
}

impl std::fmt::Display for Place {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}:{}:{}", self.file.display(), self.line, self.column)
    }
}
