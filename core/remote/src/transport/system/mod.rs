//! The system's `ssh`: one master process a connection, and a small client process a session, which the two of them
//! settle over a socket. So all that the user's configuration can say holds: jump hosts, `Match`, agents, certificates.

mod arguments;
mod connection;
mod folder;
mod words;

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use encamp_core::{Ambient, Cx, Result};
use tokio::process::Command;

use super::{Connection, Route, Transport};
use crate::error::Failure;
use arguments::Arguments;
use connection::{Held, Master};
use folder::Folder;
use words::Words;

/// A master ends with this program, however that ends: a shell holds it.
const HOLD: &str = include_str!("hold.sh");
/// With which that shell says that there is no `ssh`.
const NO_PROGRAM: i32 = 127;
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
    folder: Arc<Folder>,
    variables: Vec<(&'static str, String)>,
    count: Arc<AtomicU64>,
}

impl System {
    /// `config` stands in the place of the user's own configuration, where it is given.
    pub(crate) fn new(ambient: &Ambient, config: Option<PathBuf>) -> Result<Self> {
        let folder = Folder::new(ambient)?;
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

    fn command(&self, program: &Path) -> Command {
        let mut command = Command::new(program);
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
        // What a terminal sends to this program is not for them.
        command.process_group(0).kill_on_drop(true);
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
        let (known_hosts, socket) = (Ours(self.file(".known")), Ours(self.file("")));
        let lines = route
            .host_keys
            .iter()
            .map(|key| format!("{} {}\n", arguments::ALIAS, key.line()));
        tokio::fs::write(known_hosts.path(), lines.collect::<String>())
            .await
            .map_err(|native| {
                other(format!(
                    "the host's keys cannot be written to {}: {native}",
                    known_hosts.path().display()
                ))
            })?;
        let limit = cx.remaining().min(LOGIN_WAIT_MAX);
        let proxy = via.as_ref().map(|via| {
            via.proxy_command()
                .ok_or_else(|| other("the jump host is not reached by the system's ssh".to_owned()))
        });
        let arguments = Arguments {
            config: self.config.as_deref(),
            socket: socket.path(),
            known_hosts: known_hosts.path(),
            limit,
            proxy: proxy.transpose()?,
        };
        let mut command = self.command(Path::new("/bin/sh"));
        command.args(["-c", HOLD, "sh"]).arg(&self.program);
        command.args(arguments.of_master(route)).stdin(Stdio::piped());
        let spawned = command.spawn();
        let mut child = spawned.map_err(|native| other(format!("`ssh` cannot be started: {native}")))?;
        let words = Words::listen(child.stderr.take());
        let mut held = Held::new(child);
        let logged_in = tokio::time::timeout(limit, logged_in(&mut held, socket.path())).await;
        Err(match logged_in {
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
                return Ok(Arc::new(Master::new(tools, held, words, via)));
            }
            Ok(Err(Some(NO_PROGRAM))) => other("there is no `ssh` in the PATH: install OpenSSH's client".to_owned()),
            Ok(Err(_)) => words.failure(route).await,
            Err(_) => {
                drop(held);
                Failure::Route {
                    why: format!("no login within {} s", limit.as_secs()),
                }
            }
        })
    }
}

/// A file of a connection, which goes with it.
#[derive(Debug)]
struct Ours(PathBuf);

impl Ours {
    fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for Ours {
    fn drop(&mut self) {
        forget(&self.0);
    }
}

/// Waits for the socket of a master; where the master ends instead, its status.
async fn logged_in(held: &mut Held, socket: &Path) -> Result<(), Option<i32>> {
    loop {
        if socket.exists() {
            return Ok(());
        }
        tokio::select! {
            ended = held.end() => return Err(ended),
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
