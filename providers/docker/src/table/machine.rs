//! The table itself.

use std::collections::BTreeMap;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::Value;

use super::{Build, ByteSize, HealthCheck, Line, Span, Volume};

/// A limit of processes, soft and hard; -1 is none.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Ulimit {
    /// What a process begins with.
    pub soft: i64,
    /// How far it may raise it.
    pub hard: i64,
}

/// What a machine on Docker is made of: `[machines.NAME.docker]`.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
pub struct Table {
    /// The image, `postgres:17`; pulled where it is not here.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub image: Option<String>,
    /// The folder to build the image from, instead of `image`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub build: Option<Build>,
    /// The command: text for `sh -c`, or a list; the image's own where none is given.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub command: Option<Line>,
    /// What the command is given to: text for `sh -c`, or a list; the image's own where none is given.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub entrypoint: Option<Line>,
    /// The user, `name`, `uid` or `uid:gid`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub user: Option<String>,
    /// The folder that the command starts in.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub workdir: Option<String>,
    /// The host name, where it is not to be the machine's name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hostname: Option<String>,
    /// What is mounted: `name:/path`, one for each member of a group.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub volumes: Vec<Volume>,
    /// Folders in memory: `/run`, or with options `/run:size=64m,mode=1777`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub tmpfs: Vec<String>,
    /// The size of `/dev/shm`, `64MiB`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub shm_size: Option<ByteSize>,
    /// The most memory, `512MiB`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub memory: Option<ByteSize>,
    /// The most processor time, in cores.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cpus: Option<f64>,
    /// The most processes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pids: Option<u32>,
    /// Limits of processes by name, `nofile = 4096` or `nofile = { soft, hard }`.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub ulimits: BTreeMap<String, Ulimit>,
    /// Whether a small init reaps processes that their parents left.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub init: Option<bool>,
    /// Kernel capabilities; those beyond the engine's default only where the settings allow `privileges`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub cap_add: Vec<String>,
    /// Kernel capabilities that it is not to have.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub cap_drop: Vec<String>,
    /// Kernel parameters of its own name spaces.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub sysctls: BTreeMap<String, String>,
    /// The platform, `linux/amd64`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub platform: Option<String>,
    /// The signal that asks its command to end, `SIGTERM`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stop_signal: Option<String>,
    /// How long its command has to end before it is destroyed; without it, it is killed at once.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stop_grace: Option<Span>,
    /// A health check in the place of the image's own, `{ test = "pg_isready", interval = "1s" }`, for
    /// `ready = [{ healthcheck = true }]`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub healthcheck: Option<HealthCheck>,
    /// The environment's own range of addresses, `10.77.0.0/24`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub subnet: Option<String>,
    /// Less to do harm with: no kernel capabilities but those of `cap_add`, no new privileges (set-user-id programs
    /// give none), a root file system that can only be read, with `/tmp` and `/run` in memory where `tmpfs` and
    /// `volumes` put nothing else there, and at most 1024 processes where `pids` says nothing else. What is copied into
    /// it needs a volume to land in.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub hardened: bool,
}

impl Table {
    /// A machine of an image.
    pub fn image(image: impl Into<String>) -> Self {
        Self {
            image: Some(image.into()),
            ..Self::default()
        }
    }

    /// A machine of an image that is built from a folder.
    pub fn build(build: Build) -> Self {
        Self {
            build: Some(build),
            ..Self::default()
        }
    }

    /// The same with another command.
    #[must_use]
    pub fn with_command(mut self, command: impl Into<Line>) -> Self {
        self.command = Some(command.into());
        self
    }

    /// The same with one more mount.
    #[must_use]
    pub fn with_volume(mut self, volume: Volume) -> Self {
        self.volumes.push(volume);
        self
    }

    /// The table as JSON, as it stands in requests.
    pub fn to_json(&self) -> Value {
        serde_json::to_value(self).unwrap_or_default()
    }
}

impl encamp_core::table::KindTable for Table {
    fn kind(&self) -> &str {
        crate::NAME
    }

    fn to_json(&self) -> Value {
        self.to_json()
    }
}

/// The long form in a file.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Entry {
    soft: i64,
    hard: i64,
}

impl<'de> Deserialize<'de> for Ulimit {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let value = Value::deserialize(deserializer)?;
        if let Some(both) = value.as_i64() {
            return Ok(Self { soft: both, hard: both });
        }
        let entry: Entry = serde_json::from_value(value).map_err(D::Error::custom)?;
        Ok(Self {
            soft: entry.soft,
            hard: entry.hard,
        })
    }
}

impl Serialize for Ulimit {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serde_json::json!({ "soft": self.soft, "hard": self.hard }).serialize(serializer)
    }
}

impl JsonSchema for Ulimit {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Ulimit".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "anyOf": [
                { "type": "integer" },
                {
                    "type": "object",
                    "additionalProperties": false,
                    "required": ["soft", "hard"],
                    "properties": { "soft": { "type": "integer" }, "hard": { "type": "integer" } },
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
    fn a_table_of_the_library_is_the_table_of_a_file() {
        let table = Table::image("postgres:17").with_command("exec postgres");
        assert_eq!(
            table.to_json(),
            json!({ "image": "postgres:17", "command": "exec postgres" })
        );
        let again: Table = serde_json::from_value(table.to_json()).unwrap();
        assert_eq!(again, table);
    }

    #[test]
    fn ulimits_have_a_short_form() {
        let table: Table =
            serde_json::from_value(json!({ "ulimits": { "nofile": 1024, "core": { "soft": 0, "hard": -1 } } }))
                .unwrap();
        assert_eq!(table.ulimits["nofile"], Ulimit { soft: 1024, hard: 1024 });
        assert_eq!(table.ulimits["core"].hard, -1);
    }

    #[test]
    fn the_schema_says_what_may_be_late() {
        let schema = schemars::schema_for!(Table).to_value();
        assert_eq!(schema["additionalProperties"], json!(false));
        for key in ["command", "entrypoint"] {
            let text = schema["properties"][key].to_string();
            assert!(text.contains("x-late"), "{key}: {text}");
        }
        for key in ["image", "user", "memory"] {
            let text = schema["properties"][key].to_string();
            assert!(!text.contains("x-late"), "{key}: {text}");
        }
    }
}
