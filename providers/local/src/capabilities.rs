//! What sandboxes of this host can do, as facts.

use encamp_core::{Capabilities, ExitDetail, Keeps, Limits, LogDetail, Network, SelfExpiry, Settle, Verb};

use crate::convert::Plan;

/// Reads in flight.
const READS: u32 = 32;

/// The most that an instance can do.
pub(crate) fn most(changes: u32) -> Capabilities {
    // A folder is made under the key or is there already: the key itself is unique.
    let mut most = Capabilities::new(Keeps::Labels, Settle::Replay { token_life: None });
    most.verbs = [
        Verb::Stop,
        Verb::Pause,
        Verb::Renew,
        Verb::Exec,
        Verb::CopyIn,
        Verb::CopyOut,
        Verb::Dial,
        Verb::Logs,
    ]
    .into();
    most.self_expiry = SelfExpiry::Machine;
    most.exits = ExitDetail::Signal;
    most.signals = true;
    most.tty = true;
    most.logs = LogDetail::new(true, true);
    // Whoever is the same user reads it in /proc, and it stands in the machine's folder.
    most.env_visible = true;
    most.network = Network::Host;
    most.mounts = true;
    most.limits = Limits::new(changes, READS);
    most
}

/// What one instance can do.
pub(crate) fn of(changes: u32, plan: &Plan) -> Capabilities {
    let mut able = most(changes);
    if plan.group.is_none() {
        able.verbs.remove(&Verb::Pause);
    }
    able.mounts = plan.overlay;
    able
}
