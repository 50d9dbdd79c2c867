//! What an instance can do, as facts.

use std::collections::BTreeSet;
use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::Verb;

/// Facts about one instance, learnt in `connect`. The engine decides by these and never by a kind's name.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "independent facts, each a word of the JSON"
)]
#[non_exhaustive]
pub struct Capabilities {
    /// The optional verbs that are native.
    pub verbs: BTreeSet<Verb>,
    /// What a machine carries of its stamp.
    pub keeps: Keeps,
    /// How an unknown outcome of a machine's create is settled.
    pub unknown_machine: Settle,
    /// How an unknown outcome of opening a scope item is settled.
    pub unknown_scope: Settle,
    /// Whether machines can end by themselves.
    #[serde(default)]
    pub self_expiry: SelfExpiry,
    /// How precisely the end of a command is known.
    #[serde(default)]
    pub exits: ExitDetail,
    /// Whether commands can be signalled.
    #[serde(default)]
    pub signals: bool,
    /// Whether commands can have a terminal.
    #[serde(default)]
    pub tty: bool,
    /// What logs offer.
    #[serde(default)]
    pub logs: LogDetail,
    /// Whether the infrastructure shows the environment of a machine's main process to others.
    #[serde(default)]
    pub env_visible: bool,
    /// How commands reach the machines.
    #[serde(default)]
    pub access: AccessForm,
    /// Whether machines let the environment's own key in ([`Create::login`](crate::Create::login)), which sessions over
    /// SSH then have ([`Identity::Environment`](crate::Identity::Environment)).
    #[serde(default)]
    pub login: bool,
    /// Whether members of one scope reach each other by name.
    #[serde(default)]
    pub scope_names: bool,
    /// Whose network machines listen in.
    #[serde(default)]
    pub network: Network,
    /// Whether machines can have folders of the controller ([`Create::mounts`](crate::Create::mounts)): it shares its
    /// file system with the infrastructure.
    #[serde(default)]
    pub mounts: bool,
    /// How much at once.
    #[serde(default)]
    pub limits: Limits,
}

impl Capabilities {
    /// The least: `create`, `destroy` and `list`, nothing optional.
    pub fn new(keeps: Keeps, unknown_machine: Settle) -> Self {
        Self {
            verbs: BTreeSet::new(),
            keeps,
            unknown_machine,
            unknown_scope: unknown_machine,
            self_expiry: SelfExpiry::default(),
            exits: ExitDetail::default(),
            signals: false,
            tty: false,
            logs: LogDetail::default(),
            env_visible: false,
            access: AccessForm::default(),
            login: false,
            scope_names: false,
            network: Network::default(),
            mounts: false,
            limits: Limits::default(),
        }
    }

    /// Whether an optional verb is offered. Required verbs are always.
    pub fn offers(&self, verb: Verb) -> bool {
        matches!(
            verb,
            Verb::Connect
                | Verb::Check
                | Verb::Resolve
                | Verb::Inspect
                | Verb::List
                | Verb::Prepare
                | Verb::Prune
                | Verb::Create
                | Verb::Destroy
                | Verb::Start
                | Verb::OpenScope
                | Verb::CloseScope
        ) || self.verbs.contains(&verb)
    }
}

/// How commands reach the machines of an instance.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum AccessForm {
    /// By the inside verbs that `verbs` names.
    #[default]
    Native,
    /// By SSH: what `inspect` sees of a machine that can be reached says where
    /// ([`Access::Ssh`](crate::Access::Ssh)), and the layer for that supplies the inside verbs.
    Ssh,
}

/// Whose network machines listen in.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Network {
    /// Each has its own: a declared port is free in it.
    #[default]
    Own,
    /// They are processes of the controller's host and share its network: the engine gives each declared tcp port a
    /// number that is free there, which is what [`PortSpec`](crate::PortSpec) says then, and members reach each other
    /// at 127.0.0.1.
    Host,
}

/// What a carrier keeps of a stamp.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Keeps {
    /// The key and the labels.
    Labels,
    /// The key alone. A name copied by hand cannot be told from ours.
    #[serde(rename = "key")]
    KeyOnly,
}

/// How the outcome of a call without an answer is found out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Settle {
    /// The same frozen request again gives the same machine.
    Replay {
        /// How long the carrier remembers a token; `None` where the key itself is unique.
        token_life: Option<Duration>,
    },
    /// Listed until both bounds have passed on a complete coverage of the site.
    Lookup {
        /// How long after it was sent a request may still take effect.
        request_life: Duration,
        /// How long after it took effect a listing may miss it.
        visibility: Duration,
    },
}

/// What ends a machine by itself when its lease is over.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum SelfExpiry {
    /// The machine itself.
    Machine,
    /// The host that it runs on.
    Host,
    /// Nothing: the next command or a keeper must.
    #[default]
    None,
}

/// How precisely the end of a command is known.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum ExitDetail {
    /// The status alone; a signal is seen as 128 + n.
    #[default]
    Code,
    /// Status and signal are told apart.
    Signal,
}

/// What logs offer.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
#[non_exhaustive]
pub struct LogDetail {
    /// They can be followed.
    pub follow: bool,
    /// They can begin at a moment.
    pub since: bool,
}

impl LogDetail {
    /// Logs that can, or cannot, be followed and begun at a moment.
    pub fn new(follow: bool, since: bool) -> Self {
        Self { follow, since }
    }
}

/// How much an instance takes at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
#[non_exhaustive]
pub struct Limits {
    /// Changes in flight.
    pub changes: u32,
    /// Reads and inside verbs in flight while they are being opened.
    pub reads: u32,
}

impl Default for Limits {
    fn default() -> Self {
        Self { changes: 16, reads: 32 }
    }
}

impl Limits {
    /// So many changes and so many reads in flight.
    pub fn new(changes: u32, reads: u32) -> Self {
        Self { changes, reads }
    }
}
