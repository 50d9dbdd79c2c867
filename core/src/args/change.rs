//! What changing verbs take and give.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::read::ScopeItem;
use crate::{Name, Phase, Site, Stamp, Time, Value};

/// The environment of a process.
pub type Env = BTreeMap<String, String>;

/// Opens one item that an environment shares on a site.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[non_exhaustive]
pub struct OpenScope {
    /// Of the item.
    pub stamp: Stamp,
    /// Where.
    pub site: Site,
    /// What.
    pub item: ScopeItem,
}

impl OpenScope {
    /// Opens `item` at `site`.
    pub fn new(stamp: Stamp, site: Site, item: ScopeItem) -> Self {
        Self { stamp, site, item }
    }
}

/// An open scope item.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[non_exhaustive]
pub struct Opened {
    /// The carrier's id.
    pub id: String,
    /// What a `create` in this scope needs of it.
    #[serde(default)]
    pub data: Value,
}

impl Opened {
    /// An item with an id and nothing else to know.
    pub fn new(id: impl Into<String>, data: Value) -> Self {
        Self { id: id.into(), data }
    }
}

/// How a port is published on the controller's side.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Publish {
    /// On a free port, so that the controller can dial it.
    #[default]
    Free,
    /// On this port.
    Fixed(u16),
    /// Not at all.
    Inside,
}

/// The transport of a port.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Protocol {
    /// TCP.
    #[default]
    Tcp,
    /// UDP; inside one scope only.
    Udp,
}

impl Protocol {
    /// `tcp` or `udp`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Tcp => "tcp",
            Self::Udp => "udp",
        }
    }
}

/// A declared port.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[non_exhaustive]
pub struct PortSpec {
    /// Its name.
    pub name: Name,
    /// The port inside.
    pub port: u16,
    /// Its transport.
    #[serde(default)]
    pub protocol: Protocol,
    /// How it is published.
    #[serde(default)]
    pub publish: Publish,
}

impl PortSpec {
    /// A TCP port that is published on a free port.
    pub fn new(name: Name, port: u16) -> Self {
        Self {
            name,
            port,
            protocol: Protocol::Tcp,
            publish: Publish::Free,
        }
    }
}

/// A public key that may log in, in OpenSSH's form.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(transparent)]
pub struct PublicKey(pub String);

/// A folder of the controller that a machine sees: the engine's own way in, for secrets. What the user mounts stands in
/// the kind's table.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[non_exhaustive]
pub struct Mount {
    /// The folder on the controller, absolute. It is there before the machine is made, and as long as it is.
    pub from: PathBuf,
    /// Where the machine sees it, absolute.
    pub to: String,
    /// Whether the machine may only read it.
    #[serde(default)]
    pub read_only: bool,
}

impl Mount {
    /// A folder that the machine may only read.
    pub fn read_only(from: impl Into<PathBuf>, to: impl Into<String>) -> Self {
        Self {
            from: from.into(),
            to: to.into(),
            read_only: true,
        }
    }
}

/// The frozen request for one machine: stored as bytes when it is planned, replayed as stored.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[non_exhaustive]
pub struct Create {
    /// Of the machine.
    pub stamp: Stamp,
    /// Where.
    pub site: Site,
    /// The candidate's body, prepared.
    pub body: Value,
    /// The open scope items that it uses, by their names.
    pub scope: BTreeMap<String, Opened>,
    /// The machine's name, which is its host name.
    pub name: Name,
    /// Further names under which its peers find it, its group's for example.
    pub aliases: Vec<Name>,
    /// Rendered.
    pub env: Env,
    /// Declared ports.
    pub ports: Vec<PortSpec>,
    /// Rendered late leaves of the table, by JSON pointer.
    #[serde(default)]
    pub late: BTreeMap<String, Value>,
    /// Folders of the controller, only where [`Capabilities::mounts`](crate::Capabilities::mounts) says so.
    #[serde(default)]
    pub mounts: Vec<Mount>,
    /// The environment's own key, which is to be let in over SSH; only where
    /// [`Capabilities::login`](crate::Capabilities::login) says so.
    #[serde(default)]
    pub login: Option<PublicKey>,
    /// When it is to end by itself, where it can.
    #[serde(default)]
    pub expires: Option<Time>,
}

impl Create {
    /// A request without ports, environment or scope.
    pub fn new(stamp: Stamp, site: Site, body: Value, name: Name) -> Self {
        Self {
            stamp,
            site,
            body,
            scope: BTreeMap::new(),
            name,
            aliases: Vec::new(),
            env: Env::new(),
            ports: Vec::new(),
            late: BTreeMap::new(),
            mounts: Vec::new(),
            login: None,
            expires: None,
        }
    }
}

/// The answer to a `create`: accepted, not yet running.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[non_exhaustive]
pub struct Created {
    /// The carrier's id; the key where it has none.
    pub id: String,
    /// Where it stands.
    pub phase: Phase,
    /// It was there already and is the one that was asked for.
    pub adopted: bool,
}

impl Created {
    /// A machine that was just made.
    pub fn new(id: impl Into<String>, phase: Phase) -> Self {
        Self {
            id: id.into(),
            phase,
            adopted: false,
        }
    }

    /// The same, found there already.
    #[must_use]
    pub fn adopted(mut self) -> Self {
        self.adopted = true;
        self
    }
}

/// One machine or scope item that exists or existed.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[non_exhaustive]
pub struct Target {
    /// What it must carry.
    pub stamp: Stamp,
    /// Where.
    pub site: Site,
    /// The carrier's id, where it is known.
    pub id: Option<String>,
}

impl Target {
    /// The thing with this stamp at this site.
    pub fn new(stamp: Stamp, site: Site, id: Option<String>) -> Self {
        Self { stamp, site, id }
    }
}

/// Stops a machine so that `start` can bring it back.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[non_exhaustive]
pub struct Stop {
    /// Which.
    pub target: Target,
    /// How long its processes have to end; then they are killed. Where it is zero they are killed at once, and not asked.
    pub grace: Duration,
}

impl Stop {
    /// Stops `target` within `grace`.
    pub fn new(target: Target, grace: Duration) -> Self {
        Self { target, grace }
    }

    /// Kills what runs in `target`, without asking.
    pub fn kill(target: Target) -> Self {
        Self::new(target, Duration::ZERO)
    }
}

/// Rewrites the moment at which a machine ends by itself.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[non_exhaustive]
pub struct Renew {
    /// Which.
    pub target: Target,
    /// The new moment.
    pub expires: Time,
}

impl Renew {
    /// Lets `target` live until `expires`.
    pub fn new(target: Target, expires: Time) -> Self {
        Self { target, expires }
    }
}

/// Makes an image of a machine.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[non_exhaustive]
pub struct Snapshot {
    /// Of the image that is made.
    pub stamp: Stamp,
    /// Of which machine.
    pub target: Target,
    /// The image's name.
    pub name: String,
}

impl Snapshot {
    /// An image `name` of `target`.
    pub fn new(stamp: Stamp, target: Target, name: impl Into<String>) -> Self {
        Self {
            stamp,
            target,
            name: name.into(),
        }
    }
}

/// An image that machines can be made from.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[non_exhaustive]
pub struct Image {
    /// Where it is.
    pub site: Site,
    /// The carrier's id or digest.
    pub id: String,
    /// Its name.
    pub name: String,
    /// The folders of the machine that are not in it: its volumes, and whatever else was mounted.
    #[serde(default)]
    pub without: Vec<String>,
}

impl Image {
    /// An image at a site.
    pub fn new(site: Site, id: impl Into<String>, name: impl Into<String>) -> Self {
        Self {
            site,
            id: id.into(),
            name: name.into(),
            without: Vec::new(),
        }
    }

    /// The same, which does not hold these folders of its machine.
    #[must_use]
    pub fn without(mut self, folders: impl IntoIterator<Item = String>) -> Self {
        self.without = folders.into_iter().collect();
        self
    }
}
