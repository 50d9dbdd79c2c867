//! The simulated kind, in the configurations between which the contract makes a difference.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use encamp_core::memory::{World, kind};
use encamp_core::{Ambient, Cx, InstanceName, Kind, Provider, Result, Time, Value};
use encamp_testkit::{Bounds, Factory};
use serde_json::json;

/// All configurations.
pub(crate) fn factories() -> Vec<Arc<dyn Factory>> {
    let lookup = json!({ "lookup": { "request_life": "500ms", "visibility": "200ms" } });
    let configurations = [
        ("memory", json!({ "network": true, "boot": "0ms" })),
        (
            "memory-held",
            json!({ "held": true, "removal": "100ms", "self_expiry": true, "exits": "code", "network": true }),
        ),
        (
            "memory-lookup",
            json!({ "machines": lookup, "scopes": lookup, "network": true, "latency": "5ms" }),
        ),
        (
            "memory-tokens",
            json!({ "machines": { "replay_for": "20h" }, "sites": ["east", "west"] }),
        ),
        (
            "memory-key",
            json!({ "keeps": "key", "logs": { "follow": false, "since": false }, "network": true }),
        ),
        (
            "memory-least",
            json!({
                "mounts": false,
                "without": ["stop", "pause", "renew", "snapshot", "exec", "copy_in", "copy_out", "dial", "listen", "logs"],
            }),
        ),
        (
            "memory-plain-commands",
            json!({ "signals": false, "tty": false, "logs": { "follow": true, "since": false } }),
        ),
    ];
    let factory = |(name, settings)| Arc::new(Memory::new(name, settings)) as Arc<dyn Factory>;
    configurations.into_iter().map(factory).collect()
}

struct Memory {
    name: &'static str,
    settings: Value,
    world: World,
}

impl Memory {
    fn new(name: &'static str, settings: Value) -> Self {
        let world = World::new(1);
        Self { name, settings, world }
    }
}

#[async_trait]
impl Factory for Memory {
    fn name(&self) -> &str {
        self.name
    }

    fn kind(&self) -> Arc<dyn Kind> {
        kind(self.world.clone())
    }

    async fn connect(&self) -> Result<Arc<dyn Provider>> {
        let cx = Cx::within(Duration::from_secs(10));
        let name = InstanceName::new("memory").map_err(|error| {
            encamp_core::Error::new(encamp_core::ErrorKind::Internal, "the instance has no name").caused_by(error)
        })?;
        self.kind()
            .connect(&cx, name, self.settings.clone(), Ambient::none())
            .await
    }

    fn plain(&self) -> Value {
        json!({ "image": "any" })
    }

    fn invalid(&self) -> Value {
        json!({ "image": "any", "boot": "soon" })
    }

    fn exits(&self, code: i32) -> Option<Value> {
        Some(json!({ "image": "any", "exits": code }))
    }

    fn says(&self, line: &str) -> Option<Value> {
        Some(json!({ "image": "any", "says": [line], "repeats": "100ms" }))
    }

    fn heeds(&self, begun: &str, asked: &str) -> Option<Value> {
        Some(json!({ "image": "any", "says": [begun], "heeds": asked }))
    }

    fn health(&self, holds: bool) -> Option<Value> {
        let fails = (!holds).then_some("no answer");
        Some(json!({ "image": "any", "health": { "after": "100ms", "fails": fails } }))
    }

    fn echoes(&self, port: u16) -> Option<Value> {
        Some(json!({ "image": "any", "listens": [port] }))
    }

    fn shares(&self) -> Value {
        json!({ "image": "any", "volumes": { "data": "/data" } })
    }

    fn shared_folder(&self) -> Option<&str> {
        Some("/data")
    }

    fn user(&self) -> Option<&str> {
        Some("1000")
    }

    fn now(&self) -> Time {
        self.world.now()
    }

    /// The first configuration goes by the real clock, on several threads; the others need not.
    fn simulated(&self) -> Option<Arc<dyn Factory>> {
        (self.name != "memory").then(|| Arc::new(Self::new(self.name, self.settings.clone())) as _)
    }

    fn bounds(&self) -> Bounds {
        Bounds::new(Duration::from_secs(20), Duration::from_secs(20))
    }
}
