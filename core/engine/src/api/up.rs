//! An `up` between its plan and its work.

use encamp_core::{Result, Time};
use tokio_util::sync::CancellationToken;

use super::runtime::Engine;
use crate::plan::Plan;
use crate::verbs::preview::Preview;
use crate::verbs::up::{Pending, UpReport};

/// Holds the environment, knows the plan, and has changed nothing yet.
#[derive(Debug)]
pub struct Up {
    engine: Engine,
    pending: Box<Pending>,
}

impl Up {
    pub(super) fn new(engine: Engine, pending: Pending) -> Self {
        Self {
            engine,
            pending: Box::new(pending),
        }
    }

    /// What is to be done.
    pub fn plan(&self) -> &Plan {
        self.pending.plan()
    }

    /// The plan with what providers would make of it.
    pub async fn preview(&self) -> Result<Preview> {
        let preview = self.pending.preview();
        self.engine.run(async move { Ok(preview.await) }).await
    }

    /// The environment's name.
    pub fn environment(&self) -> &str {
        self.pending.environment()
    }

    /// Whether the environment does not exist yet.
    pub fn is_new(&self) -> bool {
        self.pending.is_new()
    }

    /// When the lease will end.
    pub fn ends(&self) -> Time {
        self.pending.ends()
    }

    /// Stops the work between two steps, from another place; [`execute`](Self::execute) returns then.
    pub fn stopper(&self) -> CancellationToken {
        self.pending.stopper()
    }

    /// Does what is planned.
    pub async fn execute(self) -> Result<UpReport> {
        let pending = self.pending;
        self.engine.run(async move { pending.execute().await }).await
    }

    /// Gives the environment back unchanged.
    pub async fn abandon(self) -> Result<()> {
        let pending = self.pending;
        self.engine.run(async move { pending.abandon().await }).await
    }
}
