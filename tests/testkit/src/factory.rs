//! What the suite must be told about a provider.

use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use encamp_core::{Kind, Provider, Result, Time, Value};

/// How long the suite waits for what takes a while on real infrastructure.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Bounds {
    /// From `start` to running, and for any other call.
    pub running: Duration,
    /// From `destroy` to gone.
    pub gone: Duration,
}

impl Default for Bounds {
    fn default() -> Self {
        Self {
            running: Duration::from_mins(1),
            gone: Duration::from_mins(1),
        }
    }
}

impl Bounds {
    /// So long to running, so long to gone.
    pub fn new(running: Duration, gone: Duration) -> Self {
        Self { running, gone }
    }
}

/// A provider under test: how to connect, and tables that it understands.
///
/// What a table cannot express for a kind is `None`, and what would need it is listed as not offered.
#[async_trait]
pub trait Factory: Send + Sync + 'static {
    /// The name in the report, `docker` for example.
    fn name(&self) -> &str;

    /// The kind.
    fn kind(&self) -> Arc<dyn Kind>;

    /// Connects a fresh instance to the same infrastructure.
    async fn connect(&self) -> Result<Arc<dyn Provider>>;

    /// A machine that runs until it is destroyed.
    fn plain(&self) -> Value;

    /// A table that is wrong.
    fn invalid(&self) -> Value;

    /// A machine whose main process ends at once with a code.
    fn exits(&self, _code: i32) -> Option<Value> {
        None
    }

    /// A machine whose main process says a line, and says it again every second at most.
    fn says(&self, _line: &str) -> Option<Value> {
        None
    }

    /// A machine whose main process says one line as soon as it would hear a request to end, the other at that request,
    /// and then ends.
    fn heeds(&self, _begun: &str, _asked: &str) -> Option<Value> {
        None
    }

    /// A machine whose image has a health check of its own, which soon holds, or soon fails with some words.
    fn health(&self, _holds: bool) -> Option<Value> {
        None
    }

    /// A machine that gives back what it gets on a TCP port.
    fn echoes(&self, _port: u16) -> Option<Value> {
        None
    }

    /// The port on which one of its machines listens, and after which none does. Where machines are in the network of a
    /// host, others there must not have it.
    fn port(&self) -> u16 {
        7007
    }

    /// A machine that asks for something to be shared in its environment, where a plain one does not.
    fn shares(&self) -> Value {
        self.plain()
    }

    /// A folder of that machine which is no part of its images, where there is one.
    fn shared_folder(&self) -> Option<&str> {
        None
    }

    /// The command that runs a script of a POSIX shell.
    fn sh(&self, script: &str) -> Vec<String> {
        ["sh", "-c", script].map(str::to_owned).to_vec()
    }

    /// The command in a machine that succeeds where a name leads to an address.
    fn resolves(&self, _name: &str) -> Option<Vec<String>> {
        None
    }

    /// The number of a user who is not the machine's own.
    fn user(&self) -> Option<&str> {
        None
    }

    /// A folder that a machine's own user can write.
    #[expect(clippy::unnecessary_literal_bound, reason = "another provider's may be computed")]
    fn folder(&self) -> &str {
        "/tmp"
    }

    /// The infrastructure's wall clock.
    #[expect(clippy::disallowed_methods, reason = "real infrastructure goes by the real clock")]
    fn now(&self) -> Time {
        let since = std::time::SystemTime::now()
            .duration_since(std::time::UNIX_EPOCH)
            .unwrap_or_default();
        Time::from_unix_millis(i64::try_from(since.as_millis()).unwrap_or(i64::MAX))
    }

    /// Where the infrastructure is simulated on tokio's time: another one of the same kind, for one promise alone.
    /// Its time is paused, so that waiting takes none.
    fn simulated(&self) -> Option<Arc<dyn Factory>> {
        None
    }

    /// The command of a program that makes one call by [`make_call`](crate::make_call), with an instance of this factory:
    /// it is killed in the middle of it, as a crash would. Without one, that is not tried.
    fn caller(&self) -> Option<Command> {
        None
    }

    /// Whether that program starts a command for each call which can die in the middle too, as scripts do.
    fn has_commands(&self) -> bool {
        false
    }

    /// An instance whose infrastructure answers nothing: all that it asks fails. What it lists then is not everything.
    async fn helpless(&self) -> Option<Result<Arc<dyn Provider>>> {
        None
    }

    /// How long to wait.
    fn bounds(&self) -> Bounds {
        Bounds::default()
    }
}
