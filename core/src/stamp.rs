//! The mark by which the engine proves that a thing is its own.

use std::collections::BTreeMap;
use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What kind of thing carries a stamp.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Class {
    /// One thing that can run commands.
    Machine,
    /// What an environment shares on a site: a network, a volume, a security group.
    Scope,
    /// An image; it may outlive its environment.
    Image,
}

impl Class {
    /// The word used in proofs, rows and messages.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Machine => "machine",
            Self::Scope => "scope",
            Self::Image => "image",
        }
    }
}

/// Raised whenever anything that was sent for an object changes. The first is 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(transparent)]
pub struct Generation(pub u32);

impl Generation {
    /// The generation after this one.
    #[must_use]
    pub fn next(self) -> Self {
        Self(self.0 + 1)
    }
}

impl fmt::Display for Generation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}

/// What the carrier keeps unique, a container's name for example: DNS-safe, at most 63 characters.
///
/// Derived by the engine alone. A provider stores it and hands back what it finds.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(transparent)]
pub struct Key(String);

impl Key {
    /// Takes a text as a key. Only what the engine derived proves anything.
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The idempotency token of one frozen request: at most 64 ASCII characters, a hash of the request.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(transparent)]
pub struct Token(String);

impl Token {
    /// Takes a text as a token.
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Labels, tags or annotations, by whatever name the carrier calls them.
pub type Labels = BTreeMap<String, String>;

/// The labels of a stamp.
pub mod label {
    /// The controller's id.
    pub const CONTROLLER: &str = "encamp.controller";
    /// The environment's id.
    pub const ENVIRONMENT: &str = "encamp.environment";
    /// The machine's or the scope item's name.
    pub const MACHINE: &str = "encamp.machine";
    /// The generation of the object.
    pub const GENERATION: &str = "encamp.generation";
    /// The hash of what decides a replacement.
    pub const SPEC: &str = "encamp.spec";
    /// When the intent was made, RFC 3339.
    pub const CREATED: &str = "encamp.created";
    /// When the lease ended as it was known at creation, RFC 3339.
    pub const EXPIRES: &str = "encamp.expires";
    /// The epoch of the tenure that made it.
    pub const EPOCH: &str = "encamp.epoch";
    /// The MAC under the owner key that proves the others.
    pub const PROOF: &str = "encamp.proof";

    /// The labels that decide whether a thing is the one that a stamp speaks of; the others inform only.
    pub const IDENTITY: [&str; 5] = [CONTROLLER, ENVIRONMENT, MACHINE, GENERATION, PROOF];
}

/// Key, token and labels of one object.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[non_exhaustive]
pub struct Stamp {
    /// Unique per object and generation.
    pub key: Key,
    /// Of the frozen request.
    pub token: Token,
    /// On everything that carries labels.
    pub labels: Labels,
}

impl Stamp {
    /// Puts a stamp together from its parts; the engine derives them.
    pub fn new(key: Key, token: Token, labels: Labels) -> Self {
        Self { key, token, labels }
    }

    /// Whether a thing found under `key` with `labels` is the one this stamp speaks of:
    /// the key and the [identity labels](label::IDENTITY) must be equal.
    pub fn matches(&self, key: &str, labels: &Labels) -> bool {
        self.key.as_str() == key && self.matches_labels(labels)
    }

    /// As [`matches`](Self::matches), for carriers whose names are no keys (networks).
    pub fn matches_labels(&self, labels: &Labels) -> bool {
        label::IDENTITY
            .iter()
            .all(|name| self.labels.get(*name) == labels.get(*name))
    }

    /// The machine's or scope item's name that the stamp carries.
    pub fn object(&self) -> &str {
        self.labels.get(label::MACHINE).map_or("", String::as_str)
    }
}
