//! Set-up and services of a program.

use std::time::Duration;

use encamp_core::Value;
use serde_json::Map;

use super::span;
use super::text::{Command, Text};

/// A step of a machine's set-up.
#[derive(Debug, Clone)]
#[must_use]
pub struct Step(Map<String, Value>);

impl Step {
    fn of(key: &str, value: Value) -> Self {
        Self(Map::from_iter([(key.to_owned(), value)]))
    }

    pub(super) fn into_value(self) -> Value {
        Value::Object(self.0)
    }

    /// Runs a command in the machine.
    pub fn run(command: impl Into<Command>) -> Self {
        Self::of("run", command.into().into_value())
    }

    /// Copies a file, or what is in a folder, to a path of the machine.
    pub fn copy(from: impl Into<Text>, to: impl Into<Text>) -> Self {
        Self::of("copy", from.into().into_value()).set("to", to.into().into_value())
    }

    /// Renders a template file to a path of the machine.
    pub fn template(from: impl Into<Text>, to: impl Into<Text>) -> Self {
        Self::of("template", from.into().into_value()).set("to", to.into().into_value())
    }

    /// Runs once the machine's own conditions of readiness hold.
    pub fn after_ready(self) -> Self {
        self.set("after", "ready")
    }

    /// How long it may take.
    pub fn timeout(self, timeout: Duration) -> Self {
        self.set("timeout", span(timeout))
    }

    /// Any other key of a step, as a file would have it.
    pub fn set(mut self, key: impl Into<String>, value: impl Into<Value>) -> Self {
        self.0.insert(key.into(), value.into());
        self
    }
}

/// A supervised process of a machine.
#[derive(Debug, Clone)]
#[must_use]
pub struct Service(Map<String, Value>);

impl Service {
    /// Runs a command.
    pub fn run(command: impl Into<Command>) -> Self {
        Self(Map::from_iter([("run".to_owned(), command.into().into_value())]))
    }

    /// Started again where it fails.
    pub fn restart_on_failure(self) -> Self {
        self.set("restart", "on-failure")
    }

    /// Any other key of a service, as a file would have it.
    pub fn set(mut self, key: impl Into<String>, value: impl Into<Value>) -> Self {
        self.0.insert(key.into(), value.into());
        self
    }

    pub(super) fn into_value(self) -> Value {
        Value::Object(self.0)
    }
}
