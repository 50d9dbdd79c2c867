//! What an engine can do, as facts.

use std::time::Duration;

use encamp_core::{Capabilities, ExitDetail, Keeps, Limits, LogDetail, SelfExpiry, Settle, Verb};

/// How long after it was sent a request for a network may still take effect.
const NETWORK_REQUEST_LIFE: Duration = Duration::from_secs(10);

/// Reads in flight; they are cheap for the engine.
const READS: u32 = 32;

/// The most that an instance can do: a local engine whose containers' addresses can be dialled.
pub(crate) fn most(changes: u32) -> Capabilities {
    let mut most = Capabilities::new(Keeps::Labels, Settle::Replay { token_life: None });
    most.verbs = [
        Verb::Stop,
        Verb::Pause,
        Verb::Exec,
        Verb::CopyIn,
        Verb::CopyOut,
        Verb::Dial,
        Verb::Logs,
        Verb::Snapshot,
    ]
    .into();
    most.unknown_scope = Settle::Lookup {
        request_life: NETWORK_REQUEST_LIFE,
        visibility: Duration::ZERO,
    };
    most.self_expiry = SelfExpiry::None;
    most.exits = ExitDetail::Code;
    most.signals = true;
    most.tty = true;
    most.logs = LogDetail::new(true, true);
    most.env_visible = true;
    most.scope_names = true;
    most.mounts = true;
    most.limits = Limits::new(changes, READS);
    most
}

/// What was learnt of an engine that makes a difference.
#[derive(Debug, Clone, Copy)]
#[expect(clippy::struct_excessive_bools, reason = "independent facts")]
pub(crate) struct Learnt {
    /// The addresses of its containers can be dialled from here.
    pub(crate) dials: bool,
    /// It sees the folders of this host.
    pub(crate) shares_files: bool,
    /// Members of one network find each other by name.
    pub(crate) names: bool,
    /// It runs health checks by itself.
    pub(crate) health: bool,
    /// It is Podman, which behaves otherwise here and there.
    pub(crate) podman: bool,
}

/// What one engine can do.
pub(crate) fn of(changes: u32, learnt: Learnt) -> Capabilities {
    let mut able = most(changes);
    if !learnt.dials {
        able.verbs.remove(&Verb::Dial);
    }
    able.mounts = learnt.shares_files;
    able.scope_names = learnt.names;
    able
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_engine_whose_addresses_are_out_of_reach_does_not_dial() {
        let learnt = |dials, shares_files, names| {
            of(
                16,
                Learnt {
                    dials,
                    shares_files,
                    names,
                    health: true,
                    podman: false,
                },
            )
        };
        let one = |able: Capabilities| (able.offers(Verb::Dial), able.mounts, able.scope_names);
        assert_eq!(one(learnt(true, false, false)), (true, false, false));
        assert_eq!(one(learnt(false, true, false)), (false, true, false));
        assert_eq!(one(learnt(false, false, true)), (false, false, true));
        assert!(!most(16).offers(Verb::Renew) && !most(16).offers(Verb::Listen));
    }
}
