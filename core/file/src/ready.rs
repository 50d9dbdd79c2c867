//! `ready`: what must hold before a machine counts as ready.

use encamp_core::Protocol;

use crate::built::Built;
use crate::codes;
use crate::cx::{Cx, Scope};
use crate::diagnose::Diagnostic;
use crate::nearest;
use crate::node::{Content, Node, Table};
use crate::objects;
use crate::spec::{Command, Condition, Probe};
use crate::text::Text;
use crate::typed;
use crate::world::Target;

/// What can be waited for.
pub(crate) const CONDITIONS: [&str; 9] = [
    "tcp",
    "http",
    "run",
    "log",
    "file",
    "exited",
    "healthcheck",
    "ssh",
    "cloud_init",
];
/// What belongs to `http` alone.
const OF_HTTP: [&str; 3] = ["path", "status", "json"];
/// The keys of every probe.
const COMMON: [&str; 5] = ["within", "every", "timeout", "stable", "of"];
/// Whom a probe is about.
pub(crate) const OF: [&str; 2] = ["machine", "group"];
const EXAMPLE: &str = "ready = [{ tcp = \"pg\" }]";

/// The probes of a machine.
#[derive(Debug, Default)]
pub(crate) struct Probes {
    pub(crate) own: Vec<Probe>,
    /// Those with `of = "group"`.
    pub(crate) of_group: Vec<Probe>,
}

pub(crate) fn read(node: &Node, machine: Target, scope: Scope<'_>, cx: &mut Cx<'_>) -> Probes {
    let mut probes = Probes::default();
    if let Content::Table(_) = node.value {
        let help = format!("[{}]", cx.sources.text(node.span));
        cx.add(typed::wrong_type("a list of probes", node).help(help));
        return probes;
    }
    for item in cx.list(node, EXAMPLE).unwrap_or_default() {
        let of_group = is_of_group(item, machine, scope, cx);
        let list = if of_group {
            &mut probes.of_group
        } else {
            &mut probes.own
        };
        list.extend(probe(item, machine, scope, cx));
    }
    probes
}

/// `of = "group"`: judged on every member once the whole group runs.
fn is_of_group(item: &Node, machine: Target, scope: Scope<'_>, cx: &mut Cx<'_>) -> bool {
    let Content::Table(table) = &item.value else {
        return false;
    };
    let Some(node) = table.node("of") else { return false };
    let Some(of) = cx.string(node, scope, "\"group\"") else {
        return false;
    };
    let message = match of.as_str() {
        "machine" => return false,
        "group" if cx.world.decl(machine).members.is_some() => return true,
        "group" => format!("`{}` is in no group", cx.world.decl(machine).name),
        other => format!(
            "a probe is of a machine or of its group, not of `{}`",
            typed::shortened(other)
        ),
    };
    let help = match of.as_str() {
        "group" => Some("only machines with a `count` are".to_owned()),
        other => nearest::did_you_mean(other, OF),
    };
    cx.add(Diagnostic::error(codes::OUT_OF_RANGE, node.span, message).help(help));
    false
}

fn probe(node: &Node, machine: Target, scope: Scope<'_>, cx: &mut Cx<'_>) -> Option<Probe> {
    let table = cx.table(node, "{ tcp = \"pg\" }")?;
    let known: Vec<&str> = CONDITIONS.into_iter().chain(OF_HTTP).chain(COMMON).collect();
    cx.only_keys(table, &known, "a probe");
    let given: Vec<_> = table
        .entries
        .iter()
        .filter(|entry| CONDITIONS.contains(&entry.key.as_str()))
        .collect();
    let condition = match given.as_slice() {
        [one] => condition(&one.key, &one.node, table, machine, scope, cx),
        [] => {
            let help = format!("one of {}", CONDITIONS.join(", "));
            cx.add(Diagnostic::error(codes::ONE_CONDITION, node.span, "this probe has no condition").help(help));
            None
        }
        [first, second, ..] => {
            let message = "a probe has one condition; all probes must hold";
            cx.add(
                Diagnostic::error(codes::ONE_CONDITION, second.key_span, message)
                    .label("make it a probe of its own")
                    .secondary(first.key_span, "the first condition"),
            );
            None
        }
    };
    for key in OF_HTTP {
        if let Some(entry) = table.entry(key)
            && given.len() == 1
            && given.iter().all(|given| given.key != "http")
        {
            let message = format!("`{key}` belongs to a probe with `http`");
            cx.add(Diagnostic::error(codes::UNKNOWN_KEY, entry.key_span, message));
        }
    }
    let mut times = [None; 4];
    for (time, key) in times.iter_mut().zip(["within", "every", "timeout", "stable"]) {
        *time = table.node(key).and_then(|node| cx.duration(node, scope));
    }
    let mut probe = Probe::new(condition?);
    probe.place = cx.sources.place(node.span);
    probe.within = times[0].unwrap_or(probe.within);
    probe.every = times[1].unwrap_or(probe.every);
    probe.timeout = times[2].unwrap_or(probe.timeout);
    probe.stable = times[3];
    if let (Some(stable), Some(node)) = (probe.stable, table.node("stable"))
        && stable >= probe.within
    {
        let message = format!("it cannot have held for {stable:?} within {:?}", probe.within);
        let help = "a longer `within`, or a shorter `stable`".to_owned();
        cx.add(Diagnostic::error(codes::OUT_OF_RANGE, node.span, message).help(help));
    }
    Some(probe)
}

fn condition(
    key: &str,
    node: &Node,
    table: &Table,
    machine: Target,
    scope: Scope<'_>,
    cx: &mut Cx<'_>,
) -> Option<Condition> {
    match key {
        "tcp" => Some(Condition::Tcp {
            port: port(node, machine, scope, cx)?,
        }),
        "http" => {
            let port = port(node, machine, scope, cx);
            let path = match table.node("path") {
                Some(node) => path(node, scope, cx),
                None => Some(Text::literal("/")),
            };
            let status = match table.node("status") {
                Some(node) => Some(u16::try_from(cx.whole(node, scope, 100..=599)?).ok()?),
                None => None,
            };
            let json = match table.node("json") {
                Some(node) => Some(json(node, scope, cx)?),
                None => None,
            };
            Some(Condition::Http {
                port: port?,
                path: path?,
                status,
                json,
            })
        }
        "run" => Some(Condition::Run(command(node, scope, cx)?)),
        "log" => Some(Condition::Log {
            pattern: pattern(node, scope, cx)?,
        }),
        "file" => Some(Condition::File {
            path: file(node, scope, cx)?,
        }),
        "healthcheck" => is(key, node, scope, cx).then_some(Condition::Healthcheck),
        "ssh" => is(key, node, scope, cx).then_some(Condition::Ssh),
        "cloud_init" => is(key, node, scope, cx).then_some(Condition::CloudInit),
        _ => {
            cx.whole(node, scope, 0..=0)?;
            Some(Condition::Exited)
        }
    }
}

/// `KEY = true`, which alone means anything.
fn is(key: &str, node: &Node, scope: Scope<'_>, cx: &mut Cx<'_>) -> bool {
    let is = cx.boolean(node, scope);
    if is == Some(false) {
        let message = "there is nothing to wait for here";
        let help = format!("`{key} = true`, or drop the probe");
        cx.add(Diagnostic::error(codes::OUT_OF_RANGE, node.span, message).help(help));
    }
    is == Some(true)
}

/// Keys that the answer must have, with their values: known now.
fn json(node: &Node, scope: Scope<'_>, cx: &mut Cx<'_>) -> Option<serde_json::Map<String, encamp_core::Value>> {
    cx.table(node, "json = { status = \"ok\" }")?;
    let built = Built::new(node, scope, cx)?;
    let mut late = Vec::new();
    built.late_leaves("", &mut late);
    if let Some((_, leaf, _)) = late.first() {
        let message = "this has to be known before anything is created";
        cx.add(Diagnostic::error(codes::LATE, leaf.span, message));
        return None;
    }
    match built.skeleton() {
        encamp_core::Value::Object(map) => Some(map),
        _ => None,
    }
}

/// A regular expression that lines of the log are held against.
fn pattern(node: &Node, scope: Scope<'_>, cx: &mut Cx<'_>) -> Option<String> {
    let pattern = cx.string(node, scope, "\"listening on\"")?;
    if pattern.is_empty() {
        cx.add(Diagnostic::error(
            codes::OUT_OF_RANGE,
            node.span,
            "every line matches this pattern",
        ));
        return None;
    }
    match regex::Regex::new(&pattern) {
        Ok(_) => Some(pattern),
        Err(error) => {
            // The engine draws the pattern and marks it over several lines; the last says what is wrong.
            let text = error.to_string();
            let last = text
                .lines()
                .last()
                .unwrap_or_default()
                .trim()
                .trim_start_matches("error: ");
            let message = format!("`{}` is no regular expression: {last}", typed::shortened(&pattern));
            cx.add(Diagnostic::error(codes::BAD_PATTERN, node.span, message));
            None
        }
    }
}

fn file(node: &Node, scope: Scope<'_>, cx: &mut Cx<'_>) -> Option<Text> {
    let path = cx.shown_text(node, scope, "\"/run/ready\"")?;
    if let Some(known) = path.as_static().filter(|path| !path.starts_with('/')) {
        let message = "a path on a machine begins with `/`";
        let help = format!("\"/{known}\"");
        cx.add(Diagnostic::error(codes::OUT_OF_RANGE, node.span, message).help(help));
        return None;
    }
    Some(path)
}

fn path(node: &Node, scope: Scope<'_>, cx: &mut Cx<'_>) -> Option<Text> {
    let text = cx.text(node, scope, false, "\"/healthz\"")?;
    let wrong = text.as_static().is_some_and(|path| !path.starts_with('/'));
    if wrong {
        let help = format!("\"/{}\"", text.as_static().unwrap_or_default());
        cx.add(Diagnostic::error(codes::OUT_OF_RANGE, node.span, "a path begins with `/`").help(help));
        return None;
    }
    Some(text)
}

/// The name of one of the machine's own tcp ports.
fn port(node: &Node, machine: Target, scope: Scope<'_>, cx: &mut Cx<'_>) -> Option<encamp_core::Name> {
    let settled = cx.settled(node, scope)?;
    let world = std::sync::Arc::clone(&cx.world);
    let decl = world.decl(machine);
    if let Content::Int(number) = settled.value {
        let known = decl.ports.iter().find(|port| i64::from(port.port) == number);
        let help = match known {
            Some(port) => format!("\"{}\"", port.name),
            None => format!("declare it, `ports = {{ main = {number} }}`, and name it: \"main\""),
        };
        cx.add(
            Diagnostic::error(
                codes::WRONG_TYPE,
                node.span,
                "expected the name of a port, found its number",
            )
            .help(help),
        );
        return None;
    }
    let name = cx.string(&settled, scope, "\"pg\"")?;
    let Some(port) = decl.port(&name) else {
        let fault = objects::unknown_port(decl, &name);
        cx.add(Diagnostic::error(fault.code, node.span, fault.message).help(fault.help));
        return None;
    };
    if port.protocol == Protocol::Udp {
        let message = format!("`{name}` is a udp port, which accepts no connections");
        cx.add(Diagnostic::error(codes::UNKNOWN_PORT, node.span, message).help("probe it with `run`".to_owned()));
        return None;
    }
    Some(port.name.clone())
}

/// A string for the shell, or a list.
pub(crate) fn command(node: &Node, scope: Scope<'_>, cx: &mut Cx<'_>) -> Option<Command> {
    const EXAMPLE: &str = "\"echo ok\" or [\"echo\", \"ok\"]";
    let items = match &node.value {
        Content::List(items) => items,
        Content::String(source) => {
            if source.trim().is_empty() {
                cx.add(Diagnostic::error(
                    codes::OUT_OF_RANGE,
                    node.span,
                    "this command is empty",
                ));
                return None;
            }
            return Some(Command::Shell(cx.text(node, scope, false, EXAMPLE)?));
        }
        _ => {
            cx.add(typed::wrong_type("a string or a list", node).help(EXAMPLE.to_owned()));
            return None;
        }
    };
    let words = elements(items, scope, cx)?;
    if words.is_empty() {
        cx.add(Diagnostic::error(
            codes::OUT_OF_RANGE,
            node.span,
            "this command is empty",
        ));
        return None;
    }
    Some(Command::Argv(words))
}

/// What a command is called with.
pub(crate) fn arguments(node: &Node, scope: Scope<'_>, cx: &mut Cx<'_>) -> Option<Vec<Text>> {
    let items = cx.list(node, "args = [\"--fast\"]")?;
    elements(items, scope, cx)
}

fn elements(items: &[Node], scope: Scope<'_>, cx: &mut Cx<'_>) -> Option<Vec<Text>> {
    let errors = cx.findings.errors();
    let words: Vec<Text> = items.iter().flat_map(|item| words(item, scope, cx)).collect();
    (cx.findings.errors() == errors).then_some(words)
}

/// The words that an element stands for: one, or those of a list that its expression gives, or none.
fn words(item: &Node, scope: Scope<'_>, cx: &mut Cx<'_>) -> Vec<Text> {
    if let Content::String(source) = &item.value
        && let Some(known) = cx.known_list(item.span, source, scope)
    {
        return known.into_iter().map(Text::literal).collect();
    }
    let word = cx.text(item, scope, true, "\"word\"");
    if word.as_ref().is_some_and(Text::is_secret) {
        let message = "an argument shows in the list of processes, and this one holds a secret";
        let help = "give it by `env`, let the command read its file, or write the command as one string for the shell";
        cx.add(Diagnostic::error(codes::VISIBLE, item.span, message).help(help.to_owned()));
        return Vec::new();
    }
    word.into_iter().collect()
}
