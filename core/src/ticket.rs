//! The right to make one change, from a committed intent.

use crate::{Key, Verb};

/// Says that the intent to do `verb` to `key` is durable. Only the journal makes tickets.
///
/// Not `Clone`: one ticket, one send. The ticket layer refuses a call whose target
/// is not the ticket's.
#[derive(Debug)]
#[non_exhaustive]
pub struct Ticket {
    key: Key,
    verb: Verb,
    epoch: u64,
}

impl Ticket {
    /// For the journal, after the transaction that made the intent durable; and for
    /// conformance tests, which stand in for it.
    pub fn of_committed_intent(key: Key, verb: Verb, epoch: u64) -> Self {
        Self { key, verb, epoch }
    }

    /// The object that may be changed.
    pub fn key(&self) -> &Key {
        &self.key
    }

    /// The change that may be made.
    pub fn verb(&self) -> Verb {
        self.verb
    }

    /// The epoch of the tenure under which the intent was committed.
    pub fn epoch(&self) -> u64 {
        self.epoch
    }
}
