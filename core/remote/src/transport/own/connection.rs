//! A connection of russh, and what goes over it.

use std::sync::Arc;

use async_trait::async_trait;
use encamp_core::{Accept, Duplex, Error, ErrorKind};
use russh::client::{Handle, Msg};
use russh::{Channel as Native, ChannelOpenFailure};
use tokio::sync::mpsc;

use super::channel;
use super::handler::{Checks, Handler};
use crate::transport::{Channel, Connection, Refused};

/// Connections to a listener that wait to be accepted.
const WAITING_MAX: usize = 64;
/// What a terminal is called.
const TERM: &str = "xterm-256color";

/// A connection that somebody is logged in on.
pub(super) struct Own {
    handle: Arc<Handle<Handler>>,
    checks: Checks,
    /// The jump host's connection lasts as long as this one.
    _via: Option<Arc<dyn Connection>>,
}

impl std::fmt::Debug for Own {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Own")
            .field("stands", &self.stands())
            .finish_non_exhaustive()
    }
}

impl Own {
    pub(super) fn new(handle: Handle<Handler>, checks: Checks, via: Option<Arc<dyn Connection>>) -> Self {
        Self {
            handle: Arc::new(handle),
            checks,
            _via: via,
        }
    }
}

fn broken(native: impl std::fmt::Display) -> Refused {
    Refused::Broken(native.to_string())
}

#[async_trait]
impl Connection for Own {
    async fn open(&self, command: &str, terminal: bool, patient: bool) -> Result<Channel, Refused> {
        let opened = self.handle.channel_open_session().await;
        let channel = opened.map_err(|native| match native {
            russh::Error::ChannelOpenFailure(ChannelOpenFailure::AdministrativelyProhibited) => {
                Refused::Denied("the host allows no session".to_owned())
            }
            russh::Error::ChannelOpenFailure(_) => Refused::Sessions,
            native => broken(native),
        })?;
        if terminal {
            // Its size is set by the script.
            channel
                .request_pty(false, TERM, 80, 24, 0, 0, &[])
                .await
                .map_err(broken)?;
        }
        channel.exec(false, command).await.map_err(broken)?;
        Ok(channel::attend(channel, patient))
    }

    async fn dial(&self, host: &str, port: u16) -> Result<Duplex, Refused> {
        let opened = self
            .handle
            .channel_open_direct_tcpip(host, u32::from(port), "127.0.0.1", 0)
            .await;
        let channel: Native<Msg> = opened.map_err(|native| match native {
            russh::Error::ChannelOpenFailure(ChannelOpenFailure::AdministrativelyProhibited) => {
                Refused::Denied("administratively prohibited".to_owned())
            }
            russh::Error::ChannelOpenFailure(_) => Refused::Denied("connect failed".to_owned()),
            native => broken(native),
        })?;
        Ok(Box::pin(channel.into_stream()))
    }

    async fn listen(&self, host: &str, port: u16) -> Result<Box<dyn Accept>, Refused> {
        let (to, from) = mpsc::channel(WAITING_MAX);
        self.checks.listens(u32::from(port), to);
        match self.handle.tcpip_forward(host, u32::from(port)).await {
            Ok(_) => Ok(Box::new(Forwarded {
                from,
                handle: Arc::clone(&self.handle),
                checks: self.checks.clone(),
                at: (host.to_owned(), port),
            })),
            Err(native) => {
                self.checks.listens_no_more(u32::from(port));
                Err(match native {
                    russh::Error::RequestDenied => Refused::Denied("the host says no".to_owned()),
                    native => broken(native),
                })
            }
        }
    }

    fn stands(&self) -> bool {
        !self.handle.is_closed()
    }
}

/// Connections that the host accepts.
struct Forwarded {
    from: mpsc::Receiver<Native<Msg>>,
    handle: Arc<Handle<Handler>>,
    checks: Checks,
    at: (String, u16),
}

#[async_trait]
impl Accept for Forwarded {
    async fn accept(&mut self) -> Result<Duplex, Error> {
        let gone = || {
            Error::new(
                ErrorKind::Unavailable,
                "the connection broke over which the host told of others",
            )
        };
        loop {
            // What holds the sender is shared with us, so its end is not told by it.
            match tokio::time::timeout(LOOK_PAUSE, self.from.recv()).await {
                Ok(Some(channel)) => return Ok(Box::pin(channel.into_stream())),
                Ok(None) => return Err(gone()),
                Err(_) if self.handle.is_closed() => return Err(gone()),
                Err(_) => {}
            }
        }
    }
}

/// How often is looked whether the connection stands that a listener waits on.
const LOOK_PAUSE: std::time::Duration = std::time::Duration::from_secs(1);

impl Drop for Forwarded {
    fn drop(&mut self) {
        self.checks.listens_no_more(u32::from(self.at.1));
        let (handle, (host, port)) = (Arc::clone(&self.handle), self.at.clone());
        if let Ok(runtime) = tokio::runtime::Handle::try_current() {
            // Where it fails, the port stays taken as long as the connection.
            runtime.spawn(async move { handle.cancel_tcpip_forward(host, u32::from(port)).await });
        }
    }
}
