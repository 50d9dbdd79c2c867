//! What an instance of the simulated kind is configured with.

use std::collections::BTreeSet;
use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::table::Span;
use crate::{Capabilities, ExitDetail, Keeps, Limits, LogDetail, SelfExpiry, Settle, Verb};

/// How a create without an answer is found out, and so how the simulated carrier behaves.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Settling {
    /// Keys are unique: the same request again finds the same thing. Nothing arrives late.
    #[default]
    Replay,
    /// Tokens are remembered for so long, also those of things that are gone; keys are not unique.
    ReplayFor(Span),
    /// Neither keys nor tokens are unique: a request may arrive late, and a listing may miss what it made.
    Lookup {
        /// How long after it was sent a request may still take effect.
        request_life: Span,
        /// How long after it took effect a listing may miss it.
        visibility: Span,
    },
}

impl Settling {
    /// The same as a capability.
    pub fn settle(self) -> Settle {
        match self {
            Self::Replay => Settle::Replay { token_life: None },
            Self::ReplayFor(life) => Settle::Replay {
                token_life: Some(life.0),
            },
            Self::Lookup {
                request_life,
                visibility,
            } => Settle::Lookup {
                request_life: request_life.0,
                visibility: visibility.0,
            },
        }
    }

    /// How late a request may arrive.
    pub(super) fn lateness(self) -> Duration {
        match self {
            Self::Replay => Duration::ZERO,
            Self::ReplayFor(life) => life.0.min(Duration::from_secs(30)),
            Self::Lookup { request_life, .. } => request_life.0,
        }
    }

    pub(super) fn visibility(self) -> Duration {
        match self {
            Self::Replay | Self::ReplayFor(_) => Duration::ZERO,
            Self::Lookup { visibility, .. } => visibility.0,
        }
    }
}

/// What may go wrong, each with a probability from 0 to 1.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
pub struct Faults {
    /// A change happens and its answer is lost: outcome unknown.
    pub lost_reply: f64,
    /// A create, open or removal takes effect after its answer, "outcome unknown", has been given; at most as late as
    /// its [`Settling`] says, so never where that is [`Settling::Replay`].
    pub late: f64,
    /// A change never arrives, and the error does not say so: outcome unknown.
    pub unheard: f64,
    /// Of the unknown outcomes, how many are told only when the caller cancels or its deadline has passed.
    pub hang: f64,
    /// A call is refused before it had an effect: safe to retry.
    pub refused: f64,
    /// A call is throttled, to be made again after a moment.
    pub throttled: f64,
    /// A listing misses things of a site, and says that the site is not covered.
    pub partial_list: f64,
    /// A call takes up to `slowness` longer.
    pub slow: f64,
    /// How much longer.
    pub slowness: Span,
    /// A create finds no capacity for its candidate.
    pub no_capacity: f64,
    /// The link to a command breaks: its outcome is lost.
    pub broken_link: f64,
}

/// The settings of an instance.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
#[expect(clippy::struct_excessive_bools, reason = "each is a setting of its own in a file")]
#[non_exhaustive]
pub struct Settings {
    /// The sites it spans; the first is preferred. The instance's name where none is given.
    pub sites: Vec<String>,
    /// What a thing carries of its stamp.
    pub keeps: Keeps,
    /// How machines settle.
    pub machines: Settling,
    /// How scope items settle.
    pub scopes: Settling,
    /// How long a listing may miss what was made, and show what is gone. The visibility of the settling where none is
    /// given; another value breaks the instance's word.
    pub listing_lag: Option<Span>,
    /// How long a machine takes from its start to running, where its table does not say.
    pub boot: Span,
    /// Whether a create leaves a machine held until `start`.
    pub held: bool,
    /// How long each call takes.
    pub latency: Span,
    /// How long a removal is pending.
    pub removal: Span,
    /// How many machines a site has room for.
    pub capacity: Option<u32>,
    /// How many machines the instance may have.
    pub quota: Option<u32>,
    /// Whether machines end at the moment that their request names.
    pub self_expiry: bool,
    /// Whether each machine asks for a network as a scope item.
    pub network: bool,
    /// How precisely the end of a command is known.
    pub exits: ExitDetail,
    /// Optional verbs that are not offered.
    pub without: BTreeSet<Verb>,
    /// Whether commands can be signalled.
    pub signals: bool,
    /// Whether commands can have a terminal.
    pub tty: bool,
    /// What logs offer.
    pub logs: LogDetail,
    /// Whether machines see folders of the controller: real ones, as they are when they are looked at.
    pub mounts: bool,
    /// How much at once.
    pub limits: Limits,
    /// What may go wrong.
    pub faults: Faults,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            sites: Vec::new(),
            keeps: Keeps::Labels,
            machines: Settling::Replay,
            scopes: Settling::Replay,
            listing_lag: None,
            boot: Span::from_millis(20),
            held: false,
            latency: Span::from_millis(1),
            removal: Span::default(),
            capacity: None,
            quota: None,
            self_expiry: false,
            network: false,
            exits: ExitDetail::Signal,
            without: BTreeSet::new(),
            signals: true,
            tty: true,
            logs: LogDetail::new(true, true),
            mounts: true,
            limits: Limits::default(),
            faults: Faults::default(),
        }
    }
}

/// Every optional verb.
const OPTIONAL: [Verb; 10] = [
    Verb::Stop,
    Verb::Pause,
    Verb::Renew,
    Verb::Snapshot,
    Verb::Exec,
    Verb::CopyIn,
    Verb::CopyOut,
    Verb::Dial,
    Verb::Listen,
    Verb::Logs,
];

impl Settings {
    /// What an instance with these settings can do.
    pub fn capabilities(&self) -> Capabilities {
        let mut capabilities = Capabilities::new(self.keeps, self.machines.settle());
        capabilities.verbs = OPTIONAL
            .into_iter()
            .filter(|verb| !self.without.contains(verb))
            .collect();
        capabilities.unknown_scope = self.scopes.settle();
        capabilities.self_expiry = if self.self_expiry {
            SelfExpiry::Machine
        } else {
            SelfExpiry::None
        };
        if !self.self_expiry {
            capabilities.verbs.remove(&Verb::Renew);
        }
        capabilities.exits = self.exits;
        capabilities.signals = self.signals;
        capabilities.tty = self.tty;
        capabilities.logs = self.logs;
        capabilities.scope_names = true;
        capabilities.mounts = self.mounts;
        capabilities.limits = self.limits;
        capabilities
    }

    /// How long a listing may be behind, for a class of things.
    pub(super) fn lag(&self, settling: Settling) -> Duration {
        self.listing_lag.map_or(settling.visibility(), |lag| lag.0)
    }
}
