//! `ports`: what a machine listens on.

use std::collections::HashMap;

use encamp_core::{PortSpec, Protocol, Publish};

use crate::codes;
use crate::cx::{Cx, Scope};
use crate::diagnose::Diagnostic;
use crate::node::{Content, Entry, Node};
use crate::typed;

const KEYS: [&str; 3] = ["port", "publish", "protocol"];
const EXAMPLE: &str = "{ port = 8080, publish = 8080 }";

/// The declared ports; one that is wrong still has its name, so that nothing else is reported for it.
pub(crate) fn read(node: &Node, is_group: bool, cx: &mut Cx<'_>) -> Vec<PortSpec> {
    let mut ports: Vec<PortSpec> = Vec::new();
    let Some(table) = cx.table(node, "ports = { http = 8080 }") else {
        return ports;
    };
    let mut numbers = HashMap::new();
    for entry in &table.entries {
        let Some(name) = cx.checked_name(&entry.key, entry.key_span) else {
            continue;
        };
        let mut port = PortSpec::new(name, 1);
        if details(entry, &mut port, is_group, cx).is_some() {
            let protocol = port.protocol == Protocol::Udp;
            if let Some(first) = numbers.insert((port.port, protocol), entry.key_span) {
                let message = format!("port {} is declared twice", port.port);
                cx.add(
                    Diagnostic::error(codes::TAKEN, entry.key_span, message)
                        .label("again here")
                        .secondary(first, "declared here"),
                );
            }
        }
        ports.push(port);
    }
    ports
}

fn details(entry: &Entry, port: &mut PortSpec, is_group: bool, cx: &mut Cx<'_>) -> Option<()> {
    let Content::Table(table) = &entry.node.value else {
        port.port = number(&entry.node, cx)?;
        return Some(());
    };
    cx.only_keys(table, &KEYS, "a port");
    if let Some(node) = table.node("protocol") {
        port.protocol = match cx.string(node, Scope::EARLY, "\"tcp\"")?.as_str() {
            "tcp" => Protocol::Tcp,
            "udp" => Protocol::Udp,
            other => {
                let message = format!("`{}` is neither `tcp` nor `udp`", typed::shortened(other));
                cx.add(Diagnostic::error(codes::OUT_OF_RANGE, node.span, message));
                return None;
            }
        };
    }
    if let Some(node) = table.node("publish") {
        port.publish = publish(node, is_group, cx)?;
    }
    let Some(node) = table.node("port") else {
        cx.missing_key(
            entry.node.span,
            &format!("the port `{}`", entry.key),
            "port",
            "port = 8080",
        );
        return None;
    };
    port.port = number(node, cx)?;
    Some(())
}

fn publish(node: &Node, is_group: bool, cx: &mut Cx<'_>) -> Option<Publish> {
    let settled = cx.settled(node, Scope::EARLY)?;
    match &settled.value {
        Content::Bool(false) => Some(Publish::Inside),
        Content::Bool(true) => Some(Publish::Free),
        Content::Int(_) => {
            let fixed = number(&settled, cx)?;
            if is_group {
                let message = "the members of a group cannot all have the same port of the host";
                let help = "drop `publish`: each gets a free port, which outputs can name".to_owned();
                cx.add(Diagnostic::error(codes::TAKEN, node.span, message).help(help));
                return None;
            }
            Some(Publish::Fixed(fixed))
        }
        _ => {
            cx.add(typed::wrong_type("a port number or `false`", &settled).help(EXAMPLE.to_owned()));
            None
        }
    }
}

fn number(node: &Node, cx: &mut Cx<'_>) -> Option<u16> {
    let number = cx.whole(node, Scope::EARLY, 1..=65535)?;
    u16::try_from(number).ok()
}
