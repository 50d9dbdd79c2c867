//! What a checked environment file says: the engine's input.
//!
//! Members of groups are spelled out, inputs are rendered, references are resolved and in
//! order. What cannot be known before other machines are ready is a late [`Text`].

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::time::Duration;

use encamp_core::{InstanceName, KindName, Name, Needs, PortSpec};

use crate::text::{Text, Tree};

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
    /// The file that it came from, as it was named; none for a program's own.
    pub file: Option<PathBuf>,
    /// The folder that relative paths start from.
    pub folder: PathBuf,
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
            file: None,
            folder: folder.into(),
        }
    }

    /// How long an environment is wanted where nothing says it.
    pub const TTL: Duration = Duration::from_hours(1);

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
    /// The provider instances that may carry it, best first; never empty.
    pub providers: Vec<InstanceName>,
    /// For each kind that the file speaks of, the kind's own table.
    pub tables: BTreeMap<KindName, Tree>,
    /// The environment of its processes.
    pub env: BTreeMap<String, Text>,
    /// Its declared ports.
    pub ports: Vec<PortSpec>,
    /// All must hold before it counts as ready.
    pub ready: Vec<Probe>,
    /// What it needs, whatever the provider.
    pub needs: Needs,
    /// The machines that must be ready before it is created: named or referred to.
    pub after: BTreeSet<Name>,
}

impl Machine {
    /// A machine of no group, with nothing but its providers.
    pub fn new(name: Name, providers: Vec<InstanceName>) -> Self {
        Self {
            name,
            group: None,
            place: None,
            providers,
            tables: BTreeMap::new(),
            env: BTreeMap::new(),
            ports: Vec::new(),
            ready: Vec::new(),
            needs: Needs::default(),
            after: BTreeSet::new(),
        }
    }

    /// The port of that name.
    pub fn port(&self, name: &str) -> Option<&PortSpec> {
        self.ports.iter().find(|port| port.name.as_str() == name)
    }

    /// The hash of what decides a replacement: kind, that kind's table, env, ports; late texts by their source.
    pub fn spec_hash(&self, kind: &KindName) -> String {
        crate::hash::spec_hash(self, kind)
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

/// A command.
#[derive(Debug, Clone)]
pub enum Command {
    /// For `sh -c`.
    Shell(Text),
    /// As it is.
    Argv(Vec<Text>),
}

/// A condition of readiness and how it is judged.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Probe {
    /// What must hold.
    pub condition: Condition,
    /// From the machine's start.
    pub within: Duration,
    /// The pause between two attempts.
    pub every: Duration,
    /// The longest that one attempt may take.
    pub timeout: Duration,
    /// Where it stands.
    pub place: Option<Place>,
}

impl Probe {
    /// A probe that is tried every 250 ms, for up to 5 s each, within 60 s.
    pub fn new(condition: Condition) -> Self {
        Self {
            condition,
            within: Duration::from_mins(1),
            every: Duration::from_millis(250),
            timeout: Duration::from_secs(5),
            place: None,
        }
    }
}

/// What must hold.
#[derive(Debug, Clone)]
pub enum Condition {
    /// A connection to the declared port is accepted, in the machine's network.
    Tcp {
        /// The port's name.
        port: Name,
    },
    /// A request to the declared port is answered with a status, in the machine's network.
    Http {
        /// The port's name.
        port: Name,
        /// With a leading `/`.
        path: Text,
        /// The status that is wanted; any of 200 to 399 where none is given.
        status: Option<u16>,
    },
    /// A command in the machine exits 0.
    Run(Command),
    /// The machine's main process has exited 0.
    Exited,
}

/// Tasks that belong together.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Stage {
    /// Its name.
    pub name: Name,
    /// In order, unless `parallel`.
    pub tasks: Vec<Task>,
    /// All tasks at once.
    pub parallel: bool,
}

impl Stage {
    /// A stage whose tasks run in order.
    pub fn new(name: Name, tasks: Vec<Task>) -> Self {
        Self {
            name,
            tasks,
            parallel: false,
        }
    }
}

/// Where a task runs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum On {
    /// On a machine, or on each member of a group.
    Machines(Name),
    /// Beside encamp itself, in the file's folder.
    Controller,
}

/// A command and what is kept of it.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Task {
    /// Its name, unique in its stage.
    pub name: Name,
    /// Where.
    pub on: On,
    /// What.
    pub command: Command,
    /// Added to the machine's own.
    pub env: BTreeMap<String, Text>,
    /// The folder; the machine's own where none is given.
    pub cwd: Option<Text>,
    /// The user; the machine's own where none is given.
    pub user: Option<String>,
    /// The longest that one run may take.
    pub timeout: Duration,
    /// How often it is run again after a failure.
    pub retries: u32,
    /// The pause before it is run again.
    pub every: Duration,
    /// Runs even if something before it failed.
    pub always: bool,
    /// Its failure fails nothing.
    pub allow_failure: bool,
    /// Files in JUnit's form, relative to `cwd`.
    pub junit: Vec<String>,
    /// Patterns of files to keep, relative to `cwd`.
    pub artifacts: Vec<String>,
    /// Where it stands.
    pub place: Option<Place>,
}

impl Task {
    /// A task that runs once, for up to 30 min.
    pub fn new(name: Name, on: On, command: Command) -> Self {
        Self {
            name,
            on,
            command,
            env: BTreeMap::new(),
            cwd: None,
            user: None,
            timeout: Duration::from_mins(30),
            retries: 0,
            every: Duration::from_secs(1),
            always: false,
            allow_failure: false,
            junit: Vec::new(),
            artifacts: Vec::new(),
            place: None,
        }
    }
}
