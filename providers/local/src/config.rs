//! The settings of one instance, checked once.

use std::path::PathBuf;

use encamp_core::{Error, ErrorKind, Result, Value};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What holds the processes of a machine together, so that all of them end when it does.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Cage {
    /// A control group and a process name space, whichever of them can be had; else as `cookie`.
    #[default]
    Auto,
    /// A control group of version 2.
    Cgroup,
    /// A process name space.
    Namespace,
    /// What every process inherits: a variable and a descriptor.
    Cookie,
}

/// What a machine sees of this host's files.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Files {
    /// As `overlay` where that can be had, else as `plain`.
    #[default]
    Auto,
    /// All of them, and what it writes lands in a folder of its own.
    Overlay,
    /// All of them as they are, with a home and a temporary folder of its own.
    Plain,
}

/// The settings of an instance, `[providers.NAME]` with `kind = "local"`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
pub struct Settings {
    /// The folder that machines live in. Without it, `sandboxes` in the state folder.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(extend("x-path" = true))]
    pub root: Option<PathBuf>,
    /// What ends a machine's processes with certainty: `auto`, `cgroup`, `namespace` or `cookie`.
    pub cage: Cage,
    /// What a machine sees of this host's files: `auto`, `overlay` or `plain`.
    pub files: Files,
    /// Changes in flight.
    pub changes_at_once: u32,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            root: None,
            cage: Cage::Auto,
            files: Files::Auto,
            changes_at_once: 16,
        }
    }
}

impl Settings {
    /// Reads settings; absent ones have their defaults.
    pub(crate) fn read(value: Value) -> Result<Self> {
        let value = if value.is_null() { serde_json::json!({}) } else { value };
        let settings: Self = serde_json::from_value(value).map_err(|native| {
            Error::new(ErrorKind::Invalid, "the settings of the local provider are not right").caused_by(native)
        })?;
        if settings.changes_at_once == 0 {
            return Err(Error::new(ErrorKind::Invalid, "`changes_at_once` must be at least 1"));
        }
        if settings.root.as_ref().is_some_and(|root| !root.is_absolute()) {
            return Err(Error::new(ErrorKind::Invalid, "`root` must be an absolute path"));
        }
        Ok(settings)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn absent_settings_have_their_defaults() {
        assert_eq!(Settings::read(Value::Null).unwrap(), Settings::default());
        assert_eq!(Settings::read(json!({ "cage": "cookie" })).unwrap().cage, Cage::Cookie);
    }

    #[test]
    fn what_is_not_known_is_refused() {
        for wrong in [
            json!({ "cages": "auto" }),
            json!({ "cage": "iron" }),
            json!({ "changes_at_once": 0 }),
            json!({ "root": "here" }),
        ] {
            assert_eq!(Settings::read(wrong).unwrap_err().kind(), ErrorKind::Invalid);
        }
    }
}
