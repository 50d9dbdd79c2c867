//! A task's action on a machine.

use std::collections::VecDeque;
use std::time::Duration;

use encamp_core::{Cx, Error, ErrorKind, Exit, Process, Result, Signal, Verb};
use encamp_file::spec::{Action, Stage, Task};
use tokio::io::{AsyncBufReadExt, AsyncRead, BufReader};

use super::Staging;
use super::task::{Halt, Ran, Why};
use crate::command;
use crate::events::{Event, Stream};
use crate::inside::{Inside, LAST_LINES, feed, kill};
use crate::setup::{Act, Job, act};

/// How long a command that is over its time has to end by itself.
const TERM: Duration = Duration::from_secs(2);
/// Bytes of a line that are told; the rest of it is cut.
const LINE: usize = 16 << 10;

pub(super) async fn run(
    staging: &Staging<'_>,
    stage: &Stage,
    task: &Task,
    action: &Action,
    (place, halt): (&str, &Halt),
) -> Ran {
    let (row, provider) = match staging.reach(place).await {
        Ok(reached) => reached,
        Err(error) => return Ran::by_provider(error),
    };
    let inside = Inside::new(staging.session, provider, &row);
    let job = match prepare(staging, task, action, place, &inside).await {
        Ok(Some(job)) => job,
        Ok(None) => return Ran::exited(Exit::Code(0), Vec::new()),
        Err(error) if error.kind() == ErrorKind::Invalid => {
            return Ran::failed(encamp_core::Report(&error).to_string());
        }
        Err(error) => return Ran::by_provider(error),
    };
    // Its time counts from its begin, which a slow provider may delay.
    let cx = Cx::within(task.timeout.max(staging.session.camp.policy.change));
    let begun = tokio::select! {
        begun = inside.provider.exec(&cx, job.exec) => begun,
        () = halt.stop.cancelled(), if !task.always => {
            return Ran::halted(Why::Stopped, task.timeout, Vec::new());
        }
    };
    let process = match begun {
        Ok(process) => process,
        Err(error) => return Ran::by_provider(error.at(Verb::Exec)),
    };
    let teller = Teller {
        staging,
        stage: stage.name.as_str(),
        task: task.name.as_str(),
        place,
    };
    follow(&teller, process, job.input.as_deref(), task, halt).await
}

/// Brings what the action brings; the command that is left to be run is given, with all that the task says of it.
async fn prepare(
    staging: &Staging<'_>,
    task: &Task,
    action: &Action,
    place: &str,
    inside: &Inside,
) -> Result<Option<Job>> {
    let viewer = Staging::viewer(place);
    let invalid = |text: String| Error::new(ErrorKind::Invalid, text);
    let facts = staging.facts();
    let prepared = Act::prepare(action, &facts, &viewer).map_err(invalid)?;
    let env = command::env(&task.env, &facts, &viewer).map_err(invalid)?;
    let cwd = task.cwd.as_ref().map(|cwd| command::render(cwd, &facts, &viewer));
    let cwd = cwd.transpose().map_err(invalid)?;
    let job = act(staging.session, inside, prepared, task.timeout).await?;
    Ok(job.map(|mut job| {
        (job.exec.env, job.exec.cwd) = (env, cwd);
        job.exec.user.clone_from(&task.user);
        job.exec.stdin = job.input.is_some();
        job
    }))
}

/// Follows a process to its end, or ends it with everything it started when it is to halt.
async fn follow(teller: &Teller<'_>, process: Process, input: Option<&str>, task: &Task, halt: &Halt) -> Ran {
    let Process {
        stdin,
        stdout,
        stderr,
        mut control,
    } = process;
    // Before it becomes lines, which are cut where they are too long: half a secret is one still.
    let redactor = teller.staging.session.secrets.redactor();
    let stdout = redactor.redact_stream(stdout);
    let stderr = stderr.map(|stderr| redactor.redact_stream(stderr));
    let speaking = async {
        let ((), out, err) = tokio::join!(
            feed(stdin, input),
            teller.lines(Some(stdout), Stream::Stdout),
            teller.lines(stderr, Stream::Stderr)
        );
        last_lines(out, err)
    };
    let mut speaking = std::pin::pin!(speaking);
    let ended = {
        let both = async {
            let (tail, exit) = tokio::join!(&mut speaking, control.wait());
            (tail, exit)
        };
        tokio::select! {
            (tail, exit) = both => Ok((tail, exit)),
            why = halt.wait(task) => Err(why),
        }
    };
    match ended {
        Ok((tail, Ok(exit))) => Ran::exited(exit, tail),
        Ok((tail, Err(error))) => Ran {
            tail,
            ..Ran::by_provider(error.at(Verb::Exec))
        },
        Err(why) => {
            let _ = control.signal(Signal::Term).await;
            if tokio::time::timeout(TERM, control.wait()).await.is_err() {
                kill(&mut *control).await;
            } else {
                // What the command itself left behind goes as well.
                let _ = control.signal(Signal::Kill).await;
            }
            let tail = tokio::time::timeout(TERM, speaking).await.unwrap_or_default();
            Ran::halted(why, task.timeout, tail)
        }
    }
}

/// The last lines of both streams.
pub(super) fn last_lines(mut out: Vec<String>, err: Vec<String>) -> Vec<String> {
    out.extend(err);
    out.drain(..out.len().saturating_sub(LAST_LINES));
    out
}

/// Tells what a process says, line by line.
pub(super) struct Teller<'a> {
    pub(super) staging: &'a Staging<'a>,
    pub(super) stage: &'a str,
    pub(super) task: &'a str,
    pub(super) place: &'a str,
}

impl Teller<'_> {
    /// Tells each line and gives the last ones.
    pub(super) async fn lines(&self, stream: Option<impl AsyncRead + Unpin>, which: Stream) -> Vec<String> {
        let mut tail = VecDeque::new();
        let Some(stream) = stream else { return Vec::new() };
        let mut reader = BufReader::new(stream);
        let mut buffer = Vec::new();
        loop {
            buffer.clear();
            match read_line(&mut reader, &mut buffer).await {
                Ok(0) | Err(_) => break,
                Ok(_) => {}
            }
            let line = String::from_utf8_lossy(&buffer)
                .trim_end_matches(['\n', '\r'])
                .to_owned();
            if tail.len() == LAST_LINES {
                tail.pop_front();
            }
            tail.push_back(line.clone());
            let told = Event::TaskOutput {
                stage: self.stage.to_owned(),
                task: self.task.to_owned(),
                machine: self.place.to_owned(),
                stream: which,
                line,
            };
            self.staging.results.task_line(self.stage, self.task, self.place, &told);
            self.staging.session.events.tell(told).await;
        }
        tail.into()
    }
}

/// Reads to the end of a line and keeps its beginning: a line without an end fills no memory.
async fn read_line(reader: &mut (impl AsyncBufReadExt + Unpin), kept: &mut Vec<u8>) -> std::io::Result<usize> {
    let mut read = 0;
    loop {
        let available = reader.fill_buf().await?;
        if available.is_empty() {
            return Ok(read);
        }
        let end = available.iter().position(|byte| *byte == b'\n');
        let taken = end.map_or(available.len(), |end| end + 1);
        let room = LINE.saturating_sub(kept.len()).min(taken);
        kept.extend_from_slice(&available[..room]);
        reader.consume(taken);
        read += taken;
        if end.is_some() {
            return Ok(read);
        }
    }
}
