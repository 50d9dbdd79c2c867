//! Where an object stands.

use crate::journal::{IntentRow, IntentState};

/// Where an object stands, as its executor knows it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum State {
    /// The intent is durable; nothing has been sent.
    Planned,
    /// The create is on its way.
    Creating,
    /// The outcome of the create is not known.
    Unknown,
    /// It exists; its start is due.
    Seen,
    /// It was started; what readiness asks for is due.
    Started,
    /// Everything that readiness asks for holds.
    Ready,
    /// It will not become ready. It may exist.
    Failed,
    /// It is to go; only the destroyer may touch it.
    Dying {
        /// A create of it has an unknown outcome, which comes first.
        unsettled: bool,
    },
    /// It is proved to be gone.
    Gone,
}

impl State {
    /// Where the journal left an object.
    pub fn recorded(row: &IntentRow) -> Self {
        match row.state {
            IntentState::Planned => Self::Planned,
            IntentState::Sent => Self::Creating,
            IntentState::Unknown => Self::Unknown,
            IntentState::Seen => Self::Seen,
            IntentState::Ready => Self::Ready,
            IntentState::Dying => Self::Dying {
                unsettled: row.unsettled,
            },
            IntentState::Gone => Self::Gone,
        }
    }
}
