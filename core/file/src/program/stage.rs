//! What a program runs on its environment.

use std::time::Duration;

use encamp_core::Value;
use serde_json::Map;

use super::text::{Command, Text};
use super::{push, span, within};

/// Tasks that run one after the other.
#[derive(Debug, Clone)]
#[must_use]
pub struct Stage(Map<String, Value>);

impl Stage {
    /// A stage without tasks.
    pub fn new(name: impl Into<String>) -> Self {
        Self(Map::from_iter([("name".to_owned(), Value::String(name.into()))]))
    }

    /// With one more task.
    pub fn task(mut self, task: Task) -> Self {
        push(&mut self.0, "tasks", Value::Object(task.0));
        self
    }

    /// All of its tasks at once.
    pub fn parallel(self) -> Self {
        self.set("parallel", true)
    }

    /// Any other key of a stage, as a file would have it.
    pub fn set(mut self, key: impl Into<String>, value: impl Into<Value>) -> Self {
        self.0.insert(key.into(), value.into());
        self
    }

    pub(super) fn into_value(self) -> Value {
        Value::Object(self.0)
    }
}

/// Work on a machine, on each member of a group, or beside encamp itself, on `controller`.
#[derive(Debug, Clone)]
#[must_use]
pub struct Task(Map<String, Value>);

impl Task {
    /// A task that runs a command there.
    pub fn new(name: impl Into<String>, on: impl Into<String>, command: impl Into<Command>) -> Self {
        Self(Map::from_iter([
            ("name".to_owned(), Value::String(name.into())),
            ("on".to_owned(), Value::String(on.into())),
            ("run".to_owned(), command.into().into_value()),
        ]))
    }

    /// With a variable.
    pub fn env(mut self, name: impl Into<String>, value: impl Into<Text>) -> Self {
        within(&mut self.0, "env").insert(name.into(), value.into().into_value());
        self
    }

    /// How long it may take.
    pub fn timeout(self, timeout: Duration) -> Self {
        self.set("timeout", span(timeout))
    }

    /// Any other key of a task, as a file would have it.
    pub fn set(mut self, key: impl Into<String>, value: impl Into<Value>) -> Self {
        self.0.insert(key.into(), value.into());
        self
    }
}
