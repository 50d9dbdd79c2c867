//! The identity of the infrastructure behind a call.

use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// `docker:<engine id>`, `aws:<account>:<region>`, `ssh:<machine-id>`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(transparent)]
pub struct Site(String);

impl Site {
    /// Takes a text as a site.
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Site {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}
