//! The operations of the journal.

use std::collections::BTreeMap;

use encamp_core::{Addr, EnvId, Published, Site, Value};
use encamp_file::spec::Given;
use encamp_file::text::Numbers;

use super::rows::{EnvironmentRow, Epoch, Holder, IntentRef, IntentRow, SetUp, SightingRow, SiteRow, Took};
use crate::clock::Lease;

/// One operation: one transaction, or part of one.
#[derive(Debug, Clone)]
pub enum Op {
    /// A new environment. Refused where a living one has its name.
    Found(Box<EnvironmentRow>),
    /// Takes the tenure: the epoch is raised. The caller holds the lock already.
    Take {
        /// Of which environment.
        environment: EnvId,
        /// By whom.
        holder: Holder,
    },
    /// Gives the tenure back.
    Release(Epoch),
    /// The environment is to go; whoever holds it yields. Needs no tenure.
    WantGone(EnvId),
    /// A run is kept.
    Keep(Epoch),
    /// Another lease.
    Extend {
        /// Under which tenure.
        epoch: Epoch,
        /// The new one.
        lease: Lease,
    },
    /// Its outputs are known and it is ready.
    Describe {
        /// Under which tenure.
        epoch: Epoch,
        /// By name.
        outputs: BTreeMap<String, String>,
        /// How many machines it has.
        machines: u32,
        /// Where it came from.
        file: Option<String>,
        /// What that was told.
        given: Given,
        /// How long it took, where machines were made.
        took: Option<Took>,
    },
    /// Ports are given numbers of this host. Refused where another living environment has one of them.
    Allot {
        /// Under which tenure.
        epoch: Epoch,
        /// All of them, those that were given before too.
        numbers: Numbers,
    },
    /// A site is going to be used.
    Site(Box<SiteRow>),
    /// An intent: PLANNED.
    Plan {
        /// Under which tenure.
        epoch: Epoch,
        /// The row, in state `Planned`.
        row: Box<IntentRow>,
    },
    /// SENT, checked against the tenure, the wish and the state.
    Send {
        /// Under which tenure.
        epoch: Epoch,
        /// Which.
        intent: IntentRef,
    },
    /// A change on something that exists (start, stop, snapshot) is going to be sent: checked as `Send`, the state stays.
    Touch {
        /// Under which tenure.
        epoch: Epoch,
        /// Which.
        intent: IntentRef,
        /// What the row says of `stopped` from now on.
        stopped: Option<bool>,
    },
    /// The outcome of what was sent is unknown.
    Lose {
        /// Under which tenure.
        epoch: Epoch,
        /// Which.
        intent: IntentRef,
    },
    /// SEEN.
    See {
        /// Under which tenure.
        epoch: Epoch,
        /// Which.
        intent: IntentRef,
        /// The carrier's id.
        id: String,
        /// What a scope item offers.
        data: Value,
    },
    /// The set-up has come so far; the state stays `Seen`.
    SetUp {
        /// Under which tenure.
        epoch: Epoch,
        /// Which.
        intent: IntentRef,
        /// How far.
        set_up: SetUp,
    },
    /// READY.
    Ready {
        /// Under which tenure.
        epoch: Epoch,
        /// Which.
        intent: IntentRef,
        /// Its addresses.
        addrs: Vec<Addr>,
        /// Its published ports.
        ports: Vec<Published>,
    },
    /// It exists and did not become ready.
    Fail {
        /// Under which tenure.
        epoch: Epoch,
        /// Which.
        intent: IntentRef,
        /// Why.
        failure: String,
    },
    /// DYING: from now on only the destroyer may touch it.
    Doom {
        /// Under which tenure.
        epoch: Epoch,
        /// Which.
        intent: IntentRef,
    },
    /// A destroy is going to be sent: checked against tenure and state.
    SendDestroy {
        /// Under which tenure.
        epoch: Epoch,
        /// Which.
        intent: IntentRef,
    },
    /// A destroyer has settled what was unknown.
    Settle {
        /// Under which tenure.
        epoch: Epoch,
        /// Which.
        intent: IntentRef,
        /// The id, where it exists.
        id: Option<String>,
    },
    /// GONE, with evidence.
    Bury {
        /// Under which tenure.
        epoch: Epoch,
        /// Which.
        intent: IntentRef,
        /// Why it is known.
        evidence: String,
    },
    /// All listings came back empty: the environment is a tombstone.
    Dispose(Epoch),
    /// Something ours that no row knew.
    Recover {
        /// The environment, made where it is not there.
        environment: Box<EnvironmentRow>,
        /// The object, in state `Seen`.
        row: Box<IntentRow>,
    },
    /// Something that only its labels condemn was seen.
    Sight(SightingRow),
    /// It was killed, or is not condemned any more.
    Unsight {
        /// Where.
        site: Site,
        /// Its key.
        key: String,
    },
    /// Tombstones that are old enough, and sites that nothing speaks of any more, are forgotten.
    Forget(EnvId),
    /// A site is forgotten.
    ForgetSite(Site),
}

impl Op {
    /// The name of the operation, for failpoints and messages.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Found(_) => "found",
            Self::Take { .. } => "take",
            Self::Release(_) => "release",
            Self::WantGone(_) => "want_gone",
            Self::Keep(_) => "keep",
            Self::Extend { .. } => "extend",
            Self::Describe { .. } => "describe",
            Self::Allot { .. } => "allot",
            Self::Site(_) => "site",
            Self::Plan { .. } => "planned",
            Self::Send { .. } => "sent",
            Self::Touch { .. } => "touch",
            Self::Lose { .. } => "unknown",
            Self::See { .. } => "seen",
            Self::SetUp { .. } => "set_up",
            Self::Ready { .. } => "ready",
            Self::Fail { .. } => "failed",
            Self::Doom { .. } => "dying",
            Self::SendDestroy { .. } => "destroy_sent",
            Self::Settle { .. } => "settled",
            Self::Bury { .. } => "gone",
            Self::Dispose(_) => "disposed",
            Self::Recover { .. } => "recover",
            Self::Sight(_) => "sight",
            Self::Unsight { .. } => "unsight",
            Self::Forget(_) => "forget",
            Self::ForgetSite(_) => "forget_site",
        }
    }

    /// The object or environment that it speaks of, for failpoints and messages.
    pub fn subject(&self) -> &str {
        match self {
            Self::Plan { row, .. } | Self::Recover { row, .. } => &row.object,
            Self::Send { intent, .. }
            | Self::Touch { intent, .. }
            | Self::Lose { intent, .. }
            | Self::See { intent, .. }
            | Self::SetUp { intent, .. }
            | Self::Ready { intent, .. }
            | Self::Fail { intent, .. }
            | Self::Doom { intent, .. }
            | Self::SendDestroy { intent, .. }
            | Self::Settle { intent, .. }
            | Self::Bury { intent, .. } => &intent.object,
            _ => "environment",
        }
    }
}

/// Why the rules refuse an operation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Refusal {
    /// A living environment has that name.
    NameTaken(Box<EnvironmentRow>),
    /// The environment is not there, or is disposed of.
    NoEnvironment,
    /// A newer tenure exists: this process has been taken over.
    Fenced {
        /// The newer epoch.
        newer: u64,
    },
    /// Another command wants the environment gone.
    Yield,
    /// Another living environment has that port of this host.
    NumberTaken {
        /// Which.
        number: u16,
        /// The other's name.
        by: String,
    },
    /// The intent is not in a state in which this may happen; the state is given, `None` where there is no row.
    State(Option<super::rows::IntentState>),
}

/// What an operation gives.
#[derive(Debug, Clone, PartialEq)]
pub enum Answer {
    /// Done.
    Done,
    /// Done; the epoch of the tenure that was taken.
    Taken(Epoch, Box<EnvironmentRow>),
    /// Refused by the rules; nothing was written.
    Refused(Refusal),
}
