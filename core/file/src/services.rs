//! `services`: what runs on a machine beside its main process.

use crate::codes;
use crate::cx::{Cx, Scope};
use crate::diagnose::Diagnostic;
use crate::machines;
use crate::nearest;
use crate::node::{Content, Entry, Node};
use crate::ready;
use crate::spec::{Command, Restart, Service};
use crate::steps;
use crate::typed::{self, shortened};

/// The keys of a service.
pub(crate) const KEYS: [&str; 6] = ["run", "env", "cwd", "user", "restart", "raw"];
/// What may happen when it ends.
pub(crate) const RESTARTS: [&str; 2] = ["no", "on-failure"];

pub(crate) fn read(node: &Node, scope: Scope<'_>, cx: &mut Cx<'_>) -> Vec<Service> {
    let Some(table) = cx.table(node, "services.web = { run = \"serve\" }") else {
        return Vec::new();
    };
    let entries = table.entries.iter();
    entries.filter_map(|entry| service(entry, scope, cx)).collect()
}

fn service(entry: &Entry, scope: Scope<'_>, cx: &mut Cx<'_>) -> Option<Service> {
    let name = cx.checked_name(&entry.key, entry.key_span);
    let node = &entry.node;
    let Content::Table(table) = &node.value else {
        let help = format!("{{ run = {} }}", cx.sources.text(node.span));
        cx.add(typed::wrong_type("a table", node).help(help));
        return None;
    };
    cx.only_keys(table, &KEYS, "a service");
    let scope = Scope {
        raw: steps::raw(table, cx),
        ..scope
    };
    let command = match table.node("run") {
        Some(node) => ready::command(node, scope, cx).filter(|command| !shows(command, node, cx)),
        None => {
            let what = format!("the service `{}`", entry.key);
            cx.missing_key(entry.key_span, &what, "run", "run = \"…\"");
            None
        }
    };
    let env = table.node("env").map(|node| machines::env(node, scope, cx));
    let cwd = table
        .node("cwd")
        .and_then(|node| cx.shown_text(node, scope, "\"/srv\""));
    let user = table.node("user").and_then(|node| cx.string(node, scope, "\"root\""));
    let restart = match table.node("restart") {
        Some(node) => restart(node, scope, cx),
        None => Some(Restart::No),
    };
    let mut service = Service::new(name?, command?);
    service.env = env.unwrap_or_default();
    (service.cwd, service.user) = (cwd, user);
    service.restart = restart?;
    service.place = cx.sources.place(entry.key_span);
    Some(service)
}

fn restart(node: &Node, scope: Scope<'_>, cx: &mut Cx<'_>) -> Option<Restart> {
    let settled = cx.settled(node, scope)?;
    if let Content::Bool(flag) = settled.value {
        let help = if flag { "\"on-failure\"" } else { "\"no\"" };
        cx.add(typed::wrong_type("a string", &settled).help(help.to_owned()));
        return None;
    }
    match cx.string(&settled, scope, "\"on-failure\"")?.as_str() {
        "no" => Some(Restart::No),
        "on-failure" => Some(Restart::OnFailure),
        other => {
            let message = format!("a service is not restarted `{}`", shortened(other));
            let help = nearest::did_you_mean(other, RESTARTS).unwrap_or_else(|| "\"no\" or \"on-failure\"".to_owned());
            cx.add(Diagnostic::error(codes::OUT_OF_RANGE, node.span, message).help(help));
            None
        }
    }
}

/// Whether a command would show a secret for as long as it runs.
fn shows(command: &Command, node: &Node, cx: &mut Cx<'_>) -> bool {
    let Command::Shell(text) = command else { return false };
    if text.is_secret() {
        let message = "the command of a service shows in the list of processes, and this one holds a secret";
        let help = "give it by `env`, or let the service read its file";
        cx.add(Diagnostic::error(codes::VISIBLE, node.span, message).help(help.to_owned()));
    }
    text.is_secret()
}
