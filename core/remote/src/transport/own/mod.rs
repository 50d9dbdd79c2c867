//! A client of our own, for private keys that are files without a passphrase and hosts whose keys are known: russh.
//!
//! A channel whose reader stands still would let the whole connection stand still, its answers to keepalives
//! included. So a channel that shares its connection is given up then ([`End::stalled`]), and one that must be patient
//! has a connection of its own.

mod channel;
mod connection;
mod handler;

use std::borrow::Cow;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use encamp_core::{Cx, Duplex};
use russh::keys::{Algorithm, PrivateKey, PrivateKeyWithHashAlg};
use russh::{Preferred, client, kex};

use super::{Connection, Route, Transport};
use crate::error::Failure;
use crate::fingerprint::HostKey;
use connection::Own;
use handler::Checks;

/// The longest that is waited for a login, whatever the caller's deadline.
const LOGIN_WAIT_MAX: Duration = Duration::from_secs(20);
/// Questions without an answer until a connection counts as gone.
const QUESTIONS_MAX: usize = 3;
/// Messages of a channel that wait for its reader before the connection does.
const MESSAGES_MAX: usize = 64;

/// Makes connections with russh.
#[derive(Debug)]
pub(crate) struct OwnClient;

/// Whether this client can be used: it has no agent, no passphrases, and no RSA.
pub(crate) fn can_use(key: &Path, host_keys: &[HostKey]) -> bool {
    host_keys.iter().any(|key| algorithm(key).is_some()) && russh::keys::load_secret_key(key, None).is_ok()
}

/// The algorithm of a host key, where russh has it.
fn algorithm(key: &HostKey) -> Option<Algorithm> {
    let known = Algorithm::new(key.algorithm()).ok()?;
    (matches!(known, Algorithm::Ed25519) || matches!(known, Algorithm::Ecdsa { .. })).then_some(known)
}

#[async_trait]
impl Transport for OwnClient {
    async fn connect(
        &self,
        cx: &Cx,
        route: &Route,
        via: Option<Arc<dyn Connection>>,
    ) -> Result<Arc<dyn Connection>, Failure> {
        let limit = cx.remaining().min(LOGIN_WAIT_MAX);
        let connected = tokio::time::timeout(limit, login(route, via)).await;
        connected.unwrap_or_else(|_| {
            Err(Failure::Route {
                why: format!("no login within {} s", limit.as_secs()),
            })
        })
    }

    fn stands_still_with_a_reader(&self) -> bool {
        true
    }
}

async fn login(route: &Route, via: Option<Arc<dyn Connection>>) -> Result<Arc<dyn Connection>, Failure> {
    let key = load(route)?;
    let offered = format!(
        "{} {}",
        key.algorithm(),
        key.public_key().fingerprint(russh::keys::HashAlg::Sha256)
    );
    let stream = reach(route, via.as_ref()).await?;
    let (handler, checks) = handler::make(route.host_keys.clone());
    let config = Arc::new(config(route));
    let connected = client::connect_stream(config, stream, handler).await;
    let mut handle = connected.map_err(|native| judge(native, &checks, route))?;
    let key = PrivateKeyWithHashAlg::new(Arc::new(key), None);
    let proved = handle.authenticate_publickey(&route.access.user, key).await;
    match proved {
        Ok(answer) if answer.success() => Ok(Arc::new(Own::new(handle, checks, via))),
        // A server that says no names what it would take; where the connection broke nothing is named.
        Ok(russh::client::AuthResult::Failure { remaining_methods, .. }) if remaining_methods.is_empty() => {
            Err(Failure::HungUp {
                why: "the connection broke during the login".to_owned(),
            })
        }
        Ok(_) => Err(Failure::Login { offered }),
        Err(native) => Err(judge(native, &checks, route)),
    }
}

fn load(route: &Route) -> Result<PrivateKey, Failure> {
    let Some(file) = &route.key else {
        return Err(Failure::Login {
            offered: "no key at all".to_owned(),
        });
    };
    russh::keys::load_secret_key(file, None).map_err(|native| Failure::Key {
        file: file.display().to_string(),
        why: match native {
            russh::keys::Error::IO(native) if native.kind() == std::io::ErrorKind::NotFound => {
                "it is not there".to_owned()
            }
            native => native.to_string().to_lowercase(),
        },
    })
}

/// A stream to the host's port.
async fn reach(route: &Route, via: Option<&Arc<dyn Connection>>) -> Result<Duplex, Failure> {
    let access = &route.access;
    if let Some(via) = via {
        return via
            .dial(&access.host, access.port)
            .await
            .map_err(|refused| match refused {
                super::Refused::Denied(why) if why.to_lowercase().contains("refused") => Failure::Closed,
                super::Refused::Denied(why) | super::Refused::Broken(why) => Failure::Route { why },
                super::Refused::Sessions => Failure::Route {
                    why: "the jump host takes no further line".to_owned(),
                },
            });
    }
    let found = tokio::net::lookup_host((access.host.as_str(), access.port)).await;
    let addresses: Vec<_> = found.map_err(|_| Failure::Name)?.collect();
    let stream = tokio::net::TcpStream::connect(&*addresses)
        .await
        .map_err(|native| match native.kind() {
            std::io::ErrorKind::ConnectionRefused => Failure::Closed,
            std::io::ErrorKind::ConnectionReset => Failure::HungUp {
                why: "connection reset".to_owned(),
            },
            _ => Failure::Route {
                why: native.to_string().to_lowercase(),
            },
        })?;
    // Words are small, and somebody waits for each.
    let _ = stream.set_nodelay(true);
    Ok(Box::pin(stream))
}

fn config(route: &Route) -> client::Config {
    let known = Preferred::default();
    // What a quantum computer could not read costs most of a connection's time; ADR 14 says why it comes second.
    let curve = |name: &kex::Name| *name == kex::CURVE25519 || *name == kex::CURVE25519_PRE_RFC_8731;
    let mut exchanges = known.kex.to_vec();
    exchanges.sort_by_key(|name| !curve(name));
    // A host is asked for the key that it is known by; where it has none, for any, so that it can be told which.
    let pinned: Vec<_> = route.host_keys.iter().filter_map(algorithm).collect();
    let mut keys = known.key.to_vec();
    keys.sort_by_key(|key| !pinned.contains(key));
    client::Config {
        keepalive_interval: Some(route.keepalive),
        keepalive_max: QUESTIONS_MAX,
        channel_buffer_size: MESSAGES_MAX,
        nodelay: true,
        preferred: Preferred {
            kex: Cow::Owned(exchanges),
            key: Cow::Owned(keys),
            ..known
        },
        ..client::Config::default()
    }
}

/// From russh's errors to what stopped the login.
fn judge(native: russh::Error, checks: &Checks, route: &Route) -> Failure {
    if let Some(seen) = checks.refused() {
        let seen = Some(seen);
        return if route.host_keys.is_empty() {
            Failure::UnknownKey { seen }
        } else {
            Failure::ChangedKey { seen }
        };
    }
    match native {
        russh::Error::NoCommonAlgo {
            kind: russh::AlgorithmKind::Key,
            ..
        } => Failure::ChangedKey { seen: None },
        russh::Error::HUP
        | russh::Error::Disconnect
        | russh::Error::IO(_)
        | russh::Error::SendError
        | russh::Error::Version => Failure::HungUp {
            why: native.to_string().to_lowercase(),
        },
        native => Failure::Other {
            why: native.to_string(),
        },
    }
}
