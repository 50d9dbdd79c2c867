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
use crate::host::{Host, Pools};
use crate::lines;
use crate::question;
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
///
/// A guard in front of commands ([`SshAccess::prefix`]) that lets one not through exits with 254 and says the line
/// `encamp-guard: REASON` on its standard error; that is a conflict then, with the reason as its message.
#[derive(Debug)]
pub struct Remote {
    system: Arc<dyn Transport>,
    options: Options,
    hosts: Mutex<HashMap<Login, Arc<Pools>>>,
    logins: Arc<Semaphore>,
}

/// All that a connection depends on. What stands before commands is none of it: a provider asks a host itself, and runs
/// commands of a claim through its guard, over the same one.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Login {
    client: Client,
    host: String,
    port: u16,
    user: String,
    host_keys: Vec<String>,
    key: Option<PathBuf>,
    via: Option<Box<Self>>,
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
        self.host(access, key.as_ref())?.pools.work.reach(cx).await
    }

    /// Runs a command. `key` is the environment's own private key, for an access that is by that one.
    ///
    /// Without a terminal it outlives a connection that breaks: it is found again until the deadline of `cx`, and for
    /// half a minute at least, with all that it said meanwhile.
    pub async fn exec(&self, cx: &Cx, access: &SshAccess, key: Option<PathBuf>, a: Exec) -> Result<Process> {
        exec::start(self.host(access, key.as_ref())?, cx, a, self.options.patience).await
    }

    /// Runs lines for `sh` to their end and gives what they say: for what changes nothing, or may be done twice. It takes
    /// the host a fraction of what a command does that outlives its connection.
    pub async fn ask(&self, cx: &Cx, access: &SshAccess, key: Option<PathBuf>, lines: &str) -> Result<String> {
        question::put(&*self.host(access, key.as_ref())?, cx, lines).await
    }

    /// The same for lines that change something: they are begun once at most. An error that says
    /// [`Retry::Unknown`](encamp_core::Retry::Unknown) leaves open what came of them; they go on on the host then, unless
    /// they listen to a broken pipe.
    pub async fn ask_once(&self, cx: &Cx, access: &SshAccess, key: Option<PathBuf>, lines: &str) -> Result<String> {
        question::put_once(&*self.host(access, key.as_ref())?, cx, lines).await
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
        let (_, pools) = self.pools(self.options.client, access, key)?;
        Ok(Arc::new(Host::new(access.clone(), pools)))
    }

    fn pools(
        &self,
        client: Client,
        access: &SshAccess,
        environment_key: Option<&PathBuf>,
    ) -> Result<(Login, Arc<Pools>)> {
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
        let (before, via) = match &access.via {
            Some(via) => self
                .pools(client, via, environment_key)
                .map(|(login, pools)| (Some(login), Some(pools)))?,
            None => (None, None),
        };
        let login = Login {
            client,
            host: access.host.clone(),
            port: access.port,
            user: access.user.clone(),
            host_keys: host_keys.iter().map(HostKey::line).collect(),
            key,
            via: before.map(Box::new),
        };
        let mut hosts = self.hosts.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(pools) = hosts.get(&login) {
            return Ok((login, Arc::clone(pools)));
        }
        if hosts.len() >= HOSTS_MAX {
            // Those that nobody else holds have nothing under way.
            hosts.retain(|_, pools| Arc::strong_count(pools) > 1);
        }
        let mut access = access.clone();
        access.prefix.clear();
        let route = Route {
            access,
            host_keys,
            key: login.key.clone(),
            keepalive: self.options.keepalive,
        };
        let pools = Arc::new(Pools::new(route, transport, via, Arc::clone(&self.logins)));
        hosts.insert(login.clone(), Arc::clone(&pools));
        Ok((login, pools))
    }

    /// Which client a login is for, and for the jump hosts before it.
    #[cfg_attr(
        not(feature = "russh"),
        expect(unused_variables, reason = "there is one client alone")
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
