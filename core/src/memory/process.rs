//! Commands that run in a machine, as the contract's processes.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use async_trait::async_trait;
use tokio::io::{AsyncRead, DuplexStream, ReadBuf};
use tokio::sync::{Mutex, watch};
use tokio::time::{Instant, Sleep};

use super::inside::{Inside, Job, Run};
use super::program::{Io, Program, until_end};
use crate::{BoxWrite, Control, Error, ErrorKind, Exec, Exit, ExitDetail, Process, Result, Signal, Size};

/// How much a pipe holds.
const PIPE: usize = 64 * 1024;

/// What the instance promises about commands.
#[derive(Debug, Clone, Copy)]
pub(super) struct Manners {
    pub(super) exits: ExitDetail,
    pub(super) signals: bool,
    /// How long after its start the link to the command breaks.
    pub(super) breaks_after: Option<Duration>,
}

/// Starts a command.
pub(super) fn start(inside: &Arc<Inside>, run: &Run, exec: Exec, manners: Manners) -> Process {
    let breaks = manners.breaks_after.map(after);
    let (stdout, to_stdout) = tokio::io::duplex(PIPE);
    let (stderr, to_stderr) = tokio::io::duplex(PIPE);
    let (stdin, from_stdin) = tokio::io::duplex(PIPE);
    let to_stdout: Arc<Mutex<BoxWrite>> = Arc::new(Mutex::new(Box::pin(to_stdout)));
    let to_stderr: Arc<Mutex<BoxWrite>> = match exec.tty {
        Some(_) => Arc::clone(&to_stdout),
        None => Arc::new(Mutex::new(Box::pin(to_stderr))),
    };
    let size = watch::Sender::new(exec.tty.unwrap_or(Size::new(24, 80)));
    let group = Job::default();
    let (pid, own) = inside.enter();
    let mut env = inside.env.clone();
    env.extend(exec.env);
    let mut program = Program {
        inside: Arc::clone(inside),
        run: run.clone(),
        group: group.clone(),
        pid,
        env,
        cwd: super::files::absolute("", exec.cwd.as_deref().unwrap_or("/")),
        user: exec.user.unwrap_or_else(|| "root".into()),
        terminal: exec.tty.map(|_| size.subscribe()),
        io: Io {
            stdin: Arc::new(Mutex::new(Box::pin(from_stdin))),
            stdout: to_stdout,
            stderr: to_stderr,
        },
        status: 0,
        last_child: None,
        children: Vec::new(),
    };
    let ended = watch::Sender::new(None);
    let tell = ended.clone();
    let (inside, run, everything) = (Arc::clone(inside), run.clone(), group.clone());
    tokio::spawn(async move {
        // The program goes first, and with it its hold on the streams.
        let exit = until_end(&own, &everything, &run, async move {
            program.execute(exec.argv).await.status()
        })
        .await;
        inside.leave(pid);
        tell.send_replace(Some(exit));
    });
    Process {
        stdin: exec.stdin.then(|| Box::pin(stdin) as BoxWrite),
        stdout: Box::pin(Link::new(stdout, breaks)),
        stderr: exec.tty.is_none().then(|| Box::pin(Link::new(stderr, breaks)) as _),
        control: Box::new(Handle {
            group,
            ended: ended.subscribe(),
            size,
            manners,
            breaks,
        }),
    }
}

#[expect(
    clippy::disallowed_methods,
    reason = "the world runs on the runtime's own time, which tests pause"
)]
fn after(span: Duration) -> Instant {
    Instant::now() + span
}

/// The end of a pipe that hears nothing more once the link is broken.
struct Link {
    stream: DuplexStream,
    breaks: Option<Pin<Box<Sleep>>>,
}

impl Link {
    fn new(stream: DuplexStream, breaks: Option<Instant>) -> Self {
        Self {
            stream,
            breaks: breaks.map(|at| Box::pin(tokio::time::sleep_until(at))),
        }
    }
}

impl AsyncRead for Link {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<std::io::Result<()>> {
        if let Some(breaks) = &mut self.breaks
            && breaks.as_mut().poll(cx).is_ready()
        {
            return Poll::Ready(Ok(()));
        }
        Pin::new(&mut self.stream).poll_read(cx, buf)
    }
}

struct Handle {
    group: Job,
    ended: watch::Receiver<Option<Exit>>,
    size: watch::Sender<Size>,
    manners: Manners,
    breaks: Option<Instant>,
}

#[async_trait]
impl Control for Handle {
    async fn signal(&mut self, signal: Signal) -> Result<()> {
        if !self.manners.signals {
            return Err(Error::new(
                ErrorKind::Unsupported,
                "this provider cannot signal commands",
            ));
        }
        self.group.kill(signal.as_str());
        Ok(())
    }

    async fn resize(&mut self, size: Size) -> Result<()> {
        self.size.send_replace(size);
        Ok(())
    }

    async fn wait(&mut self) -> Result<Exit> {
        let breaks = self.breaks;
        let broken = async move {
            match breaks {
                Some(at) => tokio::time::sleep_until(at).await,
                None => std::future::pending().await,
            }
        };
        let exit = tokio::select! {
            biased;
            ended = self.ended.wait_for(Option::is_some) => ended.ok().and_then(|exit| exit.clone()),
            () = broken => Some(Exit::Lost("the link to the machine broke".into())),
        };
        let exit = exit.unwrap_or_else(|| Exit::Lost("the machine's runtime has ended".into()));
        Ok(match (exit, self.manners.exits) {
            (Exit::Signal(name), ExitDetail::Code) => Exit::Code(128 + number(&name)),
            (exit, _) => exit,
        })
    }
}

fn number(signal: &str) -> i32 {
    match signal {
        "HUP" => 1,
        "INT" => 2,
        "QUIT" => 3,
        "USR1" => 10,
        "USR2" => 12,
        "TERM" => 15,
        _ => 9,
    }
}
