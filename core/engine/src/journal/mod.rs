//! The journal: what was intended, what was sent, what was seen.
//!
//! The rules stand once, in [`rules`](apply); a store supplies rows and transactions. [`Sqlite`] is durable;
//! [`Memory`] is its twin for simulations.

mod memory;
mod migrate;
mod op;
mod rows;
mod rules;
mod sqlite;
#[cfg(test)]
mod tests;

use std::fmt::Debug;

use async_trait::async_trait;
use encamp_core::{EnvId, Result, Site, Time};

pub use memory::Memory;
pub use op::{Answer, Op, Refusal};
pub use rows::{
    ControllerFile, EnvironmentRow, Epoch, Holder, IntentRef, IntentRow, IntentState, Purpose, SetUp, SightingRow,
    SiteRow, Took, Wanted,
};
pub use rules::apply;
pub use sqlite::Sqlite;

/// Rows within one transaction.
pub trait Tables {
    /// An environment.
    fn environment(&self, id: &EnvId) -> Result<Option<EnvironmentRow>>;
    /// All environments, tombstones too.
    fn environments(&self) -> Result<Vec<EnvironmentRow>>;
    /// Writes an environment.
    fn put_environment(&mut self, row: &EnvironmentRow) -> Result<()>;
    /// Forgets an environment and its intents.
    fn remove_environment(&mut self, id: &EnvId) -> Result<()>;
    /// One intent.
    fn intent(&self, reference: &IntentRef) -> Result<Option<IntentRow>>;
    /// All intents of an environment.
    fn intents(&self, environment: &EnvId) -> Result<Vec<IntentRow>>;
    /// The highest generation of an object on any site.
    fn newest_generation(&self, reference: &IntentRef) -> Result<Option<IntentRow>>;
    /// Writes an intent.
    fn put_intent(&mut self, row: &IntentRow) -> Result<()>;
    /// One site.
    fn site(&self, site: &Site) -> Result<Option<SiteRow>>;
    /// All sites.
    fn sites(&self) -> Result<Vec<SiteRow>>;
    /// Writes a site.
    fn put_site(&mut self, row: &SiteRow) -> Result<()>;
    /// Forgets a site.
    fn remove_site(&mut self, site: &Site) -> Result<()>;
    /// All sightings.
    fn sightings(&self) -> Result<Vec<SightingRow>>;
    /// Writes a sighting.
    fn put_sighting(&mut self, row: &SightingRow) -> Result<()>;
    /// Forgets a sighting.
    fn remove_sighting(&mut self, site: &Site, key: &str) -> Result<()>;
}

/// A store of journal rows.
#[async_trait]
pub trait Journal: Debug + Send + Sync + 'static {
    /// Applies one operation in a transaction that is durable when this returns. `now` is written into rows.
    async fn apply(&self, op: Op, now: Time) -> Result<Answer>;
    /// All environments, tombstones too.
    async fn environments(&self) -> Result<Vec<EnvironmentRow>>;
    /// One environment.
    async fn environment(&self, id: &EnvId) -> Result<Option<EnvironmentRow>>;
    /// All intents of an environment, tombstones too.
    async fn intents(&self, environment: &EnvId) -> Result<Vec<IntentRow>>;
    /// All sites.
    async fn sites(&self) -> Result<Vec<SiteRow>>;
    /// All sightings.
    async fn sightings(&self) -> Result<Vec<SightingRow>>;
}
