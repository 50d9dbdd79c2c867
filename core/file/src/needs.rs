//! `needs`: what a machine needs, whatever the provider.

use encamp_core::Needs;

use crate::codes;
use crate::cx::{Cx, Scope};
use crate::diagnose::Diagnostic;
use crate::node::Node;

const KEYS: [&str; 6] = ["cpu", "memory", "disk", "arch", "os", "gpu"];
const ARCHES: [(&str, &str); 4] = [
    ("amd64", "x86_64"),
    ("x64", "x86_64"),
    ("arm64", "aarch64"),
    ("armv8", "aarch64"),
];

pub(crate) fn read(node: &Node, scope: Scope<'_>, cx: &mut Cx<'_>) -> Needs {
    let mut needs = Needs::default();
    let Some(table) = cx.table(node, "needs = { cpu = 2, memory = \"4GiB\" }") else {
        return needs;
    };
    cx.only_keys(table, &KEYS, "needs");
    if let Some(node) = table.node("cpu") {
        needs.cpu = cx.number(node, scope);
        if needs.cpu.is_some_and(|cpu| !(cpu > 0.0 && cpu.is_finite())) {
            cx.add(Diagnostic::error(
                codes::OUT_OF_RANGE,
                node.span,
                "a machine has more than 0 cores",
            ));
        }
    }
    needs.memory = table.node("memory").and_then(|node| cx.size(node, scope));
    needs.disk = table.node("disk").and_then(|node| cx.size(node, scope));
    if let Some(node) = table.node("arch") {
        needs.arch = cx.string(node, scope, "\"x86_64\"");
        let other = ARCHES.iter().find(|(other, _)| needs.arch.as_deref() == Some(other));
        if let Some((other, name)) = other {
            let message = format!("`{other}` is called `{name}` here");
            cx.add(Diagnostic::error(codes::OUT_OF_RANGE, node.span, message).help(format!("\"{name}\"")));
        }
    }
    needs.os = table.node("os").and_then(|node| cx.string(node, scope, "\"linux\""));
    let gpu = table.node("gpu").and_then(|node| cx.whole(node, scope, 0..=1024));
    needs.gpu = gpu.and_then(|gpu| u32::try_from(gpu).ok());
    needs
}
