//! Conditions of readiness of a program.

use std::time::Duration;

use encamp_core::Value;
use serde_json::{Map, json};

use super::span;
use super::text::{Command, Text};

/// Something that must hold before a machine counts as ready.
#[derive(Debug, Clone)]
#[must_use]
pub struct Ready(Map<String, Value>);

impl Ready {
    fn of(key: &str, value: Value) -> Self {
        Self(Map::from_iter([(key.to_owned(), value)]))
    }

    pub(super) fn into_value(self) -> Value {
        Value::Object(self.0)
    }

    /// Somebody listens on a port, seen from the machine's own network.
    pub fn tcp(port: impl Into<String>) -> Self {
        Self::of("tcp", Value::String(port.into()))
    }

    /// A path of a port answers with a status below 400.
    pub fn http(port: impl Into<String>, path: impl Into<Text>) -> Self {
        Self::of("http", Value::String(port.into())).set("path", path.into().into_value())
    }

    /// A command in the machine ends with 0.
    pub fn run(command: impl Into<Command>) -> Self {
        Self::of("run", command.into().into_value())
    }

    /// The machine's log has a line that a regular expression matches.
    pub fn log(pattern: impl Into<Text>) -> Self {
        Self::of("log", pattern.into().into_value())
    }

    /// A file is there.
    pub fn file(path: impl Into<Text>) -> Self {
        Self::of("file", path.into().into_value())
    }

    /// Its command has ended, with 0.
    pub fn exited() -> Self {
        Self::of("exited", json!(0))
    }

    /// The image's own health check.
    pub fn healthcheck() -> Self {
        Self::of("healthcheck", json!(true))
    }

    /// It can be logged in to over SSH: for machines whose provider says that they are reached so.
    pub fn ssh() -> Self {
        Self::of("ssh", json!(true))
    }

    /// cloud-init is done in it, without an error.
    pub fn cloud_init() -> Self {
        Self::of("cloud_init", json!(true))
    }

    /// At the latest this long after the machine runs.
    pub fn within(self, within: Duration) -> Self {
        self.set("within", span(within))
    }

    /// How often it is tried.
    pub fn every(self, every: Duration) -> Self {
        self.set("every", span(every))
    }

    /// For this long without a break.
    pub fn stable(self, stable: Duration) -> Self {
        self.set("stable", span(stable))
    }

    /// Judged on every member once the whole group runs.
    pub fn of_group(self) -> Self {
        self.set("of", "group")
    }

    /// Any other key of a condition, as a file would have it.
    pub fn set(mut self, key: impl Into<String>, value: impl Into<Value>) -> Self {
        self.0.insert(key.into(), value.into());
        self
    }
}
