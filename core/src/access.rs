//! How commands reach a machine: access as data.

use std::path::PathBuf;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// How commands, files and connections reach a machine.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Access {
    /// The provider's own inside verbs.
    Native,
    /// SSH; the derived layer supplies the inside verbs.
    Ssh(Box<SshAccess>),
    /// Nothing reaches inside.
    None,
}

/// Everything that a session over SSH needs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[non_exhaustive]
pub struct SshAccess {
    /// Host name or address.
    pub host: String,
    /// Port, 22 by default.
    #[serde(default = "ssh_port")]
    pub port: u16,
    /// The user to log in as.
    pub user: String,
    /// With what to log in.
    #[serde(default)]
    pub identity: Identity,
    /// The host's public keys in OpenSSH's form; never empty.
    pub host_keys: Vec<String>,
    /// The jump host.
    #[serde(default)]
    pub via: Option<Box<Self>>,
    /// What stands before every command, the guard of bare metal for example.
    #[serde(default)]
    pub prefix: Vec<String>,
}

impl SshAccess {
    /// Access to `user@host` on port 22, with the environment's own key.
    pub fn new(host: impl Into<String>, user: impl Into<String>, host_keys: Vec<String>) -> Self {
        Self {
            host: host.into(),
            port: ssh_port(),
            user: user.into(),
            identity: Identity::default(),
            host_keys,
            via: None,
            prefix: Vec::new(),
        }
    }
}

fn ssh_port() -> u16 {
    22
}

/// With what a login proves itself.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Identity {
    /// The key pair that the engine made for the environment; the machine was made with its public part
    /// ([`Create::login`](crate::Create::login)).
    #[default]
    Environment,
    /// The user's agent.
    Agent,
    /// A private key in a file.
    File(PathBuf),
}
