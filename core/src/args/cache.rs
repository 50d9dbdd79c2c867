//! What the verbs that only save time take.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::Time;

/// Removes what was built for machines and is not wanted any more.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[non_exhaustive]
pub struct Prune {
    /// Nobody has prepared it since.
    pub unused_since: Time,
}

impl Prune {
    /// What nobody has prepared since then.
    pub fn new(unused_since: Time) -> Self {
        Self { unused_since }
    }
}
