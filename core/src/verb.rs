//! The verbs of the contract, as data.

use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A verb of [`Provider`](crate::Provider), or `connect` of [`Kind`](crate::Kind).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Verb {
    #[expect(missing_docs, reason = "each is documented at the trait's method of that name")]
    Connect,
    #[expect(missing_docs, reason = "as above")]
    Check,
    #[expect(missing_docs, reason = "as above")]
    Resolve,
    #[expect(missing_docs, reason = "as above")]
    Inspect,
    #[expect(missing_docs, reason = "as above")]
    List,
    #[expect(missing_docs, reason = "as above")]
    Prepare,
    #[expect(missing_docs, reason = "as above")]
    Prune,
    #[expect(missing_docs, reason = "as above")]
    OpenScope,
    #[expect(missing_docs, reason = "as above")]
    CloseScope,
    #[expect(missing_docs, reason = "as above")]
    Reserve,
    #[expect(missing_docs, reason = "as above")]
    Create,
    #[expect(missing_docs, reason = "as above")]
    Start,
    #[expect(missing_docs, reason = "as above")]
    Stop,
    #[expect(missing_docs, reason = "as above")]
    Pause,
    #[expect(missing_docs, reason = "as above")]
    Renew,
    #[expect(missing_docs, reason = "as above")]
    Destroy,
    #[expect(missing_docs, reason = "as above")]
    Snapshot,
    #[expect(missing_docs, reason = "as above")]
    Exec,
    #[expect(missing_docs, reason = "as above")]
    CopyIn,
    #[expect(missing_docs, reason = "as above")]
    CopyOut,
    #[expect(missing_docs, reason = "as above")]
    Dial,
    #[expect(missing_docs, reason = "as above")]
    Listen,
    #[expect(missing_docs, reason = "as above")]
    Logs,
}

impl Verb {
    /// The word used in messages, rows and capabilities.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Connect => "connect",
            Self::Check => "check",
            Self::Resolve => "resolve",
            Self::Inspect => "inspect",
            Self::List => "list",
            Self::Prepare => "prepare",
            Self::Prune => "prune",
            Self::OpenScope => "open_scope",
            Self::CloseScope => "close_scope",
            Self::Reserve => "reserve",
            Self::Create => "create",
            Self::Start => "start",
            Self::Stop => "stop",
            Self::Pause => "pause",
            Self::Renew => "renew",
            Self::Destroy => "destroy",
            Self::Snapshot => "snapshot",
            Self::Exec => "exec",
            Self::CopyIn => "copy_in",
            Self::CopyOut => "copy_out",
            Self::Dial => "dial",
            Self::Listen => "listen",
            Self::Logs => "logs",
        }
    }

    /// Whether the verb changes infrastructure, and so needs a [`Ticket`](crate::Ticket).
    pub fn is_change(self) -> bool {
        matches!(
            self,
            Self::OpenScope
                | Self::CloseScope
                | Self::Create
                | Self::Start
                | Self::Stop
                | Self::Pause
                | Self::Renew
                | Self::Destroy
                | Self::Snapshot
        )
    }

    /// Whether the verb may be repeated freely.
    pub fn is_read(self) -> bool {
        matches!(self, Self::Check | Self::Resolve | Self::Inspect | Self::List)
    }
}

impl fmt::Display for Verb {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
