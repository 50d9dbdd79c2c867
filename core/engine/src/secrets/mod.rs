//! Secrets: where their values come from, where they may go, and that nothing of them is seen elsewhere.
//!
//! `resolve` reads all of them before anything is started. From then on a session has
//! them [`InHand`]. A machine gets them as files from a [`Folder`] in the controller's memory. A request that the
//! journal keeps holds [markers](mark), which are [filled](fill_create) in for the moment of sending. Everything that
//! leaves the engine as text goes through a [`Redactor`]: events, reports, saved logs, errors, what the journal keeps
//! of failures. Artifacts are the user's own files and stay as they are.
//!
//! A secret of less than [`SHORTEST`] characters is used and not redacted, and a note says so: it would tear holes
//! into every text.

#[cfg(test)]
mod canary;
mod command;
mod folder;
mod forms;
mod marker;
mod redactor;
mod resolve;
mod stream;

use std::collections::BTreeMap;
use std::sync::Arc;

use encamp_core::{EnvId, Name, Result, Secret};

pub use self::folder::Folder;
pub use self::forms::SHORTEST;
pub use self::marker::{check, fill, fill_create, mark};
pub use self::redactor::Redactor;
pub(crate) use self::resolve::resolve;

/// The secrets of one command, and what keeps them out of texts.
#[derive(Debug, Clone, Default)]
pub struct InHand {
    values: Arc<BTreeMap<Name, Secret>>,
    redactor: Redactor,
}

impl InHand {
    /// These.
    pub fn new(values: BTreeMap<Name, Secret>) -> Self {
        Self {
            redactor: Redactor::of(values.values()),
            values: Arc::new(values),
        }
    }

    /// The same, with more that is to be redacted: values of before.
    #[must_use]
    pub fn beside(self, others: &[Secret]) -> Self {
        let redactor = Redactor::of(self.values.values().chain(others));
        Self { redactor, ..self }
    }

    /// Those that an earlier command left in memory.
    pub(crate) fn left(folder: &Folder, environment: &EnvId) -> Result<Self> {
        let all = folder.values(environment)?;
        if all.is_empty() {
            return Ok(Self::default());
        }
        Ok(Self {
            values: Arc::new(folder.named(environment)?),
            redactor: Redactor::of(&all),
        })
    }

    /// Their values, for what is rendered and sent at once.
    pub fn values(&self) -> Arc<BTreeMap<Name, Secret>> {
        Arc::clone(&self.values)
    }

    /// A marker for each, for what is rendered and kept.
    pub fn marked(&self) -> Arc<BTreeMap<Name, Secret>> {
        Arc::new(mark(self.values.keys()))
    }

    /// What keeps them out of texts.
    pub fn redactor(&self) -> &Redactor {
        &self.redactor
    }
}
