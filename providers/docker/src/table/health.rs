//! A health check beside the image's own.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Line, Span};

/// How often it is asked whether a machine is well. What is not said is the image's own, or the engine's default.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
pub struct HealthCheck {
    /// The command that exits with 0 where all is well: text for the image's shell, or a list; the image's own where
    /// none is given.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub test: Option<Line>,
    /// The pause between two checks; the engine's default is 30s.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub interval: Option<Span>,
    /// How long one check may take.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub timeout: Option<Span>,
    /// How many failures in a row mean that it is not well.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub retries: Option<u32>,
    /// How long after its start failures do not count.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub start_period: Option<Span>,
}

impl HealthCheck {
    /// A check by a command.
    pub fn test(test: impl Into<Line>) -> Self {
        Self {
            test: Some(test.into()),
            ..Self::default()
        }
    }

    /// The command as the engine takes it; empty for the image's own.
    pub(crate) fn to_argv(&self) -> Vec<String> {
        let (how, words) = match &self.test {
            None => return Vec::new(),
            Some(Line::Shell(line)) => ("CMD-SHELL", vec![line.clone()]),
            Some(Line::Words(words)) => ("CMD", words.clone()),
        };
        std::iter::once(how.to_owned()).chain(words).collect()
    }
}
