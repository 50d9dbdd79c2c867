//! Ways to a host: one trait, an implementation a folder.

#[cfg(feature = "russh")]
pub(crate) mod own;
pub(crate) mod system;

use std::fmt::Debug;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use encamp_core::{Accept, BoxRead, BoxWrite, Cx, Duplex, Result, SshAccess};
use futures_util::future::BoxFuture;

use crate::error::Failure;
use crate::fingerprint::HostKey;

/// Where to, and by what the host and we prove ourselves.
#[derive(Debug, Clone)]
pub(crate) struct Route {
    pub(crate) access: SshAccess,
    /// What the host may show; nothing else is accepted.
    pub(crate) host_keys: Vec<HostKey>,
    /// The private key; the user's agent, and whatever their configuration names, where there is none.
    pub(crate) key: Option<PathBuf>,
    /// How long a connection may be silent before it is asked whether it is there. After three questions it is not.
    pub(crate) keepalive: Duration,
}

/// Makes connections.
#[async_trait]
pub(crate) trait Transport: Debug + Send + Sync {
    /// Connects and logs in, through `via` where there is one. Tried once.
    async fn connect(
        &self,
        cx: &Cx,
        route: &Route,
        via: Option<Arc<dyn Connection>>,
    ) -> Result<Arc<dyn Connection>, Failure>;

    /// Whether a reader that stands still lets its whole connection do so.
    fn stands_still_with_a_reader(&self) -> bool {
        false
    }
}

/// A connection that somebody is logged in on.
#[async_trait]
pub(crate) trait Connection: Debug + Send + Sync {
    /// Opens a session that runs `command`, a line for the user's login shell. A `patient` one has its connection for
    /// itself, where that is needed to wait for a reader.
    async fn open(&self, command: &str, terminal: bool, patient: bool) -> Result<Channel, Refused>;

    /// Connects from the host to `host:port`.
    async fn dial(&self, host: &str, port: u16) -> Result<Duplex, Refused>;

    /// Listens on the host at `host:port`.
    async fn listen(&self, host: &str, port: u16) -> Result<Box<dyn Accept>, Refused>;

    /// Whether it stands, as far as is known.
    fn stands(&self) -> bool;

    /// How the system's client goes through it to another host; none where it is no connection of that client.
    fn proxy_command(&self) -> Option<String> {
        None
    }
}

/// Why there is no channel.
#[derive(Debug)]
pub(crate) enum Refused {
    /// The host takes no further session on this connection.
    #[cfg_attr(
        not(any(test, feature = "russh")),
        expect(dead_code, reason = "only the client of our own is told so")
    )]
    Sessions,
    /// The connection does not stand any more, or breaks now.
    Broken(String),
    /// The host says no.
    Denied(String),
}

/// A session. It has ended when both outputs have.
pub(crate) struct Channel {
    pub(crate) stdin: BoxWrite,
    pub(crate) stdout: BoxRead,
    pub(crate) stderr: BoxRead,
    /// How it ended; awaited after the outputs.
    pub(crate) end: BoxFuture<'static, End>,
}

/// How a session ended.
#[derive(Debug, Default)]
pub(crate) struct End {
    /// It never began, because the host takes no further one on this connection.
    pub(crate) refused: bool,
    /// It was given up, because its reader stood still and others would have had to.
    pub(crate) stalled: bool,
    /// What it exited with, where that was told.
    pub(crate) status: Option<i32>,
    /// In the client's words.
    pub(crate) words: String,
}
