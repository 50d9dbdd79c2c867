//! The settings of one instance, checked once.

use std::net::{IpAddr, Ipv4Addr};
use std::path::PathBuf;
use std::time::Duration;

use encamp_core::{Error, ErrorKind, Result, Value};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::table::Span;

/// Something of the engine's host that machines may have only where the settings allow it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Permission {
    /// Folders of the engine's host, mounted into machines.
    BindMounts,
    /// The engine's own socket, mounted into machines: root on that host.
    DockerSocket,
    /// Kernel capabilities beyond the engine's default (`cap_add`).
    Privileges,
}

impl Permission {
    /// The word in the settings.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::BindMounts => "bind-mounts",
            Self::DockerSocket => "docker-socket",
            Self::Privileges => "privileges",
        }
    }
}

/// The files of a TLS connection to an engine.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
pub struct TlsSettings {
    /// The authorities that the engine's certificate may be of; the system's where none are given.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(extend("x-path" = true))]
    pub ca: Option<PathBuf>,
    /// The certificate that is shown to the engine.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(extend("x-path" = true))]
    pub cert: Option<PathBuf>,
    /// Its key.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(extend("x-path" = true))]
    pub key: Option<PathBuf>,
    /// Whether the engine must prove its name. Without it anybody may stand in between.
    pub verify: bool,
}

impl Default for TlsSettings {
    fn default() -> Self {
        Self {
            ca: None,
            cert: None,
            key: None,
            verify: true,
        }
    }
}

/// The settings of a Docker instance, `[providers.NAME]` with `kind = "docker"`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
pub struct Settings {
    /// Where the engine answers, `unix:///path`, `tcp://host:port` or `https://host:port`. Without it and `context`,
    /// `DOCKER_HOST`, else `DOCKER_CONTEXT`, else Docker's current context, else the default socket.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub host: Option<String>,
    /// The Docker context that says where, instead of `host`: `docker context ls`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub context: Option<String>,
    /// TLS to `host`: which files. A context, and `DOCKER_TLS_VERIFY` with `DOCKER_CERT_PATH`, have their own.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tls: Option<TlsSettings>,
    /// What machines may have of the engine's host.
    pub allow: Vec<Permission>,
    /// The address of the engine's host on which ports are published.
    pub publish_address: IpAddr,
    /// Changes in flight.
    pub changes_at_once: u32,
    /// How long a pull may take.
    pub pull_timeout: Span,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            host: None,
            context: None,
            tls: None,
            allow: Vec::new(),
            publish_address: IpAddr::V4(Ipv4Addr::LOCALHOST),
            changes_at_once: 16,
            pull_timeout: Span(Duration::from_mins(10)),
        }
    }
}

impl Settings {
    /// Reads settings; absent ones have their defaults.
    pub(crate) fn read(value: Value) -> Result<Self> {
        let value = if value.is_null() { serde_json::json!({}) } else { value };
        let settings: Self = serde_json::from_value(value).map_err(|native| {
            Error::new(ErrorKind::Invalid, "the settings of the docker provider are not right").caused_by(native)
        })?;
        if settings.changes_at_once == 0 {
            return Err(Error::new(ErrorKind::Invalid, "`changes_at_once` must be at least 1"));
        }
        if settings.host.is_some() && settings.context.is_some() {
            return Err(
                Error::new(ErrorKind::Invalid, "`host` and `context` both say where the engine is")
                    .next_step("keep one of them"),
            );
        }
        if settings.context.is_some() && settings.tls.is_some() {
            return Err(
                Error::new(ErrorKind::Invalid, "a Docker context has TLS files of its own")
                    .next_step("drop `tls`, or write `host` in the place of `context`"),
            );
        }
        Ok(settings)
    }

    /// Refuses what is not allowed.
    pub(crate) fn require(&self, permission: Permission, what: &str) -> Result<()> {
        if self.allow.contains(&permission) {
            return Ok(());
        }
        let word = permission.as_str();
        Err(
            Error::new(ErrorKind::Unauthorized, format!("{what} is not allowed here"))
                .with("setting", "allow")
                .with("entry", word)
                .next_step(format!("write `allow = [\"{word}\"]` in the settings of this provider")),
        )
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn absent_settings_have_their_defaults() {
        assert_eq!(Settings::read(Value::Null).unwrap(), Settings::default());
        assert_eq!(Settings::read(json!({})).unwrap().changes_at_once, 16);
    }

    #[test]
    fn what_is_not_known_is_refused() {
        assert!(Settings::read(json!({ "hots": "x" })).is_err());
        assert!(Settings::read(json!({ "changes_at_once": 0 })).is_err());
        assert!(Settings::read(json!({ "host": "unix:///x", "context": "lab" })).is_err());
        assert!(Settings::read(json!({ "context": "lab", "tls": { "ca": "ca.pem" } })).is_err());
        assert!(Settings::read(json!({ "pull_timeout": 600 })).is_err());
    }

    #[test]
    fn settings_survive_the_site_row() {
        let settings = Settings::read(json!({ "host": "tcp://127.0.0.1:2375", "allow": ["bind-mounts"] })).unwrap();
        let again = Settings::read(serde_json::to_value(&settings).unwrap()).unwrap();
        assert_eq!(again, settings);
    }

    #[test]
    fn a_refusal_names_the_setting() {
        let error = Settings::default()
            .require(Permission::BindMounts, "a bind mount")
            .unwrap_err();
        assert!(error.hint().unwrap().contains("bind-mounts"));
        assert!(error.context().eq([("setting", "allow"), ("entry", "bind-mounts")]));
    }
}
