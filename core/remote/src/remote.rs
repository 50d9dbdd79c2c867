//! Hosts by their access, each with its connections.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use encamp_core::{Ambient, Cx, Error, ErrorKind, Exec, Identity, Process, Result, SshAccess};
use tokio::sync::Semaphore;

use crate::error;
use crate::exec;
use crate::fingerprint::HostKey;
use crate::host::Host;
use crate::transport::system::System;
use crate::transport::{Route, Transport};

/// Logins at a time, over all hosts: each costs this host a key exchange.
const LOGINS_MAX: usize = 16;
/// Hosts that are remembered without being in use.
const HOSTS_MAX: usize = 512;

/// What sessions are made with.
#[derive(Debug, Default)]
#[non_exhaustive]
pub struct Options {
    /// In the place of the user's own configuration of `ssh`.
    pub ssh_config: Option<PathBuf>,
    /// Which client speaks to hosts.
    pub client: Client,
}

/// Which client speaks to hosts.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Client {
    /// By how the login proves itself: the system's for the user's agent.
    #[default]
    ByIdentity,
    /// The system's `ssh`, with all of the user's configuration.
    System,
}

impl Options {
    /// The user's own configuration.
    pub fn new() -> Self {
        Self::default()
    }

    /// With this configuration of `ssh` in the place of the user's.
    #[must_use]
    pub fn ssh_config(mut self, file: impl Into<PathBuf>) -> Self {
        self.ssh_config = Some(file.into());
        self
    }

    /// With this client for every host.
    #[must_use]
    pub fn client(mut self, client: Client) -> Self {
        self.client = client;
        self
    }
}

/// Sessions to any number of hosts. A connection is made when it is needed, shared, and let go when nobody uses it.
#[derive(Debug)]
pub struct Remote {
    system: Arc<dyn Transport>,
    hosts: Mutex<HashMap<Login, Arc<Host>>>,
    logins: Arc<Semaphore>,
}

/// An access, and the private key that it means.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Login {
    access: String,
    key: Option<PathBuf>,
}

impl Remote {
    /// Makes nothing but a private folder yet.
    pub fn new(ambient: &Ambient, options: Options) -> Result<Self> {
        Ok(Self {
            system: Arc::new(System::new(ambient, options.ssh_config)?),
            hosts: Mutex::default(),
            logins: Arc::new(Semaphore::new(LOGINS_MAX)),
        })
    }

    /// Runs a command. `key` is the environment's own private key, for an access that is by that one.
    ///
    /// Without a terminal it outlives a connection that breaks: it is found again until the deadline of `cx`, and for
    /// half a minute at least, with all that it said meanwhile.
    pub async fn exec(&self, cx: &Cx, access: &SshAccess, key: Option<PathBuf>, a: Exec) -> Result<Process> {
        exec::start(self.host(access, key.as_ref())?, cx, a).await
    }

    /// The host of an access.
    fn host(&self, access: &SshAccess, key: Option<&PathBuf>) -> Result<Arc<Host>> {
        let via = match &access.via {
            Some(via) => Some(self.host(via, key)?),
            None => None,
        };
        let key = match &access.identity {
            Identity::Agent => None,
            Identity::File(file) => Some(file.clone()),
            Identity::Environment => Some(key.cloned().ok_or_else(|| {
                let message = format!(
                    "{} is reached with the environment's own key, and none is known",
                    error::place(access)
                );
                Error::new(ErrorKind::Invalid, message)
            })?),
            other => {
                return Err(Error::new(
                    ErrorKind::Unsupported,
                    format!("no login is known by {other:?}"),
                ));
            }
        };
        let login = Login {
            access: format!("{access:?}"),
            key,
        };
        let mut hosts = self.hosts.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(host) = hosts.get(&login) {
            return Ok(Arc::clone(host));
        }
        if hosts.len() >= HOSTS_MAX {
            // Those that nobody else holds have nothing under way.
            hosts.retain(|_, host| Arc::strong_count(host) > 1);
        }
        let route = Route {
            access: access.clone(),
            host_keys: HostKey::parse_all(&access.host_keys)?,
            key: login.key.clone(),
        };
        let host = Arc::new(Host::new(
            route,
            Arc::clone(&self.system),
            via,
            Arc::clone(&self.logins),
        ));
        hosts.insert(login, Arc::clone(&host));
        Ok(host)
    }
}
