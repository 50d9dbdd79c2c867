//! What a provider sees of a machine.

use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::Access;

/// Where a machine stands, as its provider observes it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Phase {
    /// Accepted, and waiting for `start` before anything of the user's runs.
    Held,
    /// On its way up by itself.
    Starting,
    /// Up.
    Running,
    /// Its processes stand still, and are there; `start` lets them go on.
    Paused,
    /// Stopped on purpose; `start` brings it back.
    Stopped,
    /// Its main process has ended.
    Exited(Exit),
    /// On its way to being gone.
    Dying,
    /// Not there any more.
    Gone,
}

/// How a process ended. Never invented: where the link broke, it is [`Exit::Lost`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Exit {
    /// The status it exited with.
    Code(i32),
    /// The name of the signal that ended it, `KILL`.
    Signal(String),
    /// The link broke and the outcome is unknown; the text says how.
    Lost(String),
}

impl Exit {
    /// Whether the process ended with status 0.
    pub fn success(&self) -> bool {
        *self == Self::Code(0)
    }
}

impl fmt::Display for Exit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Code(code) => write!(f, "exited {code}"),
            Self::Signal(name) => write!(f, "was ended by SIG{name}"),
            Self::Lost(how) => write!(f, "was lost from sight ({how}); its outcome is unknown"),
        }
    }
}

/// What an image's own health check says about a running machine.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Health {
    /// It has not held yet, and still may.
    Starting,
    /// It holds.
    Healthy,
    /// It has failed as often as it may.
    Unhealthy {
        /// The last words of the check, where it has some.
        #[serde(default)]
        said: Option<String>,
    },
}

/// From where an address can be dialled.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum AddrScope {
    /// From machines of the same scope.
    Scope,
    /// From the controller.
    Controller,
    /// From everywhere.
    Public,
}

/// An address of a machine.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[non_exhaustive]
pub struct Addr {
    /// A host name or an IP address.
    pub host: String,
    /// From where it can be dialled.
    pub scope: AddrScope,
}

impl Addr {
    /// An address that can be dialled from `scope`.
    pub fn new(host: impl Into<String>, scope: AddrScope) -> Self {
        Self {
            host: host.into(),
            scope,
        }
    }
}

/// A port of a machine and where the controller dials it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[non_exhaustive]
pub struct Published {
    /// The port inside.
    pub port: u16,
    /// The host that the controller dials.
    pub host: String,
    /// The port that the controller dials.
    pub host_port: u16,
}

impl Published {
    /// Port `port` of the machine, dialled at `host:host_port`.
    pub fn new(port: u16, host: impl Into<String>, host_port: u16) -> Self {
        Self {
            port,
            host: host.into(),
            host_port,
        }
    }
}

/// One look at a machine.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[non_exhaustive]
pub struct Observed {
    /// Where it stands.
    pub phase: Phase,
    /// The carrier's own id; empty where there is none.
    pub id: String,
    /// Its addresses.
    #[serde(default)]
    pub addrs: Vec<Addr>,
    /// Its published ports.
    #[serde(default)]
    pub ports: Vec<Published>,
    /// How commands reach it.
    pub access: Access,
    /// What the carrier says about the phase, in its own words.
    #[serde(default)]
    pub why: Option<String>,
    /// What its image's own health check says; none where it has none, or does not run.
    #[serde(default)]
    pub health: Option<Health>,
}

impl Observed {
    /// A machine in `phase` without addresses or ports.
    pub fn new(phase: Phase, id: impl Into<String>, access: Access) -> Self {
        Self {
            phase,
            id: id.into(),
            addrs: Vec::new(),
            ports: Vec::new(),
            access,
            why: None,
            health: None,
        }
    }
}

/// What a destroying verb achieved.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Removal {
    /// It is not there any more, or never was.
    Gone,
    /// It is on its way; ask again.
    Pending,
}
