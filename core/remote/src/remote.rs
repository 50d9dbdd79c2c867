//! Hosts by their access, each with its connections.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use encamp_core::{
    Accept, Ambient, BoxRead, CopyIn, CopyOut, Cx, Dial, Duplex, Error, ErrorKind, Exec, Identity, Listen, Process,
    Result, SshAccess,
};
use tokio::sync::Semaphore;

use crate::error;
use crate::exec;
use crate::files;
use crate::fingerprint::HostKey;
use crate::host::Host;
use crate::lines;
#[cfg(feature = "russh")]
use crate::transport::own;
use crate::transport::system::System;
use crate::transport::{Route, Transport};

/// Logins at a time, over all hosts: each costs this host a key exchange.
const LOGINS_MAX: usize = 16;
/// Hosts that are remembered without being in use.
const HOSTS_MAX: usize = 512;

/// What sessions are made with.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Options {
    /// In the place of the user's own configuration of `ssh`.
    pub ssh_config: Option<PathBuf>,
    /// Which client speaks to hosts.
    pub client: Client,
    /// How long a connection may be silent before it is asked whether it is there; after three questions it is not.
    pub keepalive: Duration,
    /// For how long at least a host is looked for whose connection broke under a command, whatever deadline the command
    /// has.
    pub patience: Duration,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            ssh_config: None,
            client: Client::default(),
            keepalive: Duration::from_secs(15),
            patience: Duration::from_secs(30),
        }
    }
}

/// Which client speaks to hosts.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Client {
    /// By how the login proves itself: our own for keys in files, where it is built, and the system's for the user's
    /// agent and for what our own cannot read.
    #[default]
    ByIdentity,
    /// The system's `ssh`, with all of the user's configuration.
    System,
    /// Our own, whatever it can read.
    #[cfg(feature = "russh")]
    Own,
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

    /// With questions after so long a silence.
    #[must_use]
    pub fn keepalive(mut self, silence: Duration) -> Self {
        self.keepalive = silence;
        self
    }

    /// With this patience.
    #[must_use]
    pub fn patience(mut self, patience: Duration) -> Self {
        self.patience = patience;
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
    options: Options,
    hosts: Mutex<HashMap<Login, Arc<Host>>>,
    logins: Arc<Semaphore>,
}

/// An access, and the private key that it means.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Login {
    client: Client,
    access: String,
    key: Option<PathBuf>,
}

impl Remote {
    /// Makes nothing but a private folder yet.
    pub fn new(ambient: &Ambient, options: Options) -> Result<Self> {
        Ok(Self {
            system: Arc::new(System::new(ambient, options.ssh_config.clone())?),
            options,
            hosts: Mutex::default(),
            logins: Arc::new(Semaphore::new(LOGINS_MAX)),
        })
    }

    /// Sees to it that there is a connection. Runs nothing.
    pub async fn reach(&self, cx: &Cx, access: &SshAccess, key: Option<PathBuf>) -> Result<()> {
        self.host(access, key.as_ref())?.work.lease(cx).await.map(drop)
    }

    /// Runs a command. `key` is the environment's own private key, for an access that is by that one.
    ///
    /// Without a terminal it outlives a connection that breaks: it is found again until the deadline of `cx`, and for
    /// half a minute at least, with all that it said meanwhile.
    pub async fn exec(&self, cx: &Cx, access: &SshAccess, key: Option<PathBuf>, a: Exec) -> Result<Process> {
        exec::start(self.host(access, key.as_ref())?, cx, a, self.options.patience).await
    }

    /// Unpacks a tar stream into a folder, with the host's `tar`.
    pub async fn copy_in(
        &self,
        cx: &Cx,
        access: &SshAccess,
        key: Option<PathBuf>,
        a: &CopyIn,
        tar: BoxRead,
    ) -> Result<()> {
        files::copy_in(&*self.host(access, key.as_ref())?, cx, a, tar).await
    }

    /// Packs a path, with the host's `tar`. The stream ends without an error only where all is in it.
    pub async fn copy_out(&self, cx: &Cx, access: &SshAccess, key: Option<PathBuf>, a: &CopyOut) -> Result<BoxRead> {
        files::copy_out(&self.host(access, key.as_ref())?, cx, a).await
    }

    /// Connects to a port as the host would. The guard of the access does not stand before it: no command is run.
    pub async fn dial(&self, cx: &Cx, access: &SshAccess, key: Option<PathBuf>, a: &Dial) -> Result<Duplex> {
        lines::dial(&*self.host(access, key.as_ref())?, cx, a).await
    }

    /// Listens on a port of the host, for as long as its connection stands.
    pub async fn listen(
        &self,
        cx: &Cx,
        access: &SshAccess,
        key: Option<PathBuf>,
        a: &Listen,
    ) -> Result<Box<dyn Accept>> {
        lines::listen(&self.host(access, key.as_ref())?, cx, a).await
    }

    /// The host of an access.
    fn host(&self, access: &SshAccess, key: Option<&PathBuf>) -> Result<Arc<Host>> {
        self.host_with(self.options.client, access, key)
    }

    fn host_with(&self, client: Client, access: &SshAccess, environment_key: Option<&PathBuf>) -> Result<Arc<Host>> {
        let host_keys = HostKey::parse_all(&access.host_keys)?;
        let key = match &access.identity {
            Identity::Agent => None,
            Identity::File(file) => Some(file.clone()),
            Identity::Environment => Some(environment_key.cloned().ok_or_else(|| {
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
        let (client, transport) = self.transport(client, key.as_deref(), &host_keys);
        // The system's client goes through no connection but its own; ours through any.
        let via = match &access.via {
            Some(via) => Some(self.host_with(client, via, environment_key)?),
            None => None,
        };
        let login = Login {
            client,
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
            host_keys,
            key: login.key.clone(),
            keepalive: self.options.keepalive,
        };
        let host = Arc::new(Host::new(route, transport, via, Arc::clone(&self.logins)));
        hosts.insert(login, Arc::clone(&host));
        Ok(host)
    }

    /// Which client a login is for, and for the jump hosts before it.
    #[cfg_attr(
        not(feature = "russh"),
        expect(clippy::unused_self, unused_variables, reason = "there is one client alone")
    )]
    fn transport(&self, client: Client, key: Option<&Path>, host_keys: &[HostKey]) -> (Client, Arc<dyn Transport>) {
        #[cfg(feature = "russh")]
        {
            let own = match client {
                Client::System => false,
                Client::Own => true,
                Client::ByIdentity => key.is_some_and(|key| own::can_use(key, host_keys)),
            };
            if own {
                return (client, Arc::new(own::OwnClient));
            }
        }
        (Client::System, Arc::clone(&self.system))
    }
}
