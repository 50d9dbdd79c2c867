//! Kills calls in the middle, at moments that are spread over the time that they take.

use std::fmt;
use std::fs;
use std::process::Stdio;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process_group};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader, Lines};
use tokio::process::{Child, ChildStdout};
use tokio::task::JoinHandle;

use crate::bed::Bed;
use crate::call::{Answer, BEGUN, Call};
use crate::promise::{Outcome, Stop, ensure};
use encamp_core::{Cx, Error, ErrorKind, Verb};

/// A call that is shorter counts as so long: something is to lie between its moments.
const SHORTEST: Duration = Duration::from_millis(4);

/// Who is killed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Whom {
    /// The process that makes the call; a command that it has started goes on.
    Caller,
    /// The command that was started for the call, with its process group; whoever made the call hears of it.
    Command,
}

/// When and how a call is killed.
#[derive(Debug)]
pub(crate) struct Kill {
    verb: Verb,
    whom: Whom,
    /// The moment, as a part of the time that the call takes.
    part: f64,
    took: Arc<Took>,
}

/// The time that a call takes, in microseconds: that of the shortest one so far, since others may have had to wait for
/// this host.
#[derive(Debug)]
struct Took(AtomicU64);

impl Took {
    fn new(took: Duration) -> Self {
        Self(AtomicU64::new(Self::counted(took)))
    }

    fn counted(took: Duration) -> u64 {
        u64::try_from(took.max(SHORTEST).as_micros()).unwrap_or(u64::MAX)
    }

    fn get(&self) -> Duration {
        Duration::from_micros(self.0.load(Ordering::Relaxed))
    }

    fn no_more_than(&self, took: Duration) {
        self.0.fetch_min(Self::counted(took), Ordering::Relaxed);
    }
}

impl Kill {
    fn after(&self) -> Duration {
        self.took.get().mul_f64(self.part)
    }

    /// For the same call again, which may find everything done: it tells nothing of the time that the others take.
    pub(crate) fn again(&self) -> Self {
        Self {
            took: Arc::new(Took::new(self.took.get())),
            ..*self
        }
    }
}

impl fmt::Display for Kill {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let whom = match self.whom {
            Whom::Caller => "its caller",
            Whom::Command => "its command",
        };
        write!(
            f,
            "{whom} was killed {} ms after the begin of `{}`, which takes {} ms",
            self.after().as_millis(),
            self.verb.as_str(),
            self.took.get().as_millis()
        )
    }
}

/// A process that makes one call.
struct Calling {
    child: Child,
    lines: Lines<BufReader<ChildStdout>>,
    complaints: JoinHandle<String>,
}

impl Bed {
    /// Has the call made by another process to its end, and gives moments in it at which it can be killed, in `count`
    /// parts of its time and for all who can be.
    pub(crate) async fn moments(&self, call: &Call, count: u32) -> Outcome<Vec<Kill>> {
        let mut calling = self.begin(call).await?;
        let cx = self.cx();
        let bound = cx.remaining();
        match calling.answer(&cx).await? {
            Some(Answer::Done | Answer::Listed(_)) => {}
            Some(Answer::Failed(why)) => return Err(Stop::Broken(format!("`{}`: {why}", call.verb().as_str()))),
            None => {
                return Err(Stop::Broken(
                    "the process that made the call has said nothing of it".into(),
                ));
            }
        }
        let took = Arc::new(Took::new(bound.saturating_sub(cx.remaining())));
        let commands = self.factory.has_commands().then_some(Whom::Command);
        let mut kills = Vec::new();
        for part in 0..count {
            for whom in [Whom::Caller].into_iter().chain(commands) {
                kills.push(Kill {
                    verb: call.verb(),
                    whom,
                    part: (f64::from(part) + chance()?) / f64::from(count),
                    took: Arc::clone(&took),
                });
            }
        }
        Ok(kills)
    }

    /// Has the call made by another process, kills it, and gives the answer that came nevertheless.
    pub(crate) async fn kill(&self, call: &Call, kill: &Kill) -> Outcome<Option<Answer>> {
        let mut calling = self.begin(call).await?;
        let cx = self.cx();
        let bound = cx.remaining();
        tokio::select! {
            answer = calling.answer(&cx) => {
                let answer = answer?;
                // What was refused may have ended before its work.
                if matches!(answer, Some(Answer::Done | Answer::Listed(_))) {
                    kill.took.no_more_than(bound.saturating_sub(cx.remaining()));
                }
                return Ok(answer);
            }
            () = tokio::time::sleep(kill.after()) => {}
        }
        let commands = match kill.whom {
            Whom::Caller => Vec::new(),
            Whom::Command => commands(calling.child.id()),
        };
        if commands.is_empty() {
            calling.child.kill().await?;
        }
        for command in commands {
            // It may be over by now.
            let _ = kill_process_group(command, Signal::KILL);
        }
        calling.answer(&cx).await
    }

    async fn begin(&self, call: &Call) -> Outcome<Calling> {
        let missing = || Stop::NotOffered("no other process can make a call of it".into());
        let mut command = tokio::process::Command::from(self.factory.caller().ok_or_else(missing)?);
        command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        // What is typed at a terminal is for the one who asks.
        let mut child = command.process_group(0).kill_on_drop(true).spawn().map_err(|native| {
            Error::new(
                ErrorKind::Internal,
                "the process that is to make the call cannot be started",
            )
            .caused_by(native)
        })?;
        let (Some(mut stdin), Some(stdout), Some(mut stderr)) =
            (child.stdin.take(), child.stdout.take(), child.stderr.take())
        else {
            return Err(Stop::Broken(
                "the process that is to make the call has no streams".into(),
            ));
        };
        let asked = serde_json::to_vec(call).map_err(|error| Stop::Broken(error.to_string()))?;
        stdin.write_all(&asked).await?;
        drop(stdin);
        let complaints = tokio::spawn(async move {
            let mut said = Vec::new();
            // What could be read of it counts.
            let _ = stderr.read_to_end(&mut said).await;
            String::from_utf8_lossy(&said).trim().to_owned()
        });
        let mut calling = Calling {
            child,
            lines: BufReader::new(stdout).lines(),
            complaints,
        };
        match calling.line(&self.cx()).await? {
            Some(line) if line == BEGUN => Ok(calling),
            _ => {
                let said = calling.complaints.await.unwrap_or_default();
                Err(Stop::Broken(format!(
                    "the process that is to make the call did not begin: {said}"
                )))
            }
        }
    }
}

impl Calling {
    async fn line(&mut self, cx: &Cx) -> Outcome<Option<String>> {
        match tokio::time::timeout(cx.remaining(), self.lines.next_line()).await {
            Ok(line) => Ok(line?),
            Err(_) => Err(Stop::Broken("the call did not end in time".into())),
        }
    }

    /// What came of the call, to the end of the process.
    async fn answer(&mut self, cx: &Cx) -> Outcome<Option<Answer>> {
        let Some(line) = self.line(cx).await? else {
            self.child.wait().await?;
            return Ok(None);
        };
        let answer = serde_json::from_str(&line);
        let answer = answer.map_err(|error| Stop::Broken(format!("`{line}` is no answer: {error}")))?;
        let ended = tokio::time::timeout(cx.remaining(), self.child.wait()).await;
        ensure!(ended.is_ok(), "the process that has made the call does not end");
        Ok(Some(answer))
    }
}

/// Between 0 and 1.
fn chance() -> Outcome<f64> {
    let drawn = getrandom::u32().map_err(|error| Stop::Broken(format!("there is no randomness: {error}")))?;
    Ok(f64::from(drawn) / f64::from(u32::MAX))
}

/// The process groups of commands that a process has started, of which each leads its own.
fn commands(parent: Option<u32>) -> Vec<Pid> {
    let all = fs::read_dir("/proc").into_iter().flatten().flatten();
    let led = all.filter_map(|entry| {
        let number: i32 = entry.file_name().to_str()?.parse().ok()?;
        let stat = fs::read_to_string(entry.path().join("stat")).ok()?;
        // The name, which stands in brackets, may hold anything.
        let (_, rest) = stat.rsplit_once(')')?;
        let mut words = rest.split_ascii_whitespace();
        let (state, of, group) = (words.next()?, words.next()?, words.next()?);
        let ours = of.parse() == Ok(parent?) && group.parse() == Ok(number) && state != "Z";
        if ours { Pid::from_raw(number) } else { None }
    });
    led.collect()
}
