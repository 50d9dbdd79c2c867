//! The hash that decides whether a machine has to be replaced.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use encamp_core::{KindName, Value as Json};
use serde_json::json;
use sha2::{Digest as _, Sha256};

use crate::spec::Machine;
use crate::tree::marker;

/// 16 hex digits over kind, that kind's table, env and ports; late texts by their source.
pub fn spec_hash(machine: &Machine, kind: &KindName) -> String {
    let env: BTreeMap<&str, Json> = machine
        .env
        .iter()
        .map(|(key, text)| {
            let value = text.as_static().map_or_else(|| marker(text), Json::from);
            (key.as_str(), value)
        })
        .collect();
    let table = machine.tables.get(kind).map_or(&Json::Null, |tree| tree.as_skeleton());
    let mut ports: Vec<Json> = machine
        .ports
        .iter()
        .map(|port| serde_json::to_value(port).unwrap_or_default())
        .collect();
    ports.sort_by_key(ToString::to_string);
    let described = json!({ "kind": kind.as_str(), "table": table, "env": env, "ports": ports });
    let mut text = String::new();
    canonical(&described, &mut text);
    let digest = Sha256::digest(text.as_bytes());
    digest.iter().take(8).fold(String::new(), |mut hex, byte| {
        // Writing to a string cannot fail.
        let _ = write!(hex, "{byte:02x}");
        hex
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
