//! The machine table: what stands under `ssh` at a machine.

use encamp_core::{Error, ErrorKind, Problem, Result, Value, late_pointers};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Which host a machine is: `[machines.NAME.ssh]`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
#[schemars(extend("examples" = [{}]))]
#[non_exhaustive]
pub struct Table {
    /// What the host must have, all of it.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub labels: Vec<String>,
    /// The host, by its name in the settings.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub host: Option<String>,
}

impl Table {
    /// Any host with these labels.
    pub fn labels(labels: impl IntoIterator<Item = impl Into<String>>) -> Self {
        Self {
            labels: labels.into_iter().map(Into::into).collect(),
            host: None,
        }
    }

    /// This host.
    pub fn host(name: impl Into<String>) -> Self {
        Self {
            labels: Vec::new(),
            host: Some(name.into()),
        }
    }

    pub(crate) fn read(value: &Value) -> Result<Self> {
        let value = if value.is_null() {
            serde_json::json!({})
        } else {
            value.clone()
        };
        serde_json::from_value(value)
            .map_err(|native| Error::new(ErrorKind::Invalid, "the table `ssh` is not right").caused_by(native))
    }
}

impl encamp_core::table::KindTable for Table {
    fn kind(&self) -> &str {
        crate::NAME
    }

    fn to_json(&self) -> Value {
        serde_json::to_value(self).unwrap_or_default()
    }
}

/// Problems beyond the schema. Late leaves hold markers.
pub(crate) fn examine(table: &Value) -> Vec<Problem> {
    let late = late_pointers(table);
    if !late.is_empty() {
        let problem = |pointer: &String| Problem::new(pointer, "this must be known before a host is claimed");
        return late.iter().map(problem).collect();
    }
    match Table::read(table) {
        Ok(_) => Vec::new(),
        Err(error) => vec![Problem::new("", encamp_core::Report(&error).to_string())],
    }
}
