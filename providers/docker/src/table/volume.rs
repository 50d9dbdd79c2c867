//! What is mounted into a machine.

use std::borrow::Cow;

use encamp_core::Name;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::{Value, json};

/// One mount, `name:/path`, `name:/path:ro` or, where the settings allow it, `/folder:/path`.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Volume {
    /// What is mounted.
    pub source: VolumeSource,
    /// Where, absolute.
    pub path: String,
    /// Whether the machine may only read it.
    pub read_only: bool,
}

/// What is mounted.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum VolumeSource {
    /// A volume of the environment; gone with it.
    Named {
        /// Its name.
        name: Name,
        /// Whether the members of a group share one.
        shared: bool,
    },
    /// A folder or file of the engine's host.
    Bind(String),
}

/// The long form in a file.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Entry {
    name: Option<Name>,
    bind: Option<String>,
    path: String,
    #[serde(default)]
    shared: bool,
    #[serde(default)]
    read_only: bool,
}

impl Volume {
    /// A volume of the environment, one for each member of a group.
    pub fn named(name: Name, path: impl Into<String>) -> Self {
        Self {
            source: VolumeSource::Named { name, shared: false },
            path: path.into(),
            read_only: false,
        }
    }

    /// Reads `name:/path`, `name:/path:ro`, `/folder:/path`.
    pub fn parse(text: &str) -> Result<Self, String> {
        let mut parts = text.split(':');
        let (Some(source), Some(path)) = (parts.next(), parts.next()) else {
            return Err(format!("`{text}` says no path; write \"name:/path\""));
        };
        let read_only = match (parts.next(), parts.next()) {
            (None, _) | (Some("rw"), None) => false,
            (Some("ro"), None) => true,
            _ => return Err(format!("`{text}` has more than \"name:/path:ro\"")),
        };
        Self::checked(source_of(source)?, path, read_only)
    }

    fn checked(source: VolumeSource, path: &str, read_only: bool) -> Result<Self, String> {
        if !path.starts_with('/') {
            return Err(format!("`{path}` is no absolute path"));
        }
        Ok(Self {
            source,
            path: path.to_owned(),
            read_only,
        })
    }

    /// The name of the scope item, where it is a volume of the environment.
    pub(crate) fn scope_name(&self) -> Option<String> {
        match &self.source {
            VolumeSource::Named { name, .. } => Some(format!("vol-{name}")),
            VolumeSource::Bind(_) => None,
        }
    }
}

/// A path is a bind mount, everything else a name.
fn source_of(text: &str) -> Result<VolumeSource, String> {
    if text.starts_with(['/', '.', '~']) {
        return Ok(VolumeSource::Bind(text.to_owned()));
    }
    let name = Name::new(text).map_err(|e| e.to_string())?;
    Ok(VolumeSource::Named { name, shared: false })
}

impl TryFrom<Entry> for Volume {
    type Error = String;

    fn try_from(entry: Entry) -> Result<Self, String> {
        let source = match (entry.name, entry.bind) {
            (Some(name), None) => VolumeSource::Named {
                name,
                shared: entry.shared,
            },
            (None, Some(_)) if entry.shared => return Err("a bind mount is shared by itself".to_owned()),
            (None, Some(bind)) => VolumeSource::Bind(bind),
            _ => return Err("a volume has either a `name` or a `bind`".to_owned()),
        };
        Self::checked(source, &entry.path, entry.read_only)
    }
}

impl<'de> Deserialize<'de> for Volume {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        match Value::deserialize(deserializer)? {
            Value::String(text) => Self::parse(&text).map_err(D::Error::custom),
            value @ Value::Object(_) => {
                let entry: Entry = serde_json::from_value(value).map_err(D::Error::custom)?;
                Self::try_from(entry).map_err(D::Error::custom)
            }
            other => Err(D::Error::custom(format!("expected \"name:/path\", found {other}"))),
        }
    }
}

impl Serialize for Volume {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut entry = match &self.source {
            VolumeSource::Named { name, shared: false } => json!({ "name": name }),
            VolumeSource::Named { name, shared: true } => json!({ "name": name, "shared": true }),
            VolumeSource::Bind(folder) => json!({ "bind": folder }),
        };
        entry["path"] = json!(self.path);
        if self.read_only {
            entry["read_only"] = json!(true);
        }
        entry.serialize(serializer)
    }
}

impl JsonSchema for Volume {
    fn schema_name() -> Cow<'static, str> {
        "Volume".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "anyOf": [
                { "type": "string", "pattern": "^[^:]+:/[^:]*(:(ro|rw))?$", "examples": ["data:/var/lib/data"] },
                {
                    "type": "object",
                    "additionalProperties": false,
                    "required": ["path"],
                    "properties": {
                        "name": { "type": "string", "description": "A volume of the environment; gone with it." },
                        "bind": { "type": "string", "description": "A folder of the engine's host, where the settings allow it.", "x-path": true },
                        "path": { "type": "string", "pattern": "^/" },
                        "shared": { "type": "boolean", "description": "Whether the members of a group share one." },
                        "read_only": { "type": "boolean" },
                    },
                },
            ],
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_short_form_says_all_that_is_common() {
        let volume = Volume::parse("data:/var/lib/data").unwrap();
        assert_eq!(volume.scope_name().as_deref(), Some("vol-data"));
        assert!(!volume.read_only);
        assert!(Volume::parse("data:/x:ro").unwrap().read_only);
        let bind = Volume::parse("/etc/hosts:/hosts").unwrap();
        assert_eq!(bind.source, VolumeSource::Bind("/etc/hosts".into()));
        for bad in ["data", "data:x", "Data:/x", "data:/x:zz", "data:/x:ro:y"] {
            assert!(Volume::parse(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn the_long_form_is_read_back() {
        for value in [
            json!({ "name": "data", "path": "/d", "shared": true }),
            json!({ "bind": "/d", "path": "/d", "read_only": true }),
            json!({ "name": "data", "path": "/d" }),
        ] {
            let volume: Volume = serde_json::from_value(value.clone()).unwrap();
            assert_eq!(serde_json::to_value(&volume).unwrap(), value);
        }
        assert!(serde_json::from_value::<Volume>(json!({ "path": "/d" })).is_err());
    }
}
