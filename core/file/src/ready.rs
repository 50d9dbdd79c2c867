//! `ready`: what must hold before a machine counts as ready.

use encamp_core::Protocol;

use crate::codes;
use crate::cx::{Cx, Scope};
use crate::diagnose::Diagnostic;
use crate::node::{Content, Node, Table};
use crate::objects;
use crate::spec::{Command, Condition, Probe};
use crate::text::Text;
use crate::typed;
use crate::world::Target;

const CONDITIONS: [&str; 4] = ["tcp", "http", "run", "exited"];
const KEYS: [&str; 9] = [
    "tcp", "http", "run", "exited", "path", "status", "within", "every", "timeout",
];
const EXAMPLE: &str = "ready = [{ tcp = \"pg\" }]";

pub(crate) fn read(node: &Node, machine: Target, scope: Scope<'_>, cx: &mut Cx<'_>) -> Vec<Probe> {
    if let Content::Table(_) = node.value {
        let help = format!("[{}]", cx.sources.text(node.span));
        cx.add(typed::wrong_type("a list of probes", node).help(help));
        return Vec::new();
    }
    let items = cx.list(node, EXAMPLE).unwrap_or_default();
    items
        .iter()
        .filter_map(|item| probe(item, machine, scope, cx))
        .collect()
}

fn probe(node: &Node, machine: Target, scope: Scope<'_>, cx: &mut Cx<'_>) -> Option<Probe> {
    let table = cx.table(node, "{ tcp = \"pg\" }")?;
    cx.only_keys(table, &KEYS, "a probe");
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
    for (key, of) in [("path", "http"), ("status", "http")] {
        if let Some(entry) = table.entry(key)
            && given.len() == 1
            && given.iter().all(|given| given.key != of)
        {
            let message = format!("`{key}` belongs to a probe with `{of}`");
            cx.add(Diagnostic::error(codes::UNKNOWN_KEY, entry.key_span, message));
        }
    }
    let mut times = [None; 3];
    for (time, key) in times.iter_mut().zip(["within", "every", "timeout"]) {
        *time = table.node(key).and_then(|node| cx.duration(node, scope));
    }
    let mut probe = Probe::new(condition?);
    probe.place = cx.sources.place(node.span);
    probe.within = times[0].unwrap_or(probe.within);
    probe.every = times[1].unwrap_or(probe.every);
    probe.timeout = times[2].unwrap_or(probe.timeout);
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
            Some(Condition::Http {
                port: port?,
                path: path?,
                status,
                json: None,
            })
        }
        "run" => Some(Condition::Run(command(node, scope, cx)?)),
        _ => {
            cx.whole(node, scope, 0..=0)?;
            Some(Condition::Exited)
        }
    }
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
    let errors = cx.findings.errors();
    let words: Vec<Text> = items.iter().flat_map(|item| words(item, scope, cx)).collect();
    if cx.findings.errors() > errors {
        return None;
    }
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

/// The words that an element stands for: one, or those of a list that its expression gives, or none.
fn words(item: &Node, scope: Scope<'_>, cx: &mut Cx<'_>) -> Vec<Text> {
    if let Content::String(source) = &item.value
        && let Some(known) = cx.known_list(item.span, source, scope)
    {
        return known.into_iter().map(Text::literal).collect();
    }
    cx.text(item, scope, true, "\"word\"").into_iter().collect()
}
