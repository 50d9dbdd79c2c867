//! What of a machine's description has changed, in few words.

use std::collections::{BTreeMap, BTreeSet};

use encamp_core::{Create, Name, PortSpec, Value};
use encamp_file::spec::Machine;
use serde::Serialize;

use crate::journal::IntentRow;

/// Characters of a value that a change shows.
const SHOWN: usize = 48;

/// One thing of a machine's description that has changed.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[non_exhaustive]
pub struct Change {
    /// `image`, `env DATABASE_URL`, `port http`, `setup: script install.sh`.
    pub what: String,
    /// Before; none where it was not there, or is no short text.
    pub from: Option<String>,
    /// From now on.
    pub to: Option<String>,
}

/// What differs between the request that a machine was made of and what would be sent now.
pub(super) fn changes(
    machine: &Machine,
    row: &IntentRow,
    body: Option<&Value>,
    env: Option<&encamp_core::Env>,
) -> Vec<Change> {
    let ports = &machine.ports;
    let Ok(before) = serde_json::from_str::<Create>(&row.request) else {
        return Vec::new();
    };
    let mut changes = BTreeMap::new();
    if let Some(body) = body {
        leaves(&before.body, body, "", &mut changes);
    }
    if let Some(env) = env {
        let names: BTreeSet<&String> = before.env.keys().chain(env.keys()).collect();
        // What the engine adds is no part of the description.
        let added = |name: &str| {
            let secret = name.strip_suffix("_FILE");
            name.starts_with("ENCAMP_PORT_") || secret.is_some_and(|name| machine.secrets.contains_key(name))
        };
        let described = names.into_iter().filter(|name| !added(name));
        for name in described.filter(|name| before.env.get(*name) != env.get(*name)) {
            // Never the value: it may be nobody's business.
            changes.insert(format!("env {name}"), (None, None));
        }
    }
    let port = |ports: &[PortSpec], name: &Name| ports.iter().find(|port| port.name == *name).map(shown_port);
    let names: BTreeSet<&Name> = before.ports.iter().chain(ports).map(|port| &port.name).collect();
    for name in names {
        let (from, to) = (port(&before.ports, name), port(ports, name));
        if from != to {
            changes.insert(format!("port {name}"), (from, to));
        }
    }
    let changes = changes.into_iter();
    changes.map(|(what, (from, to))| Change { what, from, to }).collect()
}

/// What differs of a description that is not in the request: set-up, services, secrets, and what files hold. A row of
/// before they were kept says nothing.
pub(super) fn changed_parts(before: &BTreeMap<String, String>, after: &BTreeMap<String, String>) -> Vec<Change> {
    if before.is_empty() {
        return Vec::new();
    }
    let names: BTreeSet<&String> = before.keys().chain(after.keys()).collect();
    let differ = names.into_iter().filter(|name| before.get(*name) != after.get(*name));
    // A hash is nothing to show.
    let change = |name: &String| Change {
        what: name.clone(),
        from: (!after.contains_key(name)).then(String::new),
        to: (!before.contains_key(name)).then(|| "added".to_owned()),
    };
    differ.map(change).collect()
}

fn shown_port(port: &PortSpec) -> String {
    let publish = match port.publish {
        encamp_core::Publish::Free => String::new(),
        encamp_core::Publish::Fixed(fixed) => format!(" published as {fixed}"),
        encamp_core::Publish::Inside => " not published".to_owned(),
    };
    format!("{}/{}{publish}", port.port, port.protocol.as_str())
}

type Changes = BTreeMap<String, (Option<String>, Option<String>)>;

/// The leaves that differ, each under the last key on the way to it. What is null now is filled in later.
fn leaves(before: &Value, after: &Value, key: &str, changes: &mut Changes) {
    match (before, after) {
        (_, Value::Null) => {}
        (Value::Object(old), Value::Object(new)) => {
            let keys: BTreeSet<&String> = old.keys().chain(new.keys()).collect();
            for name in keys {
                match (old.get(name), new.get(name)) {
                    (Some(old), Some(new)) => leaves(old, new, name, changes),
                    (old, new) => drop(changes.insert(name.clone(), (old.and_then(brief), new.and_then(brief)))),
                }
            }
        }
        (old, new) if old != new => drop(changes.insert(key.to_owned(), (brief(old), brief(new)))),
        _ => {}
    }
}

/// A short text for a scalar.
fn brief(value: &Value) -> Option<String> {
    let text = match value {
        Value::String(text) => text.clone(),
        Value::Bool(_) | Value::Number(_) => value.to_string(),
        Value::Null | Value::Array(_) | Value::Object(_) => return None,
    };
    (text.chars().count() <= SHOWN && !text.contains('\n')).then_some(text)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn differ(before: &Value, after: &Value) -> Vec<(String, Option<String>, Option<String>)> {
        let mut changes = Changes::new();
        leaves(before, after, "", &mut changes);
        changes.into_iter().map(|(what, (from, to))| (what, from, to)).collect()
    }

    #[test]
    fn a_change_is_named_by_its_key() {
        let before = json!({ "table": { "image": "web:1.4", "command": ["a", "b"], "memory": 1 }, "id": "sha256:1" });
        let after = json!({ "table": { "image": "web:1.5", "command": ["a", "c"], "init": true }, "id": null });
        let text = |text: &str| Some(text.to_owned());
        assert_eq!(
            differ(&before, &after),
            [
                ("command".to_owned(), None, None),
                ("image".to_owned(), text("web:1.4"), text("web:1.5")),
                ("init".to_owned(), None, text("true")),
                ("memory".to_owned(), text("1"), None),
            ]
        );
        assert_eq!(differ(&before, &before), []);
    }
}
