//! The defaults, in one table.

use std::time::Duration;

use serde::{Deserialize, Serialize};

/// How long things may take, and how much of them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Policy {
    /// After a lease's end, before anything is disposed of for it.
    pub grace: Duration,
    /// A check, a listing, a look.
    pub check: Duration,
    /// A create with everything that belongs to it, a pull or a build included.
    pub create: Duration,
    /// For a place on what is limited and others have; nothing means not at all.
    pub wait: Duration,
    /// Any other change: a start, a stop, a scope item.
    pub change: Duration,
    /// After a change's deadline, before its outcome is settled.
    pub settle: Duration,
    /// A whole disposal.
    pub down: Duration,
    /// What a command spends on other environments that a dead command left.
    pub tidy: Duration,
    /// How long a command waits for a holder that yields.
    pub takeover: Duration,
    /// How often a change that had no effect is sent again.
    pub sends: u32,
    /// The first and the longest pause between two tries.
    pub pause: (Duration, Duration),
    /// How often machines are looked at while tasks run.
    pub watch: Duration,
    /// Between the two sightings of something that only its labels condemn.
    pub sightings_apart: Duration,
    /// How long tombstones are kept.
    pub tombstone: Duration,
    /// How long what was built for machines is kept after its last use.
    pub built: Duration,
    /// After a create, before its token is only looked up and never replayed.
    pub token_age: Duration,
    /// Bytes of output and artifacts that are kept of one task or machine.
    pub keep_bytes: u64,
}

impl Default for Policy {
    fn default() -> Self {
        let seconds = Duration::from_secs;
        Self {
            grace: seconds(60),
            check: seconds(10),
            create: seconds(600),
            wait: Duration::ZERO,
            change: seconds(60),
            settle: seconds(5),
            down: seconds(60),
            tidy: seconds(10),
            takeover: seconds(30),
            sends: 8,
            pause: (Duration::from_millis(100), seconds(2)),
            watch: seconds(1),
            sightings_apart: seconds(60),
            tombstone: seconds(30 * 24 * 3600),
            built: seconds(7 * 24 * 3600),
            token_age: seconds(20 * 3600),
            keep_bytes: 256 << 20,
        }
    }
}
