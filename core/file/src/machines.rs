//! `[machines.x]`: which machines there are, and what each says.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::sync::Arc;

use encamp_core::{InstanceName, KindName, Name, PortSpec};

use crate::checker;
use crate::codes;
use crate::cx::{Cx, Scope};
use crate::diagnose::Diagnostic;
use crate::kinds::{self, Kinds};
use crate::nearest;
use crate::needs;
use crate::node::{Content, Entry, Node, Table};
use crate::overrides::Overrides;
use crate::ports;
use crate::ready;
use crate::refs;
use crate::secrets;
use crate::services;
use crate::source::Span;
use crate::spec::{Machine, Place};
use crate::steps;
use crate::tables::{self, Shared};
use crate::text::Text;
use crate::world::{Decl, Target};

/// The keys that every machine has.
pub(crate) const KEYS: [&str; 11] = [
    "provider",
    "count",
    "serial",
    "env",
    "ports",
    "secrets",
    "setup",
    "services",
    "ready",
    "needs",
    "depends_on",
];
/// The most machines of one file.
const MAX_MACHINES: usize = 10_000;
/// The place where encamp runs.
const CONTROLLER: &str = "controller";

/// A machine or group, as far as it decides which machines there are.
#[derive(Debug)]
pub(crate) struct Draft<'n> {
    pub(crate) entry: &'n Entry,
    pub(crate) table: &'n Table,
    pub(crate) name: Name,
    pub(crate) providers: Vec<InstanceName>,
    count: Option<usize>,
    ports: Vec<PortSpec>,
    outputs: BTreeSet<Name>,
    /// Its members come up one by one.
    pub(crate) serial: bool,
}

/// Reads what decides which machines there are.
pub(crate) fn drafts<'n>(root: &'n Table, overrides: &Overrides, cx: &mut Cx<'_>) -> Vec<Draft<'n>> {
    const EXAMPLE: &str = "[machines.web]";
    let mut drafts = Vec::new();
    let Some(table) = root.node("machines").and_then(|node| cx.table(node, EXAMPLE)) else {
        return drafts;
    };
    let mut left = MAX_MACHINES;
    for entry in &table.entries {
        if let Some(draft) = draft(entry, overrides, &mut left, cx) {
            drafts.push(draft);
        }
    }
    refuse_clashes(&drafts, cx);
    drafts
}

fn draft<'n>(entry: &'n Entry, overrides: &Overrides, left: &mut usize, cx: &mut Cx<'_>) -> Option<Draft<'n>> {
    let name = cx.checked_name(&entry.key, entry.key_span)?;
    if name.as_str() == CONTROLLER {
        let message = "`controller` is where encamp itself runs and cannot be a machine";
        cx.add(Diagnostic::error(codes::BAD_NAME, entry.key_span, message));
        return None;
    }
    let table = cx.table(&entry.node, "[machines.web]")?;
    check_keys(table, &name, cx);
    let count = table.node("count").map(|node| {
        let most = i64::try_from(MAX_MACHINES).unwrap_or(i64::MAX);
        let count = cx.whole(node, Scope::EARLY, 1..=most);
        count.and_then(|count| usize::try_from(count).ok()).unwrap_or(1)
    });
    let Some(rest) = left.checked_sub(count.unwrap_or(1)) else {
        let message = format!("an environment has at most {MAX_MACHINES} machines");
        let at = table.node("count").map_or(entry.key_span, |node| node.span);
        cx.add(Diagnostic::error(codes::TOO_LARGE, at, message));
        return None;
    };
    *left = rest;
    let is_group = count.is_some_and(|count| count > 1);
    let ports = table.node("ports").map(|node| ports::read(node, is_group, cx));
    Some(Draft {
        entry,
        table,
        providers: providers(table, entry, overrides, cx),
        name,
        count,
        ports: ports.unwrap_or_default(),
        outputs: table
            .node("setup")
            .map(|node| steps::outputs(node, cx))
            .unwrap_or_default(),
        serial: serial(table, count.is_some(), cx),
    })
}

fn serial(table: &Table, is_group: bool, cx: &mut Cx<'_>) -> bool {
    let Some(node) = table.node("serial") else { return false };
    let serial = cx.boolean(node, Scope::EARLY) == Some(true);
    if serial && !is_group {
        let message = "one machine alone is always first and last";
        let help = "`serial` belongs to a machine with a `count`".to_owned();
        cx.add(Diagnostic::error(codes::OUT_OF_RANGE, node.span, message).help(help));
    }
    serial
}

fn check_keys(table: &Table, name: &Name, cx: &mut Cx<'_>) {
    let kinds = cx.kinds;
    let known = || KEYS.into_iter().chain(kinds.kinds.keys().map(KindName::as_str));
    for entry in &table.entries {
        if known().any(|key| key == entry.key) {
            continue;
        }
        if kinds::LATER.contains(&entry.key.as_str()) {
            let message = format!("`{}` comes with a later version", entry.key);
            cx.add(Diagnostic::error(codes::LATER, entry.key_span, message));
            continue;
        }
        let belongs = kinds
            .kinds
            .iter()
            .find(|(_, kind)| checker::keys(&kind.info().table_schema).contains(&entry.key.as_str()));
        match belongs {
            Some((kind, _)) => {
                let message = format!("unknown key `{}`", entry.key);
                let help = format!("it is a key of `{kind}`: write `{kind}.{}`", entry.key);
                cx.add(Diagnostic::error(codes::UNKNOWN_KEY, entry.key_span, message).help(help));
            }
            None => cx.unknown_key(entry, known(), &format!("[machines.{name}]")),
        }
    }
}

fn providers(table: &Table, entry: &Entry, overrides: &Overrides, cx: &mut Cx<'_>) -> Vec<InstanceName> {
    const EXAMPLE: &str = "provider = \"docker\", or a list, best first";
    if let Some(providers) = overrides.providers(&entry.key) {
        return providers.to_vec();
    }
    let Some(node) = table.node("provider") else {
        let kinds = cx.kinds;
        let spoken = kinds.kinds.keys().find(|kind| table.entry(kind.as_str()).is_some());
        let example = format!("provider = \"{}\"", spoken.map_or("docker", |kind| kind.as_str()));
        cx.missing_key(entry.key_span, &format!("`{}`", entry.key), "provider", &example);
        return Vec::new();
    };
    let names = match cx.settled(node, Scope::EARLY) {
        None => None,
        Some(settled) => match settled.value {
            Content::List(_) => cx.strings(node, Scope::EARLY, EXAMPLE),
            _ => cx
                .string(&settled, Scope::EARLY, EXAMPLE)
                .map(|name| vec![(name, node.span)]),
        },
    };
    let mut providers = Vec::new();
    for (name, at) in names.iter().flatten() {
        match cx.kinds.instances.get_key_value(name.as_str()) {
            Some((instance, _)) if providers.contains(instance) => {
                let message = format!("the provider `{name}` is listed twice");
                cx.add(Diagnostic::error(codes::TAKEN, *at, message));
            }
            Some((instance, _)) => providers.push(instance.clone()),
            None => {
                let known = || cx.kinds.instances.keys().map(InstanceName::as_str);
                let help = nearest::did_you_mean(name, known());
                let note = format!("providers: {}", nearest::listed(known()));
                let message = format!("no provider is called `{}`", crate::typed::shortened(name));
                cx.add(
                    Diagnostic::error(codes::UNKNOWN_PROVIDER, *at, message)
                        .help(help)
                        .note(note),
                );
            }
        }
    }
    let on_host = |instance: &InstanceName| cx.kinds.shares_host(instance);
    if providers.iter().any(on_host) && !providers.iter().all(on_host) {
        let message = format!("`{}` would listen on this host or in a network of its own", entry.key);
        let help = "list providers of one sort: what its ports are, and who reaches them, differs".to_owned();
        cx.add(Diagnostic::error(codes::OUT_OF_RANGE, node.span, message).help(help));
    }
    if names.is_some_and(|names| names.is_empty()) {
        let message = format!("`{}` has no provider", entry.key);
        cx.add(Diagnostic::error(codes::OUT_OF_RANGE, node.span, message).help("name at least one".to_owned()));
    }
    providers
}

fn refuse_clashes(drafts: &[Draft<'_>], cx: &mut Cx<'_>) {
    let groups: HashMap<&str, &Draft<'_>> = drafts
        .iter()
        .filter(|draft| draft.count.is_some())
        .map(|draft| (draft.name.as_str(), draft))
        .collect();
    for draft in drafts {
        let Some((stem, index)) = draft.name.as_str().rsplit_once('-') else {
            continue;
        };
        let is_index = index.parse::<u32>().is_ok_and(|number| number.to_string() == index);
        if let Some(group) = groups.get(stem).filter(|_| is_index) {
            let message = format!("`{}` is what a member of the group `{stem}` is called", draft.name);
            cx.add(
                Diagnostic::error(codes::TAKEN, draft.entry.key_span, message)
                    .label("call it something else")
                    .secondary(group.entry.key_span, "the group"),
            );
        }
    }
}

impl Draft<'_> {
    pub(crate) fn decl(&self, kinds: &Kinds) -> Decl {
        let member = |index: usize| Name::new(format!("{}-{index}", self.name)).ok();
        let members = self.count.map(|count| (0..count).filter_map(member).collect());
        let mut decl = Decl::new(self.name.clone(), members, self.ports.clone(), self.outputs.clone());
        decl.providers.clone_from(&self.providers);
        decl.on_host = self.providers.iter().any(|instance| kinds.shares_host(instance));
        decl
    }

    fn target(&self, decl: usize, member: usize) -> Target {
        Target {
            decl,
            member: self.count.and(u32::try_from(member).ok()),
        }
    }
}

/// The members of one declaration, and what they wait for.
#[derive(Debug)]
pub(crate) struct Described {
    pub(crate) machines: Vec<Machine>,
    pub(crate) awaits: Vec<(Target, Span)>,
    /// Each waits for the one before it.
    pub(crate) serial: bool,
}

/// Describes every member.
pub(crate) fn describe(draft: &Draft<'_>, decl: usize, cx: &mut Cx<'_>) -> Described {
    cx.awaits.clear();
    cx.used_me = false;
    let mut shared = Shared::new();
    depends_on(draft, decl, cx);
    let members = draft.count.unwrap_or(1);
    let mut machines: Vec<Machine> = Vec::with_capacity(members);
    let places = Arc::new(places(draft.table, cx));
    for member in 0..members {
        let target = draft.target(decl, member);
        let errors = cx.findings.errors();
        let mut machine = match machines.first() {
            Some(first) if !cx.used_me => first.clone(),
            _ => body(draft, target, &mut shared, cx),
        };
        machine.name = cx.world.name(target).clone();
        machine.places = Arc::clone(&places);
        machine.group = target.member.map(|index| (draft.name.clone(), index));
        machines.push(machine);
        if cx.findings.errors() > errors {
            // The others would only say it again.
            break;
        }
    }
    let mut seen = HashSet::new();
    let mut awaits = std::mem::take(&mut cx.awaits);
    awaits.retain(|(target, _)| seen.insert(*target));
    Described {
        machines,
        awaits,
        serial: draft.serial,
    }
}

fn body(draft: &Draft<'_>, target: Target, shared: &mut Shared, cx: &mut Cx<'_>) -> Machine {
    let scope = Scope::of_machine(target);
    let table = draft.table;
    let mut machine = Machine::new(draft.name.clone(), draft.providers.clone());
    machine.place = cx.sources.place(draft.entry.key_span);
    machine.ports.clone_from(&draft.ports);
    cx.files.made_of.clear();
    if let Some(node) = table.node("env") {
        machine.env = env(node, scope, cx);
        refuse_visible(node, &machine.env, draft, cx);
    }
    let tables = tables::read(draft, scope, shared, cx);
    (machine.tables, machine.table_contents) = (tables.trees, tables.contents);
    if let Some(node) = table.node("secrets") {
        machine.secrets = secrets::of_machine(node, scope, cx);
    }
    if let Some(node) = table.node("setup") {
        machine.setup = steps::read(node, scope, cx);
    }
    if let Some(node) = table.node("services") {
        machine.services = services::read(node, scope, cx);
    }
    if let Some(node) = table.node("ready") {
        let probes = ready::read(node, target, scope, cx);
        (machine.ready, machine.group_ready) = (probes.own, probes.of_group);
    }
    machine.contents = std::mem::take(&mut cx.files.made_of);
    if let Some(node) = table.node("needs") {
        machine.needs = needs::read(node, scope, cx);
    }
    machine
}

/// Where the keys of kinds' tables stand, and what ports are published as.
fn places(table: &Table, cx: &Cx<'_>) -> BTreeMap<String, Place> {
    let mut places = BTreeMap::new();
    let mut add = |name: String, span: Span| places.extend(cx.sources.place(span).map(|place| (name, place)));
    for entry in &table.entries {
        let Content::Table(inner) = &entry.node.value else {
            continue;
        };
        for key in &inner.entries {
            match &key.node.value {
                Content::Table(port) if entry.key == "ports" => {
                    if let Some(node) = port.node("publish") {
                        add(format!("ports.{}.publish", key.key), node.span);
                    }
                }
                _ if cx.kinds.kinds.contains_key(entry.key.as_str()) => {
                    add(format!("{}.{}", entry.key, key.key), key.node.span);
                }
                _ => {}
            }
        }
    }
    places
}

/// Where the infrastructure shows the environment of a machine's main process, no secret may stand in it.
fn refuse_visible(node: &Node, env: &BTreeMap<String, Text>, draft: &Draft<'_>, cx: &mut Cx<'_>) {
    let Content::Table(table) = &node.value else { return };
    if cx.allow_visible {
        return;
    }
    let kinds = cx.kinds;
    let shows = draft
        .providers
        .iter()
        .filter_map(|instance| kinds.kinds.get(kinds.instances.get(instance)?))
        .find(|kind| kind.info().most.env_visible);
    let Some(kind) = shows else { return };
    for entry in &table.entries {
        if env.get(&entry.key).is_some_and(Text::is_secret) {
            let kind = &kind.info().name;
            let message = format!(
                "`{}` holds a secret, and a `{kind}` shows the environment of its process",
                entry.key
            );
            let help = format!(
                "`secrets = {{ {} = {} }}`: a file, which the variable `{}_FILE` names; or `--allow-visible`",
                entry.key,
                cx.sources.text(entry.node.span),
                entry.key
            );
            cx.add(Diagnostic::error(codes::VISIBLE, entry.node.span, message).help(help));
        }
    }
}

/// The environment of processes.
pub(crate) fn env(node: &Node, scope: Scope<'_>, cx: &mut Cx<'_>) -> BTreeMap<String, Text> {
    let mut env = BTreeMap::new();
    let Some(table) = cx.table(node, "env = { KEY = \"value\" }") else {
        return env;
    };
    for entry in &table.entries {
        let key = &entry.key;
        let fits = key.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
            && key.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
        if !fits {
            let message = format!("`{}` cannot be the name of a variable", crate::typed::shortened(key));
            let note = "it begins with a letter or _ and goes on with letters, digits and _";
            cx.add(Diagnostic::error(codes::BAD_NAME, entry.key_span, message).note(note));
        }
        if KEYS.contains(&key.as_str()) {
            let message = format!("`{key}` is a key of the machine; here it becomes a variable");
            let help = format!("write `{key}` beside `env`");
            cx.add(Diagnostic::warning(codes::MISPLACED_KEY, entry.key_span, message).help(help));
        }
        if let Some(text) = cx.text(&entry.node, scope, true, "\"value\"") {
            env.insert(key.clone(), text);
        }
    }
    env
}

fn depends_on(draft: &Draft<'_>, decl: usize, cx: &mut Cx<'_>) {
    const EXAMPLE: &str = "depends_on = [\"db\"]";
    let Some(node) = draft.table.node("depends_on") else {
        return;
    };
    let names = match &node.value {
        Content::String(_) => cx
            .string(node, Scope::EARLY, EXAMPLE)
            .map(|name| vec![(name, node.span)]),
        _ => cx.strings(node, Scope::EARLY, EXAMPLE),
    };
    for (name, at) in names.into_iter().flatten() {
        match cx.world.find(&name) {
            Some(target) if target.decl == decl => {
                let message = format!("`{}` cannot wait for itself", draft.name);
                cx.add(Diagnostic::error(codes::CYCLE, at, message));
            }
            Some(target) => cx.awaits.push((target, at)),
            None => {
                let fault = refs::unknown_machine(&name, &cx.world);
                cx.add(Diagnostic::error(fault.code, at, fault.message).help(fault.help));
            }
        }
    }
}

/// The names of all machines that targets stand for.
pub(crate) fn names(targets: impl Iterator<Item = Target>, cx: &Cx<'_>) -> BTreeSet<Name> {
    targets.flat_map(|target| cx.world.machines(target)).cloned().collect()
}
