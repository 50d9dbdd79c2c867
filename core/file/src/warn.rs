//! What works and may still not be what was meant.

use crate::codes;
use crate::cx::Cx;
use crate::diagnose::Diagnostic;
use crate::machines::Draft;
use crate::spec::{Condition, Machine};

/// Databases whose port opens before they answer, and what asks them.
const DATABASES: [(&str, &str); 6] = [
    ("postgres", "pg_isready -h 127.0.0.1"),
    ("postgresql", "pg_isready -h 127.0.0.1"),
    ("mysql", "mysqladmin ping -h 127.0.0.1"),
    ("mariadb", "healthcheck.sh --connect --innodb_initialized"),
    ("redis", "redis-cli ping"),
    ("valkey", "valkey-cli ping"),
];

/// A port that is open proves little of a database.
pub(crate) fn of_tcp_alone(draft: &Draft<'_>, machine: &Machine, cx: &mut Cx<'_>) {
    let is_tcp = |condition: &Condition| matches!(condition, Condition::Tcp { .. });
    let mut probes = machine.ready.iter().chain(&machine.group_ready);
    if machine.ready.is_empty() || !probes.all(|probe| is_tcp(&probe.condition)) {
        return;
    }
    let mut images = machine
        .tables
        .values()
        .filter_map(|tree| tree.as_skeleton().get("image")?.as_str());
    let database = images.find_map(|image| DATABASES.iter().find(|(name, _)| *name == base_name(image)));
    if let (Some((name, probe)), Some(node)) = (database, draft.table.node("ready")) {
        let message = format!("`{}` opens its port before {name} answers", draft.name);
        let help = format!("{{ run = \"{probe}\" }}");
        cx.add(Diagnostic::warning(codes::TCP_ONLY, node.span, message).help(help));
    }
}

/// `registry:5000/library/postgres:16@sha256:…` is `postgres`.
fn base_name(image: &str) -> &str {
    let last = image.rsplit('/').next().unwrap_or_default();
    last.split(['@', ':']).next().unwrap_or_default()
}

/// A kind cannot be called like a key that every machine has; nothing of its tables could be read.
pub(crate) fn reserved_kinds(cx: &mut Cx<'_>) {
    let kinds = cx.kinds;
    for kind in kinds.kinds.keys().filter(|kind| crate::kinds::is_reserved(kind)) {
        let message = format!("a kind cannot be called `{kind}`: that is a key of every machine");
        cx.add(Diagnostic::error(codes::RESERVED_KIND, None, message));
    }
}
