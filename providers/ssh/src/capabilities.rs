//! What claimed hosts can do, as facts.

use encamp_core::{AccessForm, Capabilities, Keeps, Limits, SelfExpiry, Settle, Verb};

/// Changes in flight, over all hosts. Each waits for its host alone.
const CHANGES: u32 = 64;
/// Reads in flight.
const READS: u32 = 64;

/// What hosts can do, but for what sessions over SSH add.
pub(crate) fn of_hosts() -> Capabilities {
    // A host has one record, and what stands in it under the key is found again.
    let mut able = Capabilities::new(Keeps::Labels, Settle::Replay { token_life: None });
    able.verbs = [Verb::Renew, Verb::Reserve].into();
    able.self_expiry = SelfExpiry::Host;
    able.access = AccessForm::Ssh;
    able.limits = Limits::new(CHANGES, READS);
    able
}
