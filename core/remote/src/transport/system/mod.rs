//! The system's `ssh`: one master process a connection, and a small client process a session, which the two of them
//! settle over a socket. So all that the user's configuration can say holds: jump hosts, `Match`, agents, certificates.

mod arguments;
mod connection;
mod words;

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use encamp_core::{Ambient, Cx, Error, ErrorKind, Result};
use tokio::process::{Child, Command};

use super::{Connection, Route, Transport};
use crate::error::Failure;
use arguments::Arguments;
use connection::Master;
use words::Words;

/// A socket's path must fit into 108 bytes, and ssh puts 17 behind it while it makes one.
const FOLDER_BYTES_MAX: usize = 70;

/// How often is looked for the socket that a master makes when it is logged in.
const LOOK_PAUSE: Duration = Duration::from_millis(5);
/// The longest that is waited for a login, whatever the caller's deadline.
const LOGIN_WAIT_MAX: Duration = Duration::from_secs(20);

/// What the client is told of the surrounding process; everything else is kept from it.
const VARIABLES: [&str; 12] = [
    "PATH",
    "HOME",
    "USER",
    "LOGNAME",
    "TERM",
    "SSH_AUTH_SOCK",
    "KRB5CCNAME",
    "XDG_RUNTIME_DIR",
    "XDG_CONFIG_HOME",
    "PKCS11_PROVIDER",
    "SSH_SK_PROVIDER",
    "TMPDIR",
];

/// Makes connections with the system's `ssh`.
#[derive(Debug)]
pub(crate) struct System {
    program: PathBuf,
    config: Option<PathBuf>,
    /// Sockets, known hosts and logs, for this user alone.
    folder: Arc<tempfile::TempDir>,
    variables: Vec<(&'static str, String)>,
    count: Arc<AtomicU64>,
}

impl System {
    /// `config` stands in the place of the user's own configuration, where it is given.
    pub(crate) fn new(ambient: &Ambient, config: Option<PathBuf>) -> Result<Self> {
        let folder = private_folder(ambient)?;
        let known = VARIABLES.into_iter();
        Ok(Self {
            program: "ssh".into(),
            config,
            folder: Arc::new(folder),
            variables: known
                .filter_map(|name| Some((name, ambient.variable(name)?.to_owned())))
                .collect(),
            count: Arc::default(),
        })
    }

    fn command(&self) -> Command {
        let mut command = Command::new(&self.program);
        command.env_clear().envs(self.variables.iter().cloned());
        if !self.variables.iter().any(|(name, _)| *name == "PATH") {
            command.env("PATH", "/usr/local/bin:/usr/bin:/bin");
        }
        // What it asks is answered by no one: neither on the terminal nor in a window.
        command
            .env("LC_ALL", "C")
            .env("SHELL", "/bin/sh")
            .env("SSH_ASKPASS", "false")
            .env("SSH_ASKPASS_REQUIRE", "force");
        command
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped());
        command.kill_on_drop(true);
        command
    }

    fn file(&self, extension: &str) -> PathBuf {
        let number = self.count.fetch_add(1, Ordering::Relaxed);
        self.folder.path().join(format!("{number}{extension}"))
    }
}

#[async_trait]
impl Transport for System {
    async fn connect(
        &self,
        cx: &Cx,
        route: &Route,
        via: Option<Arc<dyn Connection>>,
    ) -> Result<Arc<dyn Connection>, Failure> {
        let other = |why: String| Failure::Other { why };
        let known_hosts = self.file(".known");
        let socket = self.file("");
        let lines = route
            .host_keys
            .iter()
            .map(|key| format!("{} {}\n", arguments::ALIAS, key.line()));
        tokio::fs::write(&known_hosts, lines.collect::<String>())
            .await
            .map_err(|native| {
                other(format!(
                    "the host's keys cannot be written to {}: {native}",
                    known_hosts.display()
                ))
            })?;
        let limit = cx.remaining().min(LOGIN_WAIT_MAX);
        let proxy = via.as_ref().map(|via| {
            via.proxy_command()
                .ok_or_else(|| other("the jump host is not reached by the system's ssh".to_owned()))
        });
        let arguments = Arguments {
            config: self.config.as_deref(),
            socket: &socket,
            known_hosts: &known_hosts,
            limit,
            proxy: proxy.transpose()?,
        };
        let mut command = self.command();
        command.args(arguments.of_master(route));
        let mut child = command.spawn().map_err(|native| match native.kind() {
            std::io::ErrorKind::NotFound => other("there is no `ssh` in the PATH: install OpenSSH's client".to_owned()),
            _ => other(format!("`ssh` cannot be started: {native}")),
        })?;
        let words = Words::listen(child.stderr.take());
        let logged_in = tokio::time::timeout(limit, logged_in(&mut child, &socket)).await;
        let failure = match logged_in {
            Ok(Ok(())) => {
                let tools = connection::Tools {
                    system: Self {
                        program: self.program.clone(),
                        config: None,
                        folder: Arc::clone(&self.folder),
                        variables: self.variables.clone(),
                        count: Arc::clone(&self.count),
                    },
                    socket,
                    known_hosts,
                };
                return Ok(Arc::new(Master::new(tools, child, words, via)));
            }
            Ok(Err(())) => words.failure(route).await,
            Err(_) => {
                drop(child);
                Failure::Route {
                    why: format!("no login within {} s", limit.as_secs()),
                }
            }
        };
        forget(&known_hosts);
        Err(failure)
    }
}

/// Waits for the socket of a master; an error where the master ends instead.
async fn logged_in(child: &mut Child, socket: &Path) -> Result<(), ()> {
    loop {
        if socket.exists() {
            return Ok(());
        }
        tokio::select! {
            _ = child.wait() => return Err(()),
            () = tokio::time::sleep(LOOK_PAUSE) => {}
        }
    }
}

/// Removes a file of ours that may be gone already.
fn forget(file: &Path) {
    if let Err(native) = std::fs::remove_file(file)
        && native.kind() != std::io::ErrorKind::NotFound
    {
        tracing::debug!(file = %file.display(), %native, "a file of a connection stays behind");
    }
}

/// A folder with a short path that nobody else can look into.
fn private_folder(ambient: &Ambient) -> Result<tempfile::TempDir> {
    let runtime = ambient.variable("XDG_RUNTIME_DIR").map(PathBuf::from);
    let candidates = runtime.into_iter().chain([PathBuf::from("/tmp")]);
    let mut refused = None;
    for parent in candidates.filter(|parent| parent.is_absolute() && parent.as_os_str().len() < FOLDER_BYTES_MAX) {
        let mut builder = tempfile::Builder::new();
        match builder
            .prefix("encamp-ssh-")
            .permissions(std::fs::Permissions::from_mode(0o700))
            .tempdir_in(&parent)
        {
            Ok(folder) => return Ok(folder),
            Err(native) => refused = Some((parent, native)),
        }
    }
    let (parent, native) = refused.unwrap_or_else(|| ("/tmp".into(), std::io::ErrorKind::NotFound.into()));
    Err(Error::new(
        ErrorKind::Unavailable,
        format!("no folder for the sockets of ssh can be made in {}", parent.display()),
    )
    .caused_by(native))
}
