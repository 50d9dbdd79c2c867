//! A task's command beside encamp itself, in the file's folder.

use std::process::Stdio;
use std::time::Duration;

use encamp_core::{BoxWrite, Exit};
use encamp_file::spec::{Action, Stage, Task};
use encamp_file::text::{Facts, Viewer};
use rustix::process::{Pid, Signal, kill_process_group};
use tokio::process::{Child, Command};

use super::Staging;
use super::machine::{Teller, last_lines};
use super::task::{Halt, Ran};
use crate::command::{self, Line};
use crate::events::Stream;
use crate::inside::feed;

/// How long a command that is over its time has to end by itself.
const TERM: Duration = Duration::from_secs(2);

pub(super) async fn run(staging: &Staging<'_>, stage: &Stage, task: &Task, action: &Action, halt: &Halt) -> Ran {
    match spawn(staging, task, action) {
        Ok(spawned) => follow(staging, stage, task, spawned, halt).await,
        Err(text) => Ran::failed(text),
    }
}

fn line(action: &Action, facts: &Facts) -> Result<Line, String> {
    match action {
        Action::Run(command) => command::line(command, facts, &Viewer::Controller),
        Action::Script(script) => {
            let arguments = command::arguments(&script.args, facts, &Viewer::Controller)?;
            // Absolute, or a bare name would be looked for in PATH.
            let file = std::path::absolute(&script.file).map_err(|e| format!("{}: {e}", script.file.display()))?;
            let file = file.display().to_string();
            Ok(Line {
                argv: std::iter::once(file).chain(arguments).collect(),
                input: None,
            })
        }
        Action::Copy(_) | Action::Template(_) | Action::Fetch(_) | Action::Sync(_) => {
            Err("on the controller only `run` and `script` are done".to_owned())
        }
    }
}

fn spawn(staging: &Staging<'_>, task: &Task, action: &Action) -> Result<(Child, Option<String>), String> {
    let facts = staging.facts();
    let Line { argv, input } = line(action, &facts)?;
    let [program, arguments @ ..] = argv.as_slice() else {
        return Err("the command is empty".into());
    };
    let mut command = Command::new(program);
    let folder = match &task.cwd {
        Some(cwd) => staging
            .spec
            .folder
            .join(command::render(cwd, &facts, &Viewer::Controller)?),
        None => staging.spec.folder.clone(),
    };
    command
        .args(arguments)
        .current_dir(folder)
        .stdin(if input.is_some() { Stdio::piped() } else { Stdio::null() })
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    // A group of its own, so that everything it starts can be ended with it and a Ctrl-C at the terminal does not reach it.
    command.process_group(0).kill_on_drop(true);
    command.envs(command::env(&task.env, &facts, &Viewer::Controller)?);
    let child = command
        .spawn()
        .map_err(|e| format!("`{program}` cannot be started: {e}"))?;
    Ok((child, input))
}

async fn follow(
    staging: &Staging<'_>,
    stage: &Stage,
    task: &Task,
    (mut child, input): (Child, Option<String>),
    halt: &Halt,
) -> Ran {
    let group = child.id().and_then(|id| Pid::from_raw(id.cast_signed()));
    let teller = Teller {
        staging,
        stage: stage.name.as_str(),
        task: task.name.as_str(),
        place: "controller",
    };
    let stdin: Option<BoxWrite> = child.stdin.take().map(|stdin| Box::pin(stdin) as BoxWrite);
    let (stdout, stderr) = (child.stdout.take(), child.stderr.take());
    let speaking = async {
        let ((), out, err) = tokio::join!(
            feed(stdin, input.as_deref()),
            teller.lines(stdout, Stream::Stdout),
            teller.lines(stderr, Stream::Stderr)
        );
        last_lines(out, err)
    };
    let mut speaking = std::pin::pin!(speaking);
    let ended = tokio::select! {
        (tail, status) = async { tokio::join!(&mut speaking, child.wait()) } => Ok((tail, status)),
        why = halt.wait(task) => Err(why),
    };
    let signal = |signal| {
        if let Some(group) = group {
            let _ = kill_process_group(group, signal);
        }
    };
    match ended {
        Ok((tail, Ok(status))) => Ran::exited(exit_of(status), tail),
        Ok((tail, Err(error))) => Ran {
            tail,
            ..Ran::failed(format!("its end was not seen: {error}"))
        },
        Err(why) => {
            signal(Signal::TERM);
            let _ = tokio::time::timeout(TERM, child.wait()).await;
            signal(Signal::KILL);
            let _ = tokio::time::timeout(TERM, child.wait()).await;
            let tail = tokio::time::timeout(TERM, speaking).await.unwrap_or_default();
            Ran::halted(why, task.timeout, tail)
        }
    }
}

fn exit_of(status: std::process::ExitStatus) -> Exit {
    use std::os::unix::process::ExitStatusExt;
    match (status.code(), status.signal()) {
        (Some(code), _) => Exit::Code(code),
        (None, Some(signal)) => Exit::Signal(signal_name(signal)),
        (None, None) => Exit::Lost("no status was given".into()),
    }
}

fn signal_name(number: i32) -> String {
    const NAMES: [(i32, &str); 8] = [
        (1, "HUP"),
        (2, "INT"),
        (3, "QUIT"),
        (6, "ABRT"),
        (9, "KILL"),
        (11, "SEGV"),
        (13, "PIPE"),
        (15, "TERM"),
    ];
    NAMES
        .iter()
        .find(|(known, _)| *known == number)
        .map_or_else(|| number.to_string(), |(_, name)| (*name).to_owned())
}
