//! How an image is built.

use std::borrow::Cow;
use std::collections::BTreeMap;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::Value;

/// A build: a folder with a Dockerfile. In a file the folder alone may stand for it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Build {
    /// The folder.
    pub context: String,
    /// The Dockerfile, relative to the folder; `Dockerfile` where none is given.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub dockerfile: Option<String>,
    /// The stage to stop at.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub target: Option<String>,
    /// Build arguments.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub args: BTreeMap<String, String>,
}

/// The long form in a file.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Entry {
    context: String,
    dockerfile: Option<String>,
    target: Option<String>,
    #[serde(default)]
    args: BTreeMap<String, String>,
}

impl Build {
    /// A build of a folder with its own `Dockerfile`.
    pub fn folder(context: impl Into<String>) -> Self {
        Self {
            context: context.into(),
            dockerfile: None,
            target: None,
            args: BTreeMap::new(),
        }
    }

    /// The Dockerfile within the folder.
    pub(crate) fn dockerfile(&self) -> &str {
        self.dockerfile.as_deref().unwrap_or("Dockerfile")
    }
}

impl<'de> Deserialize<'de> for Build {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        match Value::deserialize(deserializer)? {
            Value::String(context) => Ok(Self::folder(context)),
            value @ Value::Object(_) => {
                let entry: Entry = serde_json::from_value(value).map_err(D::Error::custom)?;
                Ok(Self {
                    context: entry.context,
                    dockerfile: entry.dockerfile,
                    target: entry.target,
                    args: entry.args,
                })
            }
            other => Err(D::Error::custom(format!("expected a folder or a table, found {other}"))),
        }
    }
}

impl JsonSchema for Build {
    fn schema_name() -> Cow<'static, str> {
        "Build".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "description": "The folder to build from, or how to build.",
            "x-path": true,
            "anyOf": [
                { "type": "string", "x-path": true, "x-content": ".dockerignore" },
                {
                    "type": "object",
                    "additionalProperties": false,
                    "required": ["context"],
                    "properties": {
                        "context": { "type": "string", "description": "The folder.", "x-path": true, "x-content": ".dockerignore" },
                        "dockerfile": { "type": "string", "description": "Relative to the folder." },
                        "target": { "type": "string", "description": "The stage to stop at." },
                        "args": { "type": "object", "additionalProperties": { "type": "string" } },
                    },
                },
            ],
        })
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_folder_stands_for_a_build() {
        let short: Build = serde_json::from_value(json!("./web")).unwrap();
        let long: Build = serde_json::from_value(json!({ "context": "./web" })).unwrap();
        assert_eq!(short, long);
        assert_eq!(short.dockerfile(), "Dockerfile");
        assert!(serde_json::from_value::<Build>(json!({ "context": ".", "docker": "x" })).is_err());
    }
}
