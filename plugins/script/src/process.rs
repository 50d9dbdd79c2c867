//! A command at work.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::pin::Pin;
use std::process::{ExitStatus, Stdio};
use std::task::{Context, Poll};

use async_trait::async_trait;
use encamp_core::{BoxRead, BoxWrite, Control, Cx, Error, ErrorKind, Exit, Process, Result, Retry, Signal, Size, Verb};
use rustix::process::{Pid, kill_process_group};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, ReadBuf};
use tokio::process::{Child, ChildStdin, ChildStdout, Command};

use crate::call::Call;
use crate::manifest::LONGEST;
use crate::refusal::refusal;

/// Bytes of standard output that a call may say.
const MOST: usize = 64 << 20;
/// Bytes of standard error that are kept.
const KEPT: usize = 16 << 10;
/// The variable with the request of calls whose standard input is a stream.
const REQUEST: &str = "ENCAMP_REQUEST";

/// How commands of one manifest are started: in its folder, with the variables given and no others.
#[derive(Debug)]
pub(crate) struct Starter {
    pub(crate) folder: PathBuf,
    pub(crate) variables: BTreeMap<String, String>,
}

/// Kills everything that a command has started and that is left in its group. Where it has ended, nothing is.
#[derive(Debug)]
struct Group(Option<Pid>);

impl Group {
    fn of(child: &Child) -> Self {
        let pid = child.id().and_then(|pid| i32::try_from(pid).ok());
        Self(pid.and_then(Pid::from_raw))
    }

    fn signal(&self, signal: rustix::process::Signal) {
        if let Some(group) = self.0
            && let Err(error) = kill_process_group(group, signal)
        {
            tracing::debug!(%error, "a command's processes are gone already");
        }
    }

    fn kill(&self) {
        self.signal(rustix::process::Signal::KILL);
    }
}

impl Starter {
    fn command(&self, argv: &[String], call: &Call) -> Command {
        let (program, arguments) = argv
            .split_first()
            .map_or((String::new(), &[][..]), |(first, rest)| (first.clone(), rest));
        // `./lab.sh` is the manifest's own, wherever the caller stands.
        let path = if program.contains('/') {
            self.folder.join(&program)
        } else {
            PathBuf::from(&program)
        };
        let mut command = Command::new(path);
        command
            .args(arguments)
            .args(&call.arguments)
            .env_clear()
            .envs(&self.variables)
            .envs(&call.variables)
            .current_dir(&self.folder)
            .process_group(0)
            .kill_on_drop(false)
            .stderr(Stdio::piped());
        command
    }

    /// Runs a call to its end, with the request as its standard input, and gives what it has printed. At the deadline,
    /// and when it is cancelled, everything that it started is killed: a change may have happened then.
    pub(crate) async fn run(&self, cx: &Cx, argv: &[String], call: &Call) -> Result<String> {
        let verb = call.verb;
        let mut command = self.command(argv, call);
        command.stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = start(command, verb)?;
        let group = Group::of(&child);
        let (stdin, stdout, stderr) = (child.stdin.take(), child.stdout.take(), child.stderr.take());
        let running = async {
            let streams = async { tokio::join!(feed(stdin, &call.json), all(stdout), tail(stderr)) };
            let (((), out, said), status) = tokio::join!(streams, child.wait());
            (out, said, status)
        };
        let limit = cx.remaining().min(LONGEST);
        let ended = tokio::select! {
            ended = tokio::time::timeout(limit, running) => ended.ok(),
            () = cx.cancelled() => None,
        };
        // Also what a command has left in the background with its streams.
        group.kill();
        let Some((out, said, status)) = ended else {
            let retry = if verb.is_change() { Retry::Unknown } else { Retry::Safe };
            let why = if cx.is_cancelled() {
                "was cancelled"
            } else {
                "did not end in time"
            };
            return Err(Error::new(ErrorKind::Unavailable, format!("its command {why}"))
                .retry(retry)
                .at(verb));
        };
        let exit = exit(status.map_err(|e| lost(verb, &e))?);
        if !exit.success() {
            return Err(refusal(verb, &exit, &said));
        }
        let out = out.map_err(|why| Error::new(ErrorKind::Unavailable, why).at(verb))?;
        String::from_utf8(out).map_err(|_| Error::new(ErrorKind::Unavailable, "its output is no UTF-8").at(verb))
    }

    /// A command of a machine: its streams are the machine's.
    pub(crate) fn exec(&self, argv: &[String], call: &Call, stdin: bool) -> Result<Process> {
        let mut command = self.streaming(argv, call);
        command.stdin(if stdin { Stdio::piped() } else { Stdio::null() });
        let mut child = start(command, call.verb)?;
        let group = Group::of(&child);
        Ok(Process {
            stdin: child.stdin.take().map(|stdin| Box::pin(stdin) as BoxWrite),
            stdout: read(child.stdout.take()),
            stderr: child.stderr.take().map(|stderr| Box::pin(stderr) as BoxRead),
            control: Box::new(Running { child, group }),
        })
    }

    /// What a command prints, as a stream; it is killed where nobody reads on.
    pub(crate) fn stream(&self, argv: &[String], call: &Call) -> Result<BoxRead> {
        let mut command = self.streaming(argv, call);
        command.stdin(Stdio::null());
        let mut child = start(command, call.verb)?;
        let (group, stdout) = (Group::of(&child), child.stdout.take());
        drain(&mut child);
        Ok(Box::pin(Piped {
            stdin: None,
            stdout,
            group,
            _child: child,
        }))
    }

    /// A command that takes a stream to its end.
    pub(crate) async fn take(&self, cx: &Cx, argv: &[String], call: &Call, mut stream: BoxRead) -> Result<()> {
        let mut command = self.streaming(argv, call);
        command.stdin(Stdio::piped());
        let mut child = start(command, call.verb)?;
        let group = Group::of(&child);
        let (stdin, stdout, stderr) = (child.stdin.take(), child.stdout.take(), child.stderr.take());
        let copying = async {
            if let Some(mut stdin) = stdin {
                tokio::io::copy(&mut stream, &mut stdin).await?;
                stdin.shutdown().await?;
            }
            Ok::<_, std::io::Error>(())
        };
        let running = async {
            let streams = async { tokio::join!(copying, all(stdout), tail(stderr)) };
            let ((copied, _, said), status) = tokio::join!(streams, child.wait());
            (copied, said, status)
        };
        let ended = tokio::select! {
            ended = running => Some(ended),
            () = cx.cancelled() => None,
        };
        group.kill();
        let Some((copied, said, status)) = ended else {
            return Err(Error::new(ErrorKind::Cancelled, "its command was cancelled").at(call.verb));
        };
        let exit = exit(status.map_err(|e| lost(call.verb, &e))?);
        if !exit.success() {
            return Err(refusal(call.verb, &exit, &said));
        }
        copied.map_err(|e| {
            Error::new(ErrorKind::Unavailable, "its command did not take the stream")
                .at(call.verb)
                .caused_by(e)
        })
    }

    /// A connection: what is written is its standard input, what it prints is read.
    pub(crate) fn dial(&self, argv: &[String], call: &Call) -> Result<encamp_core::Duplex> {
        let mut command = self.streaming(argv, call);
        command.stdin(Stdio::piped());
        let mut child = start(command, call.verb)?;
        let (group, stdin, stdout) = (Group::of(&child), child.stdin.take(), child.stdout.take());
        drain(&mut child);
        Ok(Box::pin(Piped {
            stdin,
            stdout,
            group,
            _child: child,
        }))
    }

    fn streaming(&self, argv: &[String], call: &Call) -> Command {
        let mut command = self.command(argv, call);
        command
            .env(REQUEST, String::from_utf8_lossy(&call.json).into_owned())
            .stdout(Stdio::piped());
        command
    }
}

fn start(mut command: Command, verb: Verb) -> Result<Child> {
    command.spawn().map_err(|e| {
        let program = command.as_std().get_program().to_string_lossy().into_owned();
        Error::new(ErrorKind::Invalid, format!("the command `{program}` cannot be started"))
            .at(verb)
            .caused_by(e)
            .next_step("is it there, and may it be executed?")
    })
}

/// Nobody else reads it.
fn drain(child: &mut Child) {
    let stderr = child.stderr.take();
    tokio::spawn(async move {
        let said = tail(stderr).await;
        if !said.is_empty() {
            tracing::debug!(said, "a command of a script");
        }
    });
}

/// A command need not read what it is given.
async fn feed(stdin: Option<ChildStdin>, request: &[u8]) {
    if let Some(mut stdin) = stdin
        && let Err(error) = stdin.write_all(request).await
    {
        tracing::debug!(%error, "a command does not read its request");
    }
}

async fn all(stdout: Option<ChildStdout>) -> Result<Vec<u8>, String> {
    let mut out = Vec::new();
    let Some(stdout) = stdout else { return Ok(out) };
    let limit = u64::try_from(MOST).unwrap_or(u64::MAX);
    let read = stdout.take(limit + 1).read_to_end(&mut out).await;
    read.map_err(|error| format!("its output broke off: {error}"))?;
    if out.len() > MOST {
        return Err(format!("it prints more than {} MiB", MOST >> 20));
    }
    Ok(out)
}

/// The last of what a stream says.
async fn tail(stream: Option<impl AsyncRead + Unpin>) -> String {
    let Some(mut stream) = stream else { return String::new() };
    let (mut kept, mut piece) = (Vec::new(), [0; 4096]);
    while let Ok(count) = stream.read(&mut piece).await {
        if count == 0 {
            break;
        }
        kept.extend_from_slice(&piece[..count]);
        if kept.len() > 2 * KEPT {
            kept.drain(..kept.len() - KEPT);
        }
    }
    String::from_utf8_lossy(&kept).into_owned()
}

fn read(stdout: Option<ChildStdout>) -> BoxRead {
    match stdout {
        Some(stdout) => Box::pin(stdout),
        None => Box::pin(tokio::io::empty()),
    }
}

fn exit(status: ExitStatus) -> Exit {
    use std::os::unix::process::ExitStatusExt;
    match (status.code(), status.signal()) {
        (Some(code), _) => Exit::Code(code),
        (None, Some(signal)) => Exit::Code(128 + signal),
        (None, None) => Exit::Lost(status.to_string()),
    }
}

fn lost(verb: Verb, error: &std::io::Error) -> Error {
    Error::new(
        ErrorKind::Internal,
        format!("how its command ended is not known: {error}"),
    )
    .retry(Retry::Unknown)
    .at(verb)
}

/// A command of a machine that runs.
#[derive(Debug)]
struct Running {
    child: Child,
    group: Group,
}

#[async_trait]
impl Control for Running {
    async fn signal(&mut self, signal: Signal) -> Result<()> {
        use rustix::process::Signal as Native;
        let native = match signal {
            Signal::Hup => Native::HUP,
            Signal::Int => Native::INT,
            Signal::Quit => Native::QUIT,
            Signal::Kill => Native::KILL,
            Signal::Term => Native::TERM,
            Signal::Usr1 => Native::USR1,
            Signal::Usr2 => Native::USR2,
            Signal::Stop => Native::STOP,
            Signal::Cont => Native::CONT,
            other => {
                return Err(Error::new(
                    ErrorKind::Unsupported,
                    format!("SIG{other} is not sent here"),
                ));
            }
        };
        self.group.signal(native);
        Ok(())
    }

    async fn resize(&mut self, _: Size) -> Result<()> {
        Err(Error::new(
            ErrorKind::Unsupported,
            "a script's commands have no terminal",
        ))
    }

    async fn wait(&mut self) -> Result<Exit> {
        let status = self.child.wait().await;
        status.map(exit).map_err(|e| lost(Verb::Exec, &e))
    }
}

/// The streams of a command that goes with them.
struct Piped {
    stdin: Option<ChildStdin>,
    stdout: Option<ChildStdout>,
    group: Group,
    _child: Child,
}

impl Drop for Piped {
    fn drop(&mut self) {
        self.group.signal(rustix::process::Signal::TERM);
        self.group.kill();
    }
}

impl AsyncRead for Piped {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<std::io::Result<()>> {
        match &mut self.stdout {
            Some(stdout) => Pin::new(stdout).poll_read(cx, buf),
            None => Poll::Ready(Ok(())),
        }
    }
}

impl AsyncWrite for Piped {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<std::io::Result<usize>> {
        match &mut self.stdin {
            Some(stdin) => Pin::new(stdin).poll_write(cx, bytes),
            None => Poll::Ready(Err(std::io::ErrorKind::BrokenPipe.into())),
        }
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        match &mut self.stdin {
            Some(stdin) => Pin::new(stdin).poll_flush(cx),
            None => Poll::Ready(Ok(())),
        }
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        // Closing it is the end of file.
        self.stdin = None;
        Poll::Ready(Ok(()))
    }
}
