//! What the verbs inside a machine take.

use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::change::Env;
use crate::{Target, Time};

/// The size of a terminal.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[non_exhaustive]
pub struct Size {
    /// Lines.
    pub rows: u16,
    /// Characters a line.
    pub cols: u16,
}

impl Size {
    /// So many lines of so many characters.
    pub fn new(rows: u16, cols: u16) -> Self {
        Self { rows, cols }
    }
}

/// A signal, by its name without `SIG`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "UPPERCASE")]
#[non_exhaustive]
pub enum Signal {
    #[expect(missing_docs, reason = "POSIX's own")]
    Hup,
    #[expect(missing_docs, reason = "POSIX's own")]
    Int,
    #[expect(missing_docs, reason = "POSIX's own")]
    Quit,
    #[expect(missing_docs, reason = "POSIX's own")]
    Kill,
    #[expect(missing_docs, reason = "POSIX's own")]
    Term,
    #[expect(missing_docs, reason = "POSIX's own")]
    Usr1,
    #[expect(missing_docs, reason = "POSIX's own")]
    Usr2,
    #[expect(missing_docs, reason = "POSIX's own")]
    Stop,
    #[expect(missing_docs, reason = "POSIX's own")]
    Cont,
}

impl Signal {
    /// The name without `SIG`.
    pub fn as_str(&self) -> &'static str {
        match self {
            Self::Hup => "HUP",
            Self::Int => "INT",
            Self::Quit => "QUIT",
            Self::Kill => "KILL",
            Self::Term => "TERM",
            Self::Usr1 => "USR1",
            Self::Usr2 => "USR2",
            Self::Stop => "STOP",
            Self::Cont => "CONT",
        }
    }
}

impl fmt::Display for Signal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Runs a command in a machine.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[non_exhaustive]
pub struct Exec {
    /// Where.
    pub target: Target,
    /// The command and its arguments; never a shell string.
    pub argv: Vec<String>,
    /// Added to the machine's own.
    #[serde(default)]
    pub env: Env,
    /// The folder; the machine's own where none is given.
    #[serde(default)]
    pub cwd: Option<String>,
    /// The user; the machine's own where none is given.
    #[serde(default)]
    pub user: Option<String>,
    /// With a terminal of this size.
    #[serde(default)]
    pub tty: Option<Size>,
    /// Whether standard input is wanted; it is empty otherwise.
    #[serde(default)]
    pub stdin: bool,
}

impl Exec {
    /// Runs `argv` in `target`, without input and without a terminal.
    pub fn new(target: Target, argv: impl IntoIterator<Item = impl Into<String>>) -> Self {
        Self {
            target,
            argv: argv.into_iter().map(Into::into).collect(),
            env: Env::new(),
            cwd: None,
            user: None,
            tty: None,
            stdin: false,
        }
    }
}

/// Unpacks a tar stream into a folder of a machine.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[non_exhaustive]
pub struct CopyIn {
    /// Where.
    pub target: Target,
    /// The folder, absolute; it and its parents are made where they are missing.
    pub folder: String,
}

impl CopyIn {
    /// Unpacks into `folder`.
    pub fn new(target: Target, folder: impl Into<String>) -> Self {
        Self {
            target,
            folder: folder.into(),
        }
    }
}

/// Packs a path of a machine as a tar stream.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[non_exhaustive]
pub struct CopyOut {
    /// Where.
    pub target: Target,
    /// The path, absolute. Entries of the stream begin with its last part.
    pub path: String,
}

impl CopyOut {
    /// Packs `path`.
    pub fn new(target: Target, path: impl Into<String>) -> Self {
        Self {
            target,
            path: path.into(),
        }
    }
}

/// Connects to a TCP port as the machine itself would, in its own network.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[non_exhaustive]
pub struct Dial {
    /// From where.
    pub target: Target,
    /// `127.0.0.1` where none is given.
    #[serde(default)]
    pub host: Option<String>,
    /// Which port.
    pub port: u16,
}

impl Dial {
    /// Connects to `port` of the machine.
    pub fn new(target: Target, port: u16) -> Self {
        Self {
            target,
            host: None,
            port,
        }
    }
}

/// Listens on a TCP port in a machine's network.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[non_exhaustive]
pub struct Listen {
    /// Where.
    pub target: Target,
    /// On which address; loopback where none is given.
    #[serde(default)]
    pub host: Option<String>,
    /// On which port.
    pub port: u16,
}

impl Listen {
    /// Listens on `port`.
    pub fn new(target: Target, port: u16) -> Self {
        Self {
            target,
            host: None,
            port,
        }
    }
}

/// Reads what a machine's main process has said.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[non_exhaustive]
pub struct Logs {
    /// Of which.
    pub target: Target,
    /// From this moment on.
    #[serde(default)]
    pub since: Option<Time>,
    /// Go on as more is said.
    #[serde(default)]
    pub follow: bool,
    /// The last so many lines alone.
    #[serde(default)]
    pub tail: Option<u32>,
}

impl Logs {
    /// Everything said so far.
    pub fn new(target: Target) -> Self {
        Self {
            target,
            since: None,
            follow: false,
            tail: None,
        }
    }
}
