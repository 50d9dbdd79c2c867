//! A task's command in a machine.

use std::time::Duration;

use encamp_core::{Cx, Env, Exec, Process, Signal, Target, Verb};
use encamp_file::spec::{Command, Stage, Task};
use tokio::io::{AsyncBufReadExt, AsyncRead, BufReader};

use super::Staging;
use super::task::Ran;
use crate::events::{Event, Stream};
use crate::inside::{LAST_LINES, kill};
use crate::ready;

/// How long a command that is over its time has to end by itself.
const TERM: Duration = Duration::from_secs(2);
/// Bytes of a line that are told; the rest of it is cut.
const LINE: usize = 16 << 10;

pub(super) async fn run(staging: &Staging<'_>, stage: &Stage, task: &Task, command: &Command, place: &str) -> Ran {
    let exec = match exec_of(staging, task, command, place) {
        Ok(exec) => exec,
        Err(text) => return Ran::failed(text),
    };
    let Some(row) = encamp_core::Name::new(place)
        .ok()
        .and_then(|name| staging.raised.rows.get(&name))
    else {
        return Ran::failed(format!("there is no machine {place}"));
    };
    let provider = match staging.provider_of(row).await {
        Ok(provider) => provider,
        Err(error) => return Ran::by_provider(error),
    };
    let cx = Cx::within(task.timeout);
    let process = match provider.exec(&cx, exec).await {
        Ok(process) => process,
        Err(error) => return Ran::by_provider(error.at(Verb::Exec)),
    };
    follow(staging, stage, task, place, process).await
}

fn exec_of(staging: &Staging<'_>, task: &Task, command: &Command, place: &str) -> Result<Exec, String> {
    let name = encamp_core::Name::new(place).map_err(|e| e.to_string())?;
    let row = staging
        .raised
        .rows
        .get(&name)
        .ok_or_else(|| format!("there is no machine {place}"))?;
    let viewer = Staging::viewer(place);
    let facts = &staging.raised.facts;
    let render = |text: &encamp_file::text::Text| text.render(facts, &viewer).map_err(|e| e.to_string());
    let target = Target::new(row.stamp.clone(), row.site.clone(), row.id.clone());
    let mut exec = Exec::new(target, ready::argv(command, facts, &viewer)?);
    exec.env = task
        .env
        .iter()
        .map(|(name, text)| Ok((name.clone(), render(text)?)))
        .collect::<Result<Env, String>>()?;
    exec.cwd = task.cwd.as_ref().map(render).transpose()?;
    exec.user.clone_from(&task.user);
    Ok(exec)
}

/// Follows a process to its end, or ends it at the task's time-out or the user's stop with everything it started.
async fn follow(staging: &Staging<'_>, stage: &Stage, task: &Task, place: &str, process: Process) -> Ran {
    let Process {
        stdin,
        stdout,
        stderr,
        mut control,
    } = process;
    drop(stdin);
    let teller = Teller {
        staging,
        stage: stage.name.as_str(),
        task: task.name.as_str(),
        place,
    };
    let speaking = async {
        let (out, err) = tokio::join!(
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
            () = tokio::time::sleep(task.timeout) => Err(false),
            () = staging.stop.cancelled(), if !task.always => Err(true),
        }
    };
    match ended {
        Ok((tail, Ok(exit))) => Ran::exited(exit, tail),
        Ok((tail, Err(error))) => Ran {
            tail,
            ..Ran::by_provider(error.at(Verb::Exec))
        },
        Err(interrupted) => {
            let _ = control.signal(Signal::Term).await;
            if tokio::time::timeout(TERM, control.wait()).await.is_err() {
                kill(&mut *control).await;
            } else {
                // What the command itself left behind goes as well.
                let _ = control.signal(Signal::Kill).await;
            }
            let tail = tokio::time::timeout(TERM, speaking).await.unwrap_or_default();
            Ran::ended(interrupted, task.timeout, tail)
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
        let mut tail = std::collections::VecDeque::new();
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
