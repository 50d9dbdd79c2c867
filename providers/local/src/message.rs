//! What the provider, the shim and the processes that the shim starts say to each other: a line of JSON each.

use std::collections::BTreeMap;
use std::io::{self, BufRead, Write};
use std::path::PathBuf;

use encamp_core::Exit;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::process::ProcessId;

/// What a program that was started as a shim is to do.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Part {
    /// Stand for a machine, outside of it.
    Shim { folder: PathBuf },
    /// Be the first process in it.
    First { folder: PathBuf },
    /// Become a command.
    Command(Command),
    /// Unpack the tar stream of standard input into a folder.
    Unpack { folder: String, bounds: Vec<PathBuf> },
    /// Pack a path as a tar stream to standard output.
    Pack { path: String, bounds: Vec<PathBuf> },
    /// Find out whether a machine could be caged and shown files like this.
    Probe { folder: PathBuf, cage: Confinement },
    /// The same, as the first process in it.
    ProbeFirst { folder: PathBuf, cage: Confinement },
}

/// Which name spaces a machine has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Confinement {
    /// Of users, which is how others than root get the rest.
    pub(crate) users: bool,
    /// Of processes.
    pub(crate) processes: bool,
    /// Files that it writes are its own.
    pub(crate) overlay: bool,
}

/// A command to become.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Command {
    pub(crate) argv: Vec<String>,
    pub(crate) cwd: String,
    pub(crate) user: Option<String>,
    /// `HOME` is to be that of the user: nobody has said another.
    pub(crate) users_home: bool,
    /// Standard input is its terminal.
    pub(crate) tty: bool,
}

/// What the first process is asked for over its socket.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Ask {
    /// Let the machine run. Goes on where it runs.
    Go,
    /// Start something, with the descriptors that came along.
    Spawn { part: Part, env: BTreeMap<String, String> },
    /// Ask what runs to end, and end the machine after that.
    Stop { grace_millis: u64 },
}

/// What it answers.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Answer {
    /// The machine runs.
    Going,
    /// It was started.
    Spawned,
    /// It has ended.
    Ended(Exit),
    /// It cannot be done now.
    NotRunning,
    /// It could not be done.
    Failed(String),
}

/// What is asked of something that was started.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Order {
    Signal(String),
}

/// What the shim says to whoever started it, and the first process to the shim.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Word {
    /// Everything is there, and nothing of the user's runs.
    Ready,
    /// Another shim stands for this machine.
    Taken,
    /// It could not be done.
    Failed(String),
    /// The machine is to run; the shim answers with the same when that is written down.
    Go,
    /// The command has ended.
    Ended(Exit),
    /// Begin.
    Begin,
}

/// The processes that stand for a machine; written before anything of the user's runs.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Run {
    pub(crate) boot: String,
    pub(crate) shim: ProcessId,
    pub(crate) first: ProcessId,
}

/// How far the life of a machine came.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Life {
    Running,
    Stopped,
    /// Its time was over.
    Expired,
    Exited(Exit),
}

/// Says one thing.
pub(crate) fn say(mut to: impl Write, what: &impl Serialize) -> io::Result<()> {
    let mut line = serde_json::to_vec(what)?;
    line.push(b'\n');
    to.write_all(&line)?;
    to.flush()
}

/// Hears one thing; nothing where the other side has gone.
pub(crate) fn hear<T: DeserializeOwned>(from: &mut impl BufRead) -> io::Result<Option<T>> {
    let mut line = Vec::new();
    if from.read_until(b'\n', &mut line)? == 0 || line.last() != Some(&b'\n') {
        return Ok(None);
    }
    Ok(Some(serde_json::from_slice(&line)?))
}
