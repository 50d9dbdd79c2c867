//! What nobody can do without: one process, a connection to each host, and one command on it.

use std::borrow::Cow;
use std::net::Ipv4Addr;
use std::sync::Arc;

use futures_util::future::try_join_all;
use russh::client::{self, Config, Handler};
use russh::keys::{PrivateKey, PrivateKeyWithHashAlg, PublicKeyOrCertificate};
use russh::{ChannelMsg, Disconnect, Preferred, kex};

use super::lab::Lab;
use crate::Failure;

/// On all hosts at once.
pub(super) async fn round(lab: &Lab, hosts: usize) -> Result<(), Failure> {
    let key = Arc::new(russh::keys::load_secret_key(lab.at("key"), None)?);
    let curves = [kex::CURVE25519, kex::CURVE25519_PRE_RFC_8731];
    let config = Arc::new(Config {
        nodelay: true,
        preferred: Preferred {
            kex: Cow::Owned(curves.to_vec()),
            ..Preferred::default()
        },
        ..Config::default()
    });
    let all = lab.hosts()?;
    if all.len() != hosts {
        return Err(format!("the lab has {} hosts, not {hosts}", all.len()).into());
    }
    let tasks = all.into_iter().map(|(address, known)| {
        let one = one(Arc::clone(&config), Arc::clone(&key), address, known);
        async move { tokio::spawn(one).await? }
    });
    try_join_all(tasks).await?;
    Ok(())
}

async fn one(config: Arc<Config>, key: Arc<PrivateKey>, address: Ipv4Addr, known: String) -> Result<(), Failure> {
    let mut session = client::connect(config, (address, 22), Known(known)).await?;
    let key = PrivateKeyWithHashAlg::new(key, None);
    if !session.authenticate_publickey("root", key).await?.success() {
        return Err(format!("{address} takes no login").into());
    }
    let mut channel = session.channel_open_session().await?;
    channel.exec(true, "true").await?;
    let mut status = None;
    while let Some(message) = channel.wait().await {
        if let ChannelMsg::ExitStatus { exit_status } = message {
            status = Some(exit_status);
        }
    }
    session.disconnect(Disconnect::ByApplication, "", "").await?;
    match status {
        Some(0) => Ok(()),
        other => Err(format!("the command on {address} exited {other:?}").into()),
    }
}

/// The key that a host must show.
struct Known(String);

impl Handler for Known {
    type Error = Failure;

    async fn check_server_key(&mut self, shown: &PublicKeyOrCertificate) -> Result<bool, Self::Error> {
        let PublicKeyOrCertificate::PublicKey { key, .. } = shown else {
            return Ok(false);
        };
        Ok(key.to_openssh()?.starts_with(&self.0))
    }
}
