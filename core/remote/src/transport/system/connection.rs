//! A connection that a master process holds, and what goes over it.

use std::ffi::OsString;
use std::path::PathBuf;
use std::pin::Pin;
use std::process::Stdio;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use async_trait::async_trait;
use encamp_core::shell::quote_all;
use encamp_core::{Accept, Duplex, Error, ErrorKind};
use tokio::io::{AsyncBufReadExt, AsyncRead, AsyncWrite, BufReader, ReadBuf};
use tokio::net::UnixListener;
use tokio::process::{Child, ChildStdin, ChildStdout, Command};
use tokio_util::sync::CancellationToken;

use super::words::Words;
use super::{Ours, System, arguments, forget};
use crate::transport::{Channel, Connection, End, Refused};

/// How long a master may take to end; it is killed before that.
const LET_GO_TIMEOUT: Duration = Duration::from_secs(3);

/// What makes the clients of one master.
#[derive(Debug)]
pub(super) struct Tools {
    pub(super) system: System,
    pub(super) socket: Ours,
    #[expect(dead_code, reason = "held for its drop")]
    pub(super) known_hosts: Ours,
}

/// The shell that holds a master for as long as its standard input is open. Dropping it ends the master.
#[derive(Debug)]
pub(super) struct Held {
    child: Child,
    /// Apart from the process, whose standard input waiting for it would close.
    stdin: Option<ChildStdin>,
}

impl Held {
    pub(super) fn new(mut child: Child) -> Self {
        let stdin = child.stdin.take();
        Self { child, stdin }
    }

    /// Waits for its end, and says with which status.
    pub(super) async fn end(&mut self) -> Option<i32> {
        self.child.wait().await.ok().and_then(|status| status.code())
    }

    /// The master ends now, or has already.
    async fn let_go(mut self) {
        self.stdin = None;
        if tokio::time::timeout(LET_GO_TIMEOUT, self.child.wait()).await.is_err() {
            let _ = self.child.kill().await;
        }
    }
}

/// A connection.
#[derive(Debug)]
pub(super) struct Master {
    tools: Tools,
    words: Words,
    gone: CancellationToken,
    close: CancellationToken,
    /// The jump host's connection lasts as long as this one.
    _via: Option<Arc<dyn Connection>>,
}

impl Master {
    pub(super) fn new(tools: Tools, mut held: Held, words: Words, via: Option<Arc<dyn Connection>>) -> Self {
        let (gone, close) = (CancellationToken::new(), CancellationToken::new());
        let (own, asked, said) = (gone.clone(), close.clone(), words.clone());
        // The process is waited for, so that none is left as a zombie, and ended with this connection.
        tokio::spawn(async move {
            tokio::select! {
                _ = held.end() => {}
                () = asked.cancelled() => held.let_go().await,
                // What the master says ends with itself, as its sessions do; the shell that holds it may take its time.
                () = said.ended() => {
                    own.cancel();
                    held.let_go().await;
                }
            }
            own.cancel();
        });
        Self {
            tools,
            words,
            gone,
            close,
            _via: via,
        }
    }

    fn client(&self) -> Command {
        let mut command = self.tools.system.command(&self.tools.system.program);
        command.args(arguments::of_client(self.tools.socket.path()));
        command
    }

    fn broken(&self) -> Refused {
        Refused::Broken(self.words.last())
    }
}

impl Drop for Master {
    fn drop(&mut self) {
        self.close.cancel();
    }
}

#[async_trait]
impl Connection for Master {
    async fn open(&self, command: &str, terminal: bool, _patient: bool) -> Result<Channel, Refused> {
        if !self.stands() {
            return Err(self.broken());
        }
        let log = Ours(self.tools.system.file(".log"));
        let mut client = self.client();
        client.args(["-o", "LogLevel=ERROR", "-E"]).arg(log.path());
        client.arg(if terminal { "-tt" } else { "-T" });
        client.args(["--", arguments::ALIAS, command]);
        client.stdin(Stdio::piped()).stdout(Stdio::piped());
        if !self.tools.system.variables.iter().any(|(name, _)| *name == "TERM") {
            client.env("TERM", "xterm-256color");
        }
        let spawned = client.spawn();
        let mut child = spawned.map_err(|native| Refused::Broken(format!("`ssh` cannot be started: {native}")))?;
        let (Some(stdin), Some(stdout), Some(stderr)) = (child.stdin.take(), child.stdout.take(), child.stderr.take())
        else {
            return Err(Refused::Broken("`ssh` was started without its streams".to_owned()));
        };
        let words = self.words.clone();
        Ok(Channel {
            stdin: Box::pin(Closing(Some(stdin))),
            stdout: Box::pin(stdout),
            stderr: Box::pin(stderr),
            end: Box::pin(ending(child, log, words)),
        })
    }

    async fn dial(&self, host: &str, port: u16) -> Result<Duplex, Refused> {
        if !self.stands() {
            return Err(self.broken());
        }
        let to = if host.contains(':') {
            format!("[{host}]:{port}")
        } else {
            format!("{host}:{port}")
        };
        let former = self.words.not_opened();
        let mut client = self.client();
        client.args(["-o", "LogLevel=DEBUG1", "-W", &to, "--", arguments::ALIAS]);
        client.stdin(Stdio::piped()).stdout(Stdio::piped());
        let spawned = client.spawn();
        let mut child = spawned.map_err(|native| Refused::Broken(format!("`ssh` cannot be started: {native}")))?;
        let (Some(stdin), Some(stdout), Some(stderr)) = (child.stdin.take(), child.stdout.take(), child.stderr.take())
        else {
            return Err(Refused::Broken("`ssh` was started without its streams".to_owned()));
        };
        let mut lines = BufReader::new(stderr).lines();
        while let Ok(Some(line)) = lines.next_line().await {
            if line.contains("mux_client_request_stdio_fwd: master session id") {
                // What it says from now on is read, so that it never waits for that.
                tokio::spawn(async move { while let Ok(Some(_)) = lines.next_line().await {} });
                return Ok(Box::pin(Line {
                    child,
                    stdin: Closing(Some(stdin)),
                    stdout,
                }));
            }
            if line.contains("Stdio forwarding request failed") {
                return Err(Refused::Denied(self.words.why_not_opened(former).await.unwrap_or(line)));
            }
        }
        Err(self.broken())
    }

    async fn listen(&self, host: &str, port: u16) -> Result<Box<dyn Accept>, Refused> {
        if !self.stands() {
            return Err(self.broken());
        }
        let socket = self.tools.system.file(".in");
        let broken = |native: std::io::Error| Refused::Broken(format!("no socket can be made: {native}"));
        let listener = UnixListener::bind(&socket).map_err(broken)?;
        let host = if host.contains(':') {
            format!("[{host}]")
        } else {
            host.to_owned()
        };
        let forward = format!("{host}:{port}:{}", socket.display());
        let request = |what: &str| {
            let mut client = self.client();
            client.args([
                "-o",
                "LogLevel=ERROR",
                "-O",
                what,
                "-R",
                &forward,
                "--",
                arguments::ALIAS,
            ]);
            client
        };
        let cancel = request("cancel");
        let asked = request("forward").output().await;
        let asked = asked.map_err(|native| Refused::Broken(format!("`ssh` cannot be started: {native}")))?;
        let forwarded = Forwarded {
            listener,
            gone: self.gone.clone(),
            cancel: Some(cancel),
            socket,
        };
        if asked.status.success() {
            return Ok(Box::new(forwarded));
        }
        if !self.stands() {
            return Err(self.broken());
        }
        let said = String::from_utf8_lossy(&asked.stderr);
        let said = said.rsplit("failed: ").next().unwrap_or_default();
        Err(Refused::Denied(said.trim().to_owned()))
    }

    fn stands(&self) -> bool {
        !self.gone.is_cancelled()
    }

    fn proxy_command(&self) -> Option<String> {
        let mut words: Vec<OsString> = vec![self.tools.system.program.clone().into()];
        words.extend(arguments::of_client(self.tools.socket.path()));
        words.extend(["-o", "LogLevel=ERROR", "-W"].map(OsString::from));
        let words = words
            .iter()
            .map(|word| word.to_str().map(|word| word.replace('%', "%%")));
        let words = words.collect::<Option<Vec<_>>>()?;
        // The tokens are the client's to fill in; they stand outside of what is quoted.
        Some(format!("{} '[%h]:%p' {}", quote_all(words), arguments::ALIAS))
    }
}

/// Connections that the host accepts come to a socket here.
struct Forwarded {
    listener: UnixListener,
    gone: CancellationToken,
    /// Takes the request back.
    cancel: Option<Command>,
    socket: PathBuf,
}

#[async_trait]
impl Accept for Forwarded {
    async fn accept(&mut self) -> Result<Duplex, Error> {
        tokio::select! {
            accepted = self.listener.accept() => match accepted {
                Ok((stream, _)) => Ok(Box::pin(stream)),
                Err(native) => Err(Error::new(ErrorKind::Unavailable, "no further connection can be accepted").caused_by(native)),
            },
            () = self.gone.cancelled() => {
                Err(Error::new(ErrorKind::Unavailable, "the connection broke over which the host told of others"))
            }
        }
    }
}

impl Drop for Forwarded {
    fn drop(&mut self) {
        forget(&self.socket);
        if let (Some(mut cancel), Ok(runtime), false) = (
            self.cancel.take(),
            tokio::runtime::Handle::try_current(),
            self.gone.is_cancelled(),
        ) {
            // Where it fails, the port stays taken as long as the connection.
            runtime.spawn(async move { cancel.output().await });
        }
    }
}

async fn ending(mut child: Child, log: Ours, master: Words) -> End {
    let status = child.wait().await.ok().and_then(|status| status.code());
    let said = tokio::fs::read_to_string(log.path()).await.unwrap_or_default();
    let refused = said.contains("session request failed");
    let words = match said.trim() {
        "" => master.last(),
        said => said.to_owned(),
    };
    End {
        refused,
        stalled: false,
        status,
        words,
    }
}

/// Standard input of a process: shutting it down closes it.
struct Closing(Option<ChildStdin>);

impl AsyncWrite for Closing {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<std::io::Result<usize>> {
        match &mut self.0 {
            Some(stdin) => Pin::new(stdin).poll_write(cx, buf),
            None => Poll::Ready(Err(std::io::ErrorKind::BrokenPipe.into())),
        }
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        match &mut self.0 {
            Some(stdin) => Pin::new(stdin).poll_flush(cx),
            None => Poll::Ready(Ok(())),
        }
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        self.0 = None;
        Poll::Ready(Ok(()))
    }
}

/// A connection through the host: a client process whose standard streams it is.
struct Line {
    /// Dropping it ends the process.
    #[expect(dead_code, reason = "held for its drop")]
    child: Child,
    stdin: Closing,
    stdout: ChildStdout,
}

impl AsyncRead for Line {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.stdout).poll_read(cx, buf)
    }
}

impl AsyncWrite for Line {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<std::io::Result<usize>> {
        Pin::new(&mut self.stdin).poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.stdin).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.stdin).poll_shutdown(cx)
    }
}
