//! What a host may show us and send us.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use russh::Channel;
use russh::client::{self, ChannelOpenHandle, Msg, Session};
use russh::keys::PublicKeyOrCertificate;
use tokio::sync::mpsc;

use crate::fingerprint::HostKey;

/// What the connection's task and we share.
#[derive(Debug, Clone, Default)]
pub(super) struct Checks(Arc<Mutex<Shared>>);

#[derive(Debug, Default)]
struct Shared {
    refused: Option<String>,
    listeners: HashMap<u32, mpsc::Sender<Channel<Msg>>>,
}

impl Checks {
    fn shared(&self) -> std::sync::MutexGuard<'_, Shared> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The fingerprint of a key that was not accepted.
    pub(super) fn refused(&self) -> Option<String> {
        self.shared().refused.clone()
    }

    /// Who takes connections to a port of the host.
    pub(super) fn listens(&self, port: u32, to: mpsc::Sender<Channel<Msg>>) {
        self.shared().listeners.insert(port, to);
    }

    pub(super) fn listens_no_more(&self, port: u32) {
        self.shared().listeners.remove(&port);
    }
}

/// Accepts the keys that the host is known by, and nothing else.
pub(super) struct Handler {
    known: Vec<HostKey>,
    checks: Checks,
}

pub(super) fn make(known: Vec<HostKey>) -> (Handler, Checks) {
    let checks = Checks::default();
    (
        Handler {
            known,
            checks: checks.clone(),
        },
        checks,
    )
}

impl client::Handler for Handler {
    type Error = russh::Error;

    async fn check_server_key(&mut self, shown: &PublicKeyOrCertificate) -> Result<bool, Self::Error> {
        // None was asked for.
        let PublicKeyOrCertificate::PublicKey { key, .. } = shown else {
            return Ok(false);
        };
        let text = key.to_openssh()?;
        let Ok(shown) = HostKey::parse(&text) else {
            return Ok(false);
        };
        let is_known = self.known.contains(&shown);
        if !is_known {
            self.checks.shared().refused = Some(shown.fingerprint().to_owned());
        }
        Ok(is_known)
    }

    async fn server_channel_open_forwarded_tcpip(
        &mut self,
        channel: Channel<Msg>,
        _connected_address: &str,
        connected_port: u32,
        _originator_address: &str,
        _originator_port: u32,
        reply: ChannelOpenHandle,
        _session: &mut Session,
    ) -> Result<(), Self::Error> {
        let listener = self.checks.shared().listeners.get(&connected_port).cloned();
        // Dropping the reply says no. A listener that is behind must not let the connection stand still.
        if let Some(listener) = listener
            && let Ok(room) = listener.try_reserve()
        {
            reply.accept().await;
            room.send(channel);
        }
        Ok(())
    }
}
