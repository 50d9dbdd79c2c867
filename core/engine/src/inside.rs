//! What the engine does inside a machine: short commands, connections, the last lines.

use std::future::Future;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use encamp_core::{
    BoxRead, BoxWrite, CopyIn, CopyOut, Cx, Duplex, Error, ErrorKind, Exec, Exit, Logs, Observed, Process, Provider,
    Result, Signal, Target, Verb,
};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt};
use tokio_util::sync::CancellationToken;

use crate::journal::IntentRow;
use crate::session::Session;

/// Bytes of a short command's output that are kept.
const KEPT: usize = 64 << 10;
/// Lines that a failure shows.
pub(crate) const LAST_LINES: usize = 20;

/// One machine, reached through its provider.
#[derive(Debug, Clone)]
pub(crate) struct Inside {
    pub(crate) provider: Arc<dyn Provider>,
    pub(crate) target: Target,
    pub(crate) machine: String,
    pub(crate) environment: String,
    check: Duration,
}

/// How a short command ended, and the end of what it said.
#[derive(Debug)]
pub(crate) struct Said {
    pub(crate) exit: Exit,
    /// Both streams.
    pub(crate) text: String,
    /// Standard output alone.
    out: String,
}

impl Said {
    /// The last line of standard output that is not empty.
    pub(crate) fn last_line(&self) -> Option<&str> {
        self.out.lines().map(str::trim).rfind(|line| !line.is_empty())
    }
}

impl Inside {
    pub(crate) fn new(session: &Session, provider: Arc<dyn Provider>, row: &IntentRow) -> Self {
        Self::of(&session.row.name, session.camp.policy.check, provider, row)
    }

    /// For whoever only looks, and holds no environment.
    pub(crate) fn of(environment: &str, check: Duration, provider: Arc<dyn Provider>, row: &IntentRow) -> Self {
        Self {
            provider,
            target: Target::new(row.stamp.clone(), row.site.clone(), row.id.clone()),
            machine: row.object.clone(),
            environment: environment.to_owned(),
            check,
        }
    }

    pub(crate) async fn look(&self) -> Result<Observed> {
        self.provider
            .inspect(&Cx::within(self.check), self.target.clone())
            .await
    }

    pub(crate) async fn dial(&self, port: u16, within: Duration) -> Result<Duplex> {
        self.provider
            .dial(&Cx::within(within), encamp_core::Dial::new(self.target.clone(), port))
            .await
    }

    /// Unpacks a tar stream into a folder.
    pub(crate) async fn copy_in(&self, folder: &str, tar: BoxRead, within: Duration) -> Result<()> {
        let copy = CopyIn::new(self.target.clone(), folder);
        within_time(within, self.provider.copy_in(&Cx::within(within), copy, tar)).await
    }

    /// Packs a path as a tar stream.
    pub(crate) async fn copy_out(&self, path: &str, within: Duration) -> Result<BoxRead> {
        let copy = CopyOut::new(self.target.clone(), path);
        within_time(within, self.provider.copy_out(&Cx::within(within), copy)).await
    }

    /// Runs a command to its end, with `input` as its standard input. At the deadline, and when it is to stop,
    /// everything that it started is killed.
    pub(crate) async fn run(
        &self,
        mut exec: Exec,
        input: Option<&str>,
        within: Duration,
        stop: &CancellationToken,
    ) -> Result<Said> {
        exec.stdin = input.is_some();
        let cx = Cx::within(within);
        let Process {
            stdin,
            stdout,
            stderr,
            mut control,
        } = self.provider.exec(&cx, exec).await?;
        let running = async {
            let streams = async { tokio::join!(feed(stdin, input), tail(Some(stdout)), tail(stderr)) };
            let (((), (out, read), (err, _)), exit) = tokio::join!(streams, control.wait());
            let exit = exit?;
            if let (Err(native), true) = (read, exit.success()) {
                // Half of an output may not become a value.
                return Err(broken_off(native));
            }
            Ok(Said {
                exit,
                text: join(&out, &err),
                out: String::from_utf8_lossy(&out).into_owned(),
            })
        };
        let error = tokio::select! {
            ended = tokio::time::timeout(within, running) => match ended {
                Ok(said) => return said,
                Err(_) => Error::new(ErrorKind::Unavailable, format!("no answer within {within:?}")),
            },
            () = stop.cancelled() => Error::new(ErrorKind::Cancelled, "it was stopped"),
        };
        kill(&mut *control).await;
        Err(error.at(Verb::Exec))
    }

    /// The last lines of the machine's main process; empty where its provider has no logs.
    pub(crate) async fn last_lines(&self) -> Vec<String> {
        if !self.provider.capabilities().offers(Verb::Logs) {
            return Vec::new();
        }
        let mut logs = Logs::new(self.target.clone());
        logs.tail = Some(u32::try_from(LAST_LINES).unwrap_or(u32::MAX));
        let reading = async {
            let stream = self.provider.logs(&Cx::within(self.check), logs).await.ok()?;
            Some(tail(Some(stream)).await.0)
        };
        let text = tokio::time::timeout(self.check, reading)
            .await
            .ok()
            .flatten()
            .unwrap_or_default();
        lines_of(&text)
    }
}

async fn within_time<T>(within: Duration, call: impl Future<Output = Result<T>>) -> Result<T> {
    match tokio::time::timeout(within, call).await {
        Ok(answer) => answer,
        Err(_) => Err(Error::new(
            ErrorKind::Unavailable,
            format!("no answer within {within:?}"),
        )),
    }
}

/// A command that ended well, and did not get out all that it has said.
pub(crate) fn broken_off(native: io::Error) -> Error {
    let what = "the command exited 0, and its output broke off before that";
    Error::new(ErrorKind::Unavailable, what)
        .caused_by(native)
        .at(Verb::Exec)
}

/// Gives a command its input. One that does not read it to the end has its reasons.
pub(crate) async fn feed(stdin: Option<BoxWrite>, input: Option<&str>) {
    let (Some(mut stdin), Some(input)) = (stdin, input) else {
        return;
    };
    let writing = async {
        stdin.write_all(input.as_bytes()).await?;
        stdin.shutdown().await
    };
    if let Err(error) = writing.await {
        tracing::debug!(%error, "a command did not read its input to the end");
    }
}

/// Ends a command and everything that it started.
pub(crate) async fn kill(control: &mut dyn encamp_core::Control) {
    let patience = Duration::from_secs(5);
    let killing = async {
        control.signal(Signal::Kill).await?;
        control.wait().await
    };
    if let Err(_) | Ok(Err(_)) = tokio::time::timeout(patience, killing).await {
        tracing::debug!("a command could not be seen to end");
    }
}

/// The end of what a stream says, and whether it ended by itself.
async fn tail(stream: Option<impl AsyncRead + Unpin>) -> (Vec<u8>, io::Result<()>) {
    let mut kept = Vec::new();
    let Some(mut stream) = stream else {
        return (kept, Ok(()));
    };
    let mut buffer = vec![0; 8192];
    loop {
        match stream.read(&mut buffer).await {
            Ok(0) => return (kept, Ok(())),
            Ok(read) => kept.extend_from_slice(&buffer[..read]),
            Err(error) => return (kept, Err(error)),
        }
        if kept.len() > 2 * KEPT {
            kept.drain(..kept.len() - KEPT);
        }
    }
}

fn join(out: &[u8], err: &[u8]) -> String {
    let mut text = String::from_utf8_lossy(out).into_owned();
    if !text.is_empty() && !text.ends_with('\n') && !err.is_empty() {
        text.push('\n');
    }
    text.push_str(&String::from_utf8_lossy(err));
    text
}

fn lines_of(bytes: &[u8]) -> Vec<String> {
    let text = String::from_utf8_lossy(bytes);
    let lines: Vec<&str> = text.lines().collect();
    lines[lines.len().saturating_sub(LAST_LINES)..]
        .iter()
        .map(|line| (*line).to_owned())
        .collect()
}
