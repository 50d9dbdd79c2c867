//! What keeps a place free takes.

use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{Site, Value};

/// Keeps a candidate's place free for an environment whose machines are still to be created.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[non_exhaustive]
pub struct Reserve {
    /// The candidate's site.
    pub site: Site,
    /// The candidate's body.
    pub body: Value,
    /// What the keys of the environment's machines begin with
    /// ([`ControllerPrefix::of_environment`](crate::ControllerPrefix::of_environment)).
    pub owner: String,
    /// How long from now, by the clock of whoever keeps it; nothing gives it back.
    pub span: Duration,
}

impl Reserve {
    /// Keeps the place for so long.
    pub fn new(site: Site, body: Value, owner: impl Into<String>, span: Duration) -> Self {
        Self {
            site,
            body,
            owner: owner.into(),
            span,
        }
    }
}
