//! A command at work.

mod leader;
mod piped;
mod running;
mod streams;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::Stdio;
use std::time::Duration;

use encamp_core::{BoxRead, BoxWrite, Cx, Error, ErrorKind, Process, Result, Retry, Verb};
use tokio::io::AsyncWriteExt;
use tokio::net::unix::pipe::Sender;
use tokio::process::{ChildStderr, ChildStdin, ChildStdout, Command};

use self::leader::{Leader, Left};
use self::piped::{Begun, Piped};
use self::running::Running;
use self::streams::{all, feed, tail};
use crate::call::Call;
use crate::refusal::{refusal, unsure};
use crate::turn::Turn;

/// After this long a connection counts as made, and a log as followed: what cannot be says so before.
const SETTLED: Duration = Duration::from_millis(200);
/// The variable with the request of calls whose standard input is a stream.
const REQUEST: &str = "ENCAMP_REQUEST";

/// How commands of one manifest are started: in its folder, with the variables given and no others.
#[derive(Debug)]
pub(crate) struct Starter {
    pub(crate) folder: PathBuf,
    pub(crate) variables: BTreeMap<String, String>,
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
            .envs(call.told())
            .current_dir(&self.folder)
            .process_group(0)
            .kill_on_drop(false)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        command
    }

    /// Runs a call to its end, with the request as its standard input, and gives what it has printed. At the deadline,
    /// and when it is cancelled, everything that it started is killed: a change may have happened then.
    pub(crate) async fn run(&self, cx: &Cx, argv: &[String], call: &Call) -> Result<String> {
        let mut command = self.command(argv, call);
        command.stdin(Stdio::piped());
        let mut started = start(command, call.verb, Left::Killed)?;
        let stdin = started.stdin.take();
        started.attend(cx, call.verb, feed(stdin, &call.json)).await?.text()
    }

    /// The same of a change, in its machine's turn: who comes later sees by the pipe whether its command is at work.
    pub(crate) async fn change(&self, cx: &Cx, argv: &[String], call: &Call, turn: &Turn) -> Result<String> {
        let (theirs, ours) = turn.pipe()?;
        let stdin = Sender::from_owned_fd(ours).map_err(|e| {
            let error = Error::new(ErrorKind::Unavailable, "its command cannot be told its request");
            error.retry(Retry::Safe).at(call.verb).caused_by(e)
        })?;
        let mut command = self.command(argv, call);
        command.stdin(Stdio::from(theirs));
        let mut started = start(command, call.verb, Left::Killed)?;
        let ended = started.attend(cx, call.verb, feed(Some(stdin), &call.json)).await;
        if started.leader.is_over() {
            turn.over();
        }
        ended?.text()
    }

    /// A command of a machine: its streams are the machine's.
    pub(crate) fn exec(&self, argv: &[String], call: &Call, stdin: bool) -> Result<Process> {
        let mut command = self.streaming(argv, call);
        command.stdin(if stdin { Stdio::piped() } else { Stdio::null() });
        let started = start(command, call.verb, Left::Alone)?;
        Ok(Process {
            stdin: started.stdin.map(|stdin| Box::pin(stdin) as BoxWrite),
            stdout: match started.stdout {
                Some(stdout) => Box::pin(stdout),
                None => Box::pin(tokio::io::empty()),
            },
            stderr: started.stderr.map(|stderr| Box::pin(stderr) as BoxRead),
            control: Box::new(Running(started.leader)),
        })
    }

    /// What a command prints, as a stream. Of one that is followed nothing may ever come.
    pub(crate) async fn stream(&self, cx: &Cx, argv: &[String], call: &Call, follow: bool) -> Result<BoxRead> {
        let mut command = self.streaming(argv, call);
        command.stdin(Stdio::null());
        let mut piped = start(command, call.verb, Left::Killed)?.piped(call.verb);
        let patience = if follow { SETTLED } else { cx.remaining() };
        if piped.begin(cx, patience).await?.is_none() && !follow {
            return Err(unsure(call.verb, "its command says nothing"));
        }
        Ok(Box::pin(piped))
    }

    /// A command that takes a stream to its end.
    pub(crate) async fn take(&self, cx: &Cx, argv: &[String], call: &Call, mut stream: BoxRead) -> Result<()> {
        let mut command = self.streaming(argv, call);
        command.stdin(Stdio::piped());
        let mut started = start(command, call.verb, Left::Killed)?;
        let stdin = started.stdin.take();
        let copying = async {
            if let Some(mut stdin) = stdin {
                tokio::io::copy(&mut stream, &mut stdin).await?;
                stdin.shutdown().await?;
            }
            Ok::<_, std::io::Error>(())
        };
        let ended = started.attend(cx, call.verb, copying).await?;
        let untaken = || unsure(call.verb, "its command did not take the stream");
        ended.fed.ok_or_else(untaken)?.map_err(|e| untaken().caused_by(e))
    }

    /// A connection: what is written is its standard input, what it prints is read.
    pub(crate) async fn dial(&self, cx: &Cx, argv: &[String], call: &Call) -> Result<encamp_core::Duplex> {
        let mut command = self.streaming(argv, call);
        command.stdin(Stdio::piped());
        let mut piped = start(command, call.verb, Left::Killed)?.piped(call.verb);
        if piped.begin(cx, SETTLED).await? == Some(Begun::Over) {
            return Err(unsure(call.verb, "its command ended at once: nothing listens there"));
        }
        Ok(Box::pin(piped))
    }

    fn streaming(&self, argv: &[String], call: &Call) -> Command {
        let mut command = self.command(argv, call);
        command.env(REQUEST, String::from_utf8_lossy(&call.json).into_owned());
        command
    }
}

/// A command that was started, with its streams.
struct Started {
    leader: Leader,
    stdin: Option<ChildStdin>,
    stdout: Option<ChildStdout>,
    stderr: Option<ChildStderr>,
}

/// A command that has ended well.
struct Ended<T> {
    verb: Verb,
    out: Result<Vec<u8>, String>,
    /// What came of giving it what it is given; nothing where it has ended before.
    fed: Option<T>,
}

impl<T> Ended<T> {
    fn text(self) -> Result<String> {
        let out = self.out.map_err(|why| unsure(self.verb, why))?;
        String::from_utf8(out).map_err(|_| unsure(self.verb, "its output is no UTF-8"))
    }
}

impl Started {
    /// To its end, which must be a good one.
    async fn attend<T>(&mut self, cx: &Cx, verb: Verb, feeding: impl Future<Output = T>) -> Result<Ended<T>> {
        let (stdout, stderr) = (self.stdout.take(), self.stderr.take());
        let (mut out, mut said, mut whole, mut fed) = (Vec::new(), Vec::new(), Ok(()), None);
        let streams = async {
            let feeding = async { fed = Some(feeding.await) };
            let reading = async { whole = all(stdout, &mut out).await };
            tokio::join!(feeding, reading, tail(stderr, &mut said));
        };
        let ended = tokio::select! {
            ended = tokio::time::timeout(cx.remaining(), self.leader.ended_with(streams)) => ended.ok(),
            () = cx.cancelled() => None,
        };
        let Some(ended) = ended else {
            let why = if cx.is_cancelled() {
                "was cancelled"
            } else {
                "did not end in time"
            };
            self.leader.kill().await;
            return Err(unsure(verb, format!("its command {why}")));
        };
        let exit = ended.map_err(|e| lost(verb, &e))?;
        if !exit.success() {
            return Err(refusal(verb, &exit, &String::from_utf8_lossy(&said)));
        }
        let out = whole.map(|()| out);
        Ok(Ended { verb, out, fed })
    }

    fn piped(self, verb: Verb) -> Piped {
        Piped::new(verb, self.leader, self.stdin, self.stdout, self.stderr)
    }
}

fn start(mut command: Command, verb: Verb, left: Left) -> Result<Started> {
    let program = command.as_std().get_program().to_string_lossy().into_owned();
    let mut child = command.spawn().map_err(|e| unstarted(verb, &program, e))?;
    let (stdin, stdout, stderr) = (child.stdin.take(), child.stdout.take(), child.stderr.take());
    Ok(Started {
        leader: Leader::new(child, left).map_err(|e| lost(verb, &e))?,
        stdin,
        stdout,
        stderr,
    })
}

/// Nothing came of it, whatever the reason.
fn unstarted(verb: Verb, program: &str, error: std::io::Error) -> Error {
    use rustix::io::Errno;
    let native = Errno::from_io_error(&error);
    let refused = |kind, why: String| Error::new(kind, why).at(verb).caused_by(error);
    match native {
        Some(Errno::TOOBIG) => refused(
            ErrorKind::Invalid,
            format!("the request is too long to be told to `{program}` by variables"),
        ),
        // This host is short of something, or the file is just being written.
        Some(Errno::AGAIN | Errno::MFILE | Errno::NFILE | Errno::NOMEM | Errno::TXTBSY) => refused(
            ErrorKind::Unavailable,
            format!("the command `{program}` cannot be started now"),
        )
        .retry(Retry::Safe),
        _ => refused(ErrorKind::Invalid, format!("the command `{program}` cannot be started"))
            .next_step("is it there, and may it be executed?"),
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
