//! The settings of one instance, checked once.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use encamp_core::table::Span;
use encamp_core::{Ambient, Error, ErrorKind, Name, Result, Value};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::access::at_home;
use crate::inventory;

/// How long a claim stands after its lease has ended, for the holder to give it back himself.
const GRACE: Duration = Duration::from_mins(1);

/// One host. What it does not say is as the settings of the instance say it.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
pub struct HostSettings {
    /// Its address; the name that it has here where none is given.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub host: Option<String>,
    /// Its port.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub port: Option<u16>,
    /// The user to log in as.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub user: Option<String>,
    /// The private key to log in with.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(extend("x-path" = true))]
    pub identity: Option<PathBuf>,
    /// Its public keys, in OpenSSH's form. Without them, what `known_hosts` says of it.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub host_keys: Vec<String>,
    /// The host of this instance through which it is reached.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub via: Option<String>,
    /// What machines may ask for.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub labels: Vec<String>,
    /// The folder on it in which it stands who has it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub folder: Option<String>,
    /// Whether it is a way to others alone, and never a machine.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub jump: bool,
    /// What makes it as it was, a script for `sh`, when a machine on it ends.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reset: Option<String>,
}

/// The settings of an instance, `[providers.NAME]` with `kind = "ssh"`.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
#[schemars(extend("anyOf" = [{ "required": ["hosts"] }, { "required": ["inventory"] }]))]
#[non_exhaustive]
pub struct Settings {
    /// The hosts, by their names.
    pub hosts: BTreeMap<String, HostSettings>,
    /// An Ansible inventory with further hosts, whose groups are their labels: a file that `ansible-inventory` reads, or
    /// what that prints with `--list` as a file that ends in `.json`. What `hosts` says of one of them counts alone.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(extend("x-path" = true))]
    pub inventory: Option<PathBuf>,
    /// The port of hosts that do not say otherwise; 22 where none is given.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub port: Option<u16>,
    /// The user to log in as; `root` where none is given.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub user: Option<String>,
    /// The private key to log in with; the user's agent where none is given.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(extend("x-path" = true))]
    pub identity: Option<PathBuf>,
    /// Where the public keys of hosts are looked up; `~/.ssh/known_hosts` where none is given.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(extend("x-path" = true))]
    pub known_hosts: Option<PathBuf>,
    /// In the place of the user's own configuration of `ssh`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(extend("x-path" = true))]
    pub ssh_config: Option<PathBuf>,
    /// The folder on the hosts in which it stands who has them. All who share a host must name the same; `/var/lib/encamp`
    /// of root, and `~/.encamp` of others, where none is given.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub folder: Option<String>,
    /// What makes a host as it was, a script for `sh`, when a machine on it ends.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reset: Option<String>,
    /// How long a host stays claimed after the lease has ended; a minute where nothing is said.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub grace: Option<Span>,
}

impl Settings {
    /// Reads settings; absent ones have their defaults.
    pub(crate) fn read(value: Value) -> Result<Self> {
        let value = if value.is_null() { serde_json::json!({}) } else { value };
        if value.get("hosts").is_none() && value.get("inventory").is_none() {
            return Err(
                Error::new(ErrorKind::Invalid, "the settings of the ssh provider name no `hosts`")
                    .next_step("[providers.NAME.hosts.HOST] in the settings, or `inventory`"),
            );
        }
        let settings: Self = serde_json::from_value(value).map_err(|native| {
            Error::new(ErrorKind::Invalid, "the settings of the ssh provider are not right").caused_by(native)
        })?;
        settings.check()?;
        Ok(settings)
    }

    /// With the hosts of its inventory.
    pub(crate) async fn with_inventory(mut self, ambient: &Ambient) -> Result<Self> {
        if let Some(file) = &self.inventory {
            let file = at_home(file, ambient);
            for (name, mut host) in inventory::read(&file, ambient).await? {
                // A key beside the inventory is meant.
                let beside = |key: PathBuf| match file.parent() {
                    Some(folder) if !is_fixed(&key) => folder.join(key),
                    _ => key,
                };
                host.identity = host.identity.map(beside);
                self.hosts.entry(name).or_insert(host);
            }
            self.check()?;
        }
        Ok(self)
    }

    fn check(&self) -> Result<()> {
        let invalid = |message: String| Err(Error::new(ErrorKind::Invalid, message));
        let mut folders = self
            .hosts
            .values()
            .map(|host| &host.folder)
            .chain([&self.folder])
            .flatten();
        if let Some(folder) = folders.find(|folder| !folder.starts_with('/')) {
            return invalid(format!(
                "`folder` must be an absolute path on the hosts, and `{folder}` is none"
            ));
        }
        let own = [
            ("inventory", &self.inventory),
            ("identity", &self.identity),
            ("known_hosts", &self.known_hosts),
            ("ssh_config", &self.ssh_config),
        ];
        let of_hosts = self.hosts.values().map(|host| ("identity", &host.identity));
        for (key, path) in own.into_iter().chain(of_hosts) {
            // A keeper stands in another folder than the command that started it.
            if let Some(path) = path.as_ref().filter(|path| !is_fixed(path)) {
                let path = path.display();
                return invalid(format!(
                    "`{key}` must be an absolute path or begin with `~/`, and `{path}` does not"
                ));
            }
        }
        let mut places = BTreeMap::new();
        for (name, host) in self.hosts.iter().filter(|(_, host)| !host.jump) {
            if let Some(other) = places.insert(self.place(name, host), name) {
                return invalid(format!(
                    "hosts.{name}: it is the same address and port as hosts.{other}"
                ));
            }
        }
        for (name, host) in &self.hosts {
            if let Err(error) = Name::new(name.as_str()) {
                return invalid(format!("hosts.{name}: {error}"));
            }
            let mut way = vec![name];
            let mut at = host;
            while let Some(via) = &at.via {
                if way.contains(&via) {
                    return invalid(format!("hosts.{name}: its `via` leads back to {via}"));
                }
                let Some(next) = self.hosts.get(via) else {
                    return invalid(format!("hosts.{name}: `via` names {via}, which is no host here"));
                };
                way.push(via);
                at = next;
            }
        }
        Ok(())
    }

    /// Where a host is: its address and its port.
    pub(crate) fn place(&self, name: &str, host: &HostSettings) -> (String, u16) {
        let address = host.host.clone().unwrap_or_else(|| name.to_owned());
        (address, host.port.or(self.port).unwrap_or(22))
    }

    pub(crate) fn grace(&self) -> Duration {
        self.grace.map_or(GRACE, |span| span.0)
    }
}

/// Whether a path means the same wherever a process stands.
fn is_fixed(path: &Path) -> bool {
    path.is_absolute() || path.starts_with("~")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_is_not_right_is_refused() {
        for (wrong, says) in [
            (Value::Null, "name no `hosts`"),
            (json!({ "hosts": {}, "host": {} }), "unknown field"),
            (json!({ "hosts": {}, "folder": "encamp" }), "absolute"),
            (json!({ "hosts": { "H_1": {} } }), "hosts.H_1"),
            (
                json!({ "inventory": "hosts.ini" }),
                "`inventory` must be an absolute path",
            ),
            (
                json!({ "hosts": { "a": { "identity": "key" } } }),
                "`identity` must be an absolute path",
            ),
            (json!({ "hosts": { "a": { "via": "b" } } }), "no host here"),
            (
                json!({ "hosts": { "a": { "host": "x" }, "b": { "host": "x" } } }),
                "same address",
            ),
            (
                json!({ "hosts": { "a": { "via": "b" }, "b": { "via": "a" } } }),
                "leads back",
            ),
        ] {
            let error = Settings::read(wrong.clone()).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Invalid);
            let text = encamp_core::Report(&error).to_string();
            assert!(text.contains(says), "{wrong}: {text}");
        }
        assert_eq!(Settings::read(json!({ "hosts": {} })).unwrap(), Settings::default());
    }
}
