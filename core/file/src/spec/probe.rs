//! What must hold before a machine counts as ready.

use std::time::Duration;

use encamp_core::{Name, Value};
use serde_json::Map;

use super::{Command, Place};
use crate::text::Text;

/// A condition of readiness and how it is judged.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Probe {
    /// What must hold.
    pub condition: Condition,
    /// From the machine's start.
    pub within: Duration,
    /// The pause between two attempts.
    pub every: Duration,
    /// The longest that one attempt may take.
    pub timeout: Duration,
    /// It has to hold without a break for so long.
    pub stable: Option<Duration>,
    /// Where it stands.
    pub place: Option<Place>,
}

impl Probe {
    /// A probe that is tried every 250 ms, for up to 5 s each, within 60 s.
    pub fn new(condition: Condition) -> Self {
        Self {
            condition,
            within: Duration::from_mins(1),
            every: Duration::from_millis(250),
            timeout: Duration::from_secs(5),
            stable: None,
            place: None,
        }
    }
}

/// What must hold.
#[derive(Debug, Clone)]
pub enum Condition {
    /// A connection to the declared port is accepted, in the machine's network.
    Tcp {
        /// The port's name.
        port: Name,
    },
    /// A request to the declared port is answered with a status, in the machine's network.
    Http {
        /// The port's name.
        port: Name,
        /// With a leading `/`.
        path: Text,
        /// The status that is wanted; any of 200 to 399 where none is given.
        status: Option<u16>,
        /// Keys that the answer, a JSON object, must have with these values.
        json: Option<Map<String, Value>>,
    },
    /// A command in the machine exits 0.
    Run(Command),
    /// The machine's main process has exited 0.
    Exited,
    /// A line of the machine's log matches.
    Log {
        /// A regular expression; one that the `regex` crate takes.
        pattern: String,
    },
    /// A file is there.
    File {
        /// In the machine.
        path: Text,
    },
    /// The machine's own check, that of its image, is content.
    Healthcheck,
    /// It lets in over SSH whom its provider says it lets in, and runs a command for them.
    Ssh,
    /// cloud-init is done in it, and without an error.
    CloudInit,
}
