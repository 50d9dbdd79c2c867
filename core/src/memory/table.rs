//! The machine table of the simulated kind.

use std::collections::BTreeMap;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};

use crate::table::Span;
use crate::{Error, ErrorKind, Problem, Result, Value, late_pointers};

/// Where a machine is meant to fail.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Fail {
    /// `resolve` finds nothing that could be made of the table.
    Resolve,
    /// `prepare` cannot get the image.
    Prepare,
    /// `create` refuses the request as invalid.
    Create,
    /// `create` finds no room, on every site.
    Capacity,
    /// `create` hits a limit of the account.
    Quota,
    /// The machine exits as soon as it has booted.
    Boot,
    /// The machine never gets from starting to running.
    Hang,
}

/// A health check, and how it turns out.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct HealthCheck {
    /// How long after the boot it has an outcome.
    pub after: Span,
    /// What it says when it fails. It holds where nothing is given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fails: Option<String>,
}

/// A machine of the simulated kind.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct Table {
    /// What it is made from: any name, or the id of a snapshot.
    #[schemars(extend("x-late" = true))]
    pub image: String,
    /// The image's content, which `prepare` fills in.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub digest: Option<String>,
    /// The one site that it may be made on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub site: Option<String>,
    /// How long it takes from its start to running.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub boot: Option<Span>,
    /// How long it runs before its main process ends.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dies_after: Option<Span>,
    /// With what its main process ends. Without `dies_after` it ends at once.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub exits: Option<i32>,
    /// What its main process says, line by line.
    #[serde(default)]
    #[schemars(schema_with = "late_lines")]
    pub says: Vec<String>,
    /// How often it says it again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub repeats: Option<Span>,
    /// What its main process says when it is asked to end.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub heeds: Option<String>,
    /// The health check of its image.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub health: Option<HealthCheck>,
    /// Folders that outlive it, by the names of their volumes.
    #[serde(default)]
    pub volumes: BTreeMap<String, String>,
    /// Ports on which it gives back what it gets.
    #[serde(default)]
    pub listens: Vec<u16>,
    /// Where it is meant to fail.
    #[serde(default)]
    pub fail: Vec<Fail>,
}

fn late_lines(_: &mut SchemaGenerator) -> Schema {
    json_schema!({
        "type": "array",
        "items": { "type": "string", "x-late": true },
        "x-late": true
    })
}

impl Table {
    /// Reads a table without late leaves.
    pub(super) fn read(table: &Value) -> Result<Self> {
        serde_json::from_value(table.clone()).map_err(|error| {
            Error::new(ErrorKind::Invalid, "this is no machine table of the kind `memory`").caused_by(error)
        })
    }

    /// Reads a table whose late leaves are not known yet.
    pub(super) fn read_early(table: &Value) -> Result<Self> {
        Self::read(&without_markers(table))
    }

    pub(super) fn fails(&self, how: Fail) -> bool {
        self.fail.contains(&how)
    }

    /// Problems of a table, each at its key.
    pub(super) fn examine(table: &Value) -> Vec<Problem> {
        let table = without_markers(table);
        let Some(object) = table.as_object() else {
            return vec![Problem::new("", "a machine of the kind `memory` is a table")];
        };
        let mut problems = Vec::new();
        if !object.contains_key("image") {
            problems.push(Problem::new("", "`image` is missing").help("write `image = \"NAME\"`"));
        }
        for (key, value) in object {
            let mut alone = serde_json::json!({ "image": "any" });
            alone[key.as_str()] = value.clone();
            if let Err(error) = serde_json::from_value::<Self>(alone) {
                problems.push(Problem::new(format!("/{key}"), error.to_string()));
            }
        }
        for (name, folder) in object.get("volumes").and_then(Value::as_object).into_iter().flatten() {
            if folder.as_str().is_some_and(|folder| !folder.starts_with('/')) {
                let problem = Problem::new(format!("/volumes/{name}"), "the folder of a volume must be absolute");
                problems.push(problem.help("begin it with `/`"));
            }
        }
        problems
    }
}

/// The table with something of the right shape in the place of each marker.
fn without_markers(table: &Value) -> Value {
    let mut table = table.clone();
    for pointer in late_pointers(&table) {
        let stand_in = if pointer == "/says" {
            Value::Array(Vec::new())
        } else {
            Value::from("")
        };
        if let Some(place) = table.pointer_mut(&pointer) {
            *place = stand_in;
        }
    }
    table
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn pointers(table: &Value) -> Vec<String> {
        Table::examine(table)
            .into_iter()
            .map(|problem| problem.pointer)
            .collect()
    }

    #[test]
    fn problems_stand_at_their_keys() {
        assert_eq!(pointers(&json!({ "image": "a", "boot": "200ms" })), [""; 0]);
        assert_eq!(
            pointers(&json!({ "boot": "soon", "colour": 1 })),
            ["", "/boot", "/colour"]
        );
        assert_eq!(
            pointers(&json!({ "image": "a", "volumes": { "data": "x" } })),
            ["/volumes/data"]
        );
        assert_eq!(pointers(&json!([])), [""]);
    }

    #[test]
    fn late_leaves_are_no_problem() {
        let marker = crate::late_marker("db.host");
        assert_eq!(pointers(&json!({ "image": marker, "says": ["a", marker] })), [""; 0]);
        assert_eq!(pointers(&json!({ "image": "a", "says": marker })), [""; 0]);
    }
}
