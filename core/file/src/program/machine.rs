//! A machine of a program.

use encamp_core::Value;
use encamp_core::table::KindTable;
use serde_json::{Map, json};

use super::ready::Ready;
use super::step::{Service, Step};
use super::text::{Text, literally};
use super::{push, within};

/// A described machine, or a group of alike ones.
#[derive(Debug, Clone)]
#[must_use]
pub struct Machine {
    name: String,
    keys: Map<String, Value>,
}

impl Machine {
    /// A machine on a provider instance: `docker` and `local` are there by their kinds' names.
    pub fn new(name: impl Into<String>, provider: impl Into<String>) -> Self {
        Self {
            name: name.into(),
            keys: Map::from_iter([("provider".to_owned(), Value::String(provider.into()))]),
        }
    }

    pub(super) fn into_parts(self) -> (String, Value) {
        (self.name, Value::Object(self.keys))
    }

    /// What its kind makes it of. Texts in it are taken as they are.
    pub fn table(self, table: &impl KindTable) -> Self {
        let json = literally(table.to_json());
        self.set(table.kind(), json)
    }

    /// The same for a kind without a typed table, as a file has it: what stands between `{{` and `}}` is an expression.
    pub fn table_json(self, kind: impl Into<String>, table: Value) -> Self {
        self.set(kind, table)
    }

    /// A group of so many: `web-0`, `web-1`, …
    pub fn count(self, count: u32) -> Self {
        self.set("count", count)
    }

    /// The members of the group one after the other.
    pub fn serial(self) -> Self {
        self.set("serial", true)
    }

    /// With a variable.
    pub fn env(mut self, name: impl Into<String>, value: impl Into<Text>) -> Self {
        within(&mut self.keys, "env").insert(name.into(), value.into().into_value());
        self
    }

    /// With a secret as a file, whose path stands in the variable `NAME_FILE`: `expr("{{ secret('db-password') }}")`.
    pub fn secret(mut self, name: impl Into<String>, value: impl Into<Text>) -> Self {
        within(&mut self.keys, "secrets").insert(name.into(), value.into().into_value());
        self
    }

    /// With a TCP port, by a name that others use.
    pub fn port(mut self, name: impl Into<String>, port: u16) -> Self {
        within(&mut self.keys, "ports").insert(name.into(), json!(port));
        self
    }

    /// With a condition of readiness; all of them have to hold.
    pub fn ready(mut self, ready: Ready) -> Self {
        push(&mut self.keys, "ready", ready.into_value());
        self
    }

    /// With a step of its set-up, after those that were added before.
    pub fn step(mut self, step: Step) -> Self {
        push(&mut self.keys, "setup", step.into_value());
        self
    }

    /// With a supervised process.
    pub fn service(mut self, name: impl Into<String>, service: Service) -> Self {
        within(&mut self.keys, "services").insert(name.into(), service.into_value());
        self
    }

    /// Any other key of a machine, as a file would have it.
    pub fn set(mut self, key: impl Into<String>, value: impl Into<Value>) -> Self {
        self.keys.insert(key.into(), value.into());
        self
    }
}
