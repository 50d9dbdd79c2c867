//! What is known of an environment before anything exists.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::OnceLock;

use encamp_core::{InstanceName, Name, PortSpec};
use minijinja::Value;

/// The machine or group that a table `[machines.x]` declares.
#[derive(Debug)]
pub(crate) struct Decl {
    pub(crate) name: Name,
    /// The names of a group's members; none for a single machine.
    pub(crate) members: Option<Vec<Name>>,
    pub(crate) ports: Vec<PortSpec>,
    /// What its set-up steps give.
    pub(crate) outputs: BTreeSet<Name>,
    /// What may carry it.
    pub(crate) providers: Vec<InstanceName>,
    /// Its machines share the network of the controller's host.
    pub(crate) on_host: bool,
    /// The members' names as expressions see them: each member of a large group may ask for all.
    names: OnceLock<Value>,
}

impl Decl {
    pub(crate) fn new(name: Name, members: Option<Vec<Name>>, ports: Vec<PortSpec>, outputs: BTreeSet<Name>) -> Self {
        Self {
            name,
            members,
            ports,
            outputs,
            providers: Vec::new(),
            on_host: false,
            names: OnceLock::new(),
        }
    }

    pub(crate) fn names(&self) -> Value {
        let members = || {
            self.members
                .iter()
                .flatten()
                .map(|name| Value::from(name.as_str()))
                .collect()
        };
        self.names.get_or_init(members).clone()
    }

    pub(crate) fn port(&self, name: &str) -> Option<&PortSpec> {
        self.ports.iter().find(|port| port.name.as_str() == name)
    }

    pub(crate) fn port_names(&self) -> impl Iterator<Item = &str> {
        self.ports.iter().map(|port| port.name.as_str())
    }

    pub(crate) fn len(&self) -> usize {
        self.members.as_ref().map_or(1, Vec::len)
    }
}

/// A machine, a member of a group, or a whole group.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Target {
    pub(crate) decl: usize,
    /// Which member; none for a single machine or a whole group.
    pub(crate) member: Option<u32>,
}

impl Target {
    pub(crate) fn whole(decl: usize) -> Self {
        Self { decl, member: None }
    }
}

/// Who asks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum View {
    /// Something that decides which machines there are: only inputs are known.
    Early,
    /// A machine. `member` is none for a single machine, and for a group where it may be any member.
    Member(Target),
    /// The controller.
    Controller,
}

/// All machines and inputs.
#[derive(Debug, Default)]
pub(crate) struct World {
    pub(crate) decls: Vec<Decl>,
    index: HashMap<String, Target>,
    pub(crate) inputs: BTreeMap<String, Value>,
    pub(crate) inputs_value: Value,
    /// The secrets that may be spoken of.
    pub(crate) secrets: BTreeSet<Name>,
}

impl World {
    pub(crate) fn new(inputs: BTreeMap<String, Value>, decls: Vec<Decl>, secrets: BTreeSet<Name>) -> Self {
        let mut index = HashMap::new();
        for (at, decl) in decls.iter().enumerate() {
            for (member, name) in decl.members.iter().flatten().enumerate() {
                let target = Target {
                    decl: at,
                    member: u32::try_from(member).ok(),
                };
                index.insert(name.as_str().to_owned(), target);
            }
        }
        for (at, decl) in decls.iter().enumerate() {
            index.insert(decl.name.as_str().to_owned(), Target::whole(at));
        }
        Self {
            decls,
            index,
            inputs_value: Value::from_pairs(inputs.iter().map(|(name, value)| (name.as_str(), value.clone()))),
            inputs,
            secrets,
        }
    }

    /// The machine, member or group of that name.
    pub(crate) fn find(&self, name: &str) -> Option<Target> {
        self.index.get(name).copied()
    }

    /// The names of machines and groups.
    pub(crate) fn names(&self) -> impl Iterator<Item = &str> {
        self.decls.iter().map(|decl| decl.name.as_str())
    }

    pub(crate) fn decl(&self, target: Target) -> &Decl {
        &self.decls[target.decl]
    }

    /// Whether it stands for all members of a group.
    pub(crate) fn is_group(&self, target: Target) -> bool {
        target.member.is_none() && self.decl(target).members.is_some()
    }

    /// The host name: the group's own for a whole group.
    pub(crate) fn name(&self, target: Target) -> &Name {
        let decl = self.decl(target);
        match (&decl.members, target.member) {
            (Some(members), Some(member)) => members.get(member as usize).unwrap_or(&decl.name),
            _ => &decl.name,
        }
    }

    /// The machines that it stands for.
    pub(crate) fn machines(&self, target: Target) -> &[Name] {
        let decl = self.decl(target);
        match (&decl.members, target.member) {
            (Some(members), Some(member)) => members.get(member as usize).map_or(&[], std::slice::from_ref),
            (Some(members), None) => members,
            (None, _) => std::slice::from_ref(&decl.name),
        }
    }
}
