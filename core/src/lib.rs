//! The contract between encamp's engine and a provider of machines.
//!
//! A [`Kind`] makes configured [`Provider`]s; the engine speaks to infrastructure through
//! that trait alone. The data structures here are at the same time the JSON of plugins and
//! scripts: each is `#[non_exhaustive]`, has a constructor, and derives serde and schemars.
//!
//! This crate holds no engine, no store and no client of any infrastructure.
#![forbid(unsafe_code)]

mod access;
mod ambient;
mod args;
mod capabilities;
mod cx;
mod error;
pub mod helper;
mod kind;
mod late;
pub mod layers;
pub mod memory;
mod names;
mod phase;
mod provider;
mod secret;
pub mod shell;
mod site;
mod stamp;
mod stream;
pub mod table;
mod ticket;
mod time;
mod verb;

pub use access::{Access, Identity, SshAccess};
pub use ambient::Ambient;
pub use args::cache::Prune;
pub use args::change::{
    Create, Created, Env, Image, Mount, OpenScope, Opened, PortSpec, Protocol, PublicKey, Publish, Renew, Snapshot,
    Stop, Target,
};
pub use args::inside::{CopyIn, CopyOut, Dial, Exec, Listen, Logs, Signal, Size};
pub use args::read::{
    Candidate, Check, Cost, Coverage, Finding, Found, Level, List, Listing, Needs, Pin, Resolve, ScopeItem,
};
pub use args::reserve::Reserve;
pub use capabilities::{AccessForm, Capabilities, ExitDetail, Keeps, Limits, LogDetail, Network, SelfExpiry, Settle};
pub use cx::{Cx, EventSink, Progress, Secrets};
pub use error::{Error, ErrorKind, Report, Result, Retry};
pub use kind::{Kind, KindInfo, Problem};
pub use late::{fill_late, late_marker, late_pointers};
pub use names::{ControllerId, ControllerPrefix, EnvId, ID_ALPHABET, InstanceName, KindName, Name, NameError};
pub use phase::{Addr, AddrScope, Exit, Health, Observed, Phase, Published, Removal};
pub use provider::{Provider, ProviderExt};
pub use secret::Secret;
pub use site::Site;
pub use stamp::{Class, Generation, Key, Labels, Stamp, Token, label};
pub use stream::{Accept, AsyncReadWrite, BoxRead, BoxWrite, Control, Duplex, Process};
pub use ticket::Ticket;
pub use time::Time;
pub use verb::Verb;

/// A JSON value: a kind's table, a candidate's body, whatever a provider keeps for itself.
pub type Value = serde_json::Value;
