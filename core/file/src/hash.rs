//! The hash that decides whether a machine has to be replaced.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::Path;

use encamp_core::{KindName, Value as Json};
use serde_json::json;
use sha2::{Digest as _, Sha256};

use crate::spec::{Action, Command, Machine, Restart, Service, Step};
use crate::text::Text;
use crate::tree::marker;

/// 16 hex digits over kind, that kind's table, env, ports, set-up, services, secrets and the content of all files that
/// these name; late texts and secrets by their source.
///
/// A working tree that is brought by `sync` counts by where it lands, not by what it holds: it changes all the time, and
/// `sync` is there to carry the changes over.
pub fn spec_hash(machine: &Machine, kind: &KindName) -> String {
    let table = machine.tables.get(kind).map_or(&Json::Null, |tree| tree.as_skeleton());
    let mut ports: Vec<Json> = machine
        .ports
        .iter()
        .map(|port| serde_json::to_value(port).unwrap_or_default())
        .collect();
    ports.sort_by_key(ToString::to_string);
    let mut described = json!({ "kind": kind.as_str(), "table": table, "env": texts(&machine.env), "ports": ports });
    // What a machine does not have does not count, so that a new key of the language replaces nothing.
    let mut add = |key: &str, value: Json| {
        let empty =
            value.as_array().is_some_and(Vec::is_empty) || value.as_object().is_some_and(serde_json::Map::is_empty);
        if !empty {
            described[key] = value;
        }
    };
    add("setup", machine.setup.iter().map(|it| step(it, machine)).collect());
    add("services", machine.services.iter().map(service).collect());
    add("secrets", texts(&machine.secrets));
    add(
        "contents",
        json!(machine.table_contents.get(kind).cloned().unwrap_or_default()),
    );
    let mut text = String::new();
    canonical(&described, &mut text);
    hex(&Sha256::digest(text.as_bytes())[..8])
}

/// The parts of [`spec_hash`] that a request to a provider does not hold, each by what people call it, with a hash of its
/// own: steps of the set-up and services with the files that they name, secrets by their source, and what a kind's table
/// names.
pub fn spec_parts(machine: &Machine, kind: &KindName) -> BTreeMap<String, String> {
    let mut parts: Vec<(String, Json)> = Vec::new();
    for it in &machine.setup {
        parts.push((format!("setup: {}", it.action), step(it, machine)));
    }
    for it in &machine.services {
        parts.push((format!("service {}", it.name), service(it)));
    }
    for (name, it) in &machine.secrets {
        parts.push((format!("secret {name}"), text(it)));
    }
    for (pointer, hash) in machine.table_contents.get(kind).into_iter().flatten() {
        let key = pointer.trim_start_matches('/').replace('/', ".");
        let named = machine
            .tables
            .get(kind)
            .and_then(|tree| tree.as_skeleton().pointer(pointer));
        let named = named.and_then(Json::as_str).map(|named| format!(" {named}"));
        parts.push((format!("what is in {key}{}", named.unwrap_or_default()), json!(hash)));
    }
    let mut hashes = BTreeMap::new();
    for (name, part) in parts {
        let mut text = String::new();
        canonical(&part, &mut text);
        let hash = hex(&Sha256::digest(text.as_bytes())[..8]);
        // Two that are called alike are told as one.
        hashes
            .entry(name)
            .and_modify(|known: &mut String| known.push_str(&hash))
            .or_insert(hash);
    }
    hashes
}

pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut hex, byte| {
        // Writing to a string cannot fail.
        let _ = write!(hex, "{byte:02x}");
        hex
    })
}

fn text(text: &Text) -> Json {
    text.as_static().map_or_else(|| marker(text), Json::from)
}

fn texts(texts: &BTreeMap<String, Text>) -> Json {
    let texts = texts.iter().map(|(key, it)| (key.clone(), text(it)));
    Json::Object(texts.collect())
}

fn command(command: &Command) -> Json {
    match command {
        Command::Shell(line) => text(line),
        Command::Argv(words) => words.iter().map(text).collect(),
    }
}

fn step(step: &Step, machine: &Machine) -> Json {
    // Where a file lies here does not count, only what is in it.
    let content = |path: &Path| machine.contents.get(path);
    let action = match &step.action {
        Action::Run(it) => json!({ "run": command(it) }),
        Action::Script(it) => {
            let args: Vec<Json> = it.args.iter().map(text).collect();
            json!({ "script": content(&it.file), "args": args })
        }
        Action::Copy(it) => {
            json!({ "copy": content(&it.from), "to": text(&it.to), "owner": it.owner, "mode": it.mode })
        }
        Action::Template(it) => {
            let template = [
                content(it.template.file()).map_or("", String::as_str),
                it.template.digest(),
            ];
            json!({ "template": template, "to": text(&it.to), "owner": it.owner, "mode": it.mode })
        }
        Action::Fetch(it) => json!({
            "fetch": it.sha256, "to": text(&it.to), "unpack": it.unpack, "owner": it.owner, "mode": it.mode,
        }),
        Action::Sync(it) => json!({ "sync": text(&it.to), "exclude": it.exclude }),
    };
    json!({
        "action": action,
        "output": step.output.as_ref().map(encamp_core::Name::as_str),
        "after_ready": step.after_ready,
        "env": texts(&step.env),
        "cwd": step.cwd.as_ref().map(text),
        "user": step.user,
    })
}

fn service(service: &Service) -> Json {
    json!({
        "name": service.name.as_str(),
        "run": command(&service.command),
        "env": texts(&service.env),
        "cwd": service.cwd.as_ref().map(text),
        "user": service.user,
        "restart": service.restart == Restart::OnFailure,
    })
}

/// Keys sorted, no spaces; not left to `serde_json`, whose maps are sorted only without a feature that
/// any crate of the build may switch on.
fn canonical(value: &Json, text: &mut String) {
    match value {
        Json::Object(object) => {
            let sorted: BTreeMap<&String, &Json> = object.iter().collect();
            text.push('{');
            for (index, (key, inner)) in sorted.into_iter().enumerate() {
                if index > 0 {
                    text.push(',');
                }
                text.push_str(&Json::from(key.as_str()).to_string());
                text.push(':');
                canonical(inner, text);
            }
            text.push('}');
        }
        Json::Array(items) => {
            text.push('[');
            for (index, inner) in items.iter().enumerate() {
                if index > 0 {
                    text.push(',');
                }
                canonical(inner, text);
            }
            text.push(']');
        }
        scalar => text.push_str(&scalar.to_string()),
    }
}
