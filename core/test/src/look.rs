//! Looking at an environment: how its machines stand, and what they said last.

use std::time::Duration;

use encamp::{BoxRead, Encamp, Environment, Exit, Machine, Observed, Phase, Report, Result, Time};
use futures_util::future::join_all;
use tokio::io::AsyncReadExt;

/// How long a look at one machine may take.
const PATIENCE: Duration = Duration::from_secs(5);
/// Lines of a machine that are shown.
const LINES: u32 = 20;

/// What a look at a machine showed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Sight {
    pub(crate) machine: String,
    pub(crate) instance: String,
    /// In a few words.
    pub(crate) state: String,
    /// The last lines since the test began, or why they cannot be read.
    pub(crate) lines: Result<Vec<String>, String>,
}

/// All machines of an environment, as they are now.
pub(crate) async fn at(encamp: &Encamp, name: &str, since: Time) -> Result<Vec<Sight>> {
    Ok(of(&encamp.environment(name).await?, since).await)
}

async fn of(environment: &Environment, since: Time) -> Vec<Sight> {
    // What was never sent cannot be looked at.
    let machines: Vec<Machine> = environment
        .machines()
        .filter(|machine| machine.id().is_some())
        .collect();
    join_all(machines.iter().map(|machine| sight(machine, since))).await
}

async fn sight(machine: &Machine, since: Time) -> Sight {
    let state = async {
        machine
            .inspect()
            .await
            .map_or_else(|error| unseen(&error), |seen| words(&seen))
    };
    let state = tokio::time::timeout(PATIENCE, state);
    let lines = tokio::time::timeout(PATIENCE, lines(machine, since));
    let (state, lines) = tokio::join!(state, lines);
    let late = || format!("no answer within {PATIENCE:?}");
    Sight {
        machine: machine.name().to_owned(),
        instance: machine.instance().to_string(),
        state: state.unwrap_or_else(|_| late()),
        lines: lines.unwrap_or_else(|_| Err(late())),
    }
}

fn unseen(error: &encamp::Error) -> String {
    format!("it cannot be looked at: {}", Report(error))
}

fn words(seen: &Observed) -> String {
    let state = match &seen.phase {
        Phase::Held => "made, and not started yet".to_owned(),
        Phase::Starting => "starting".to_owned(),
        Phase::Running => "its process lives".to_owned(),
        Phase::Paused => "paused".to_owned(),
        Phase::Stopped => "stopped".to_owned(),
        Phase::Exited(exit @ Exit::Lost(_)) => format!("its process {exit}"),
        Phase::Exited(exit) => format!("its process has ended: it {exit}"),
        Phase::Dying => "on its way to being gone".to_owned(),
        Phase::Gone => "gone".to_owned(),
        phase => format!("{phase:?}"),
    };
    match &seen.why {
        Some(why) => format!("{state} ({why})"),
        None => state,
    }
}

/// What its main process has said since then; all of it where the infrastructure does not know when it was said.
async fn lines(machine: &Machine, since: Time) -> Result<Vec<String>, String> {
    let log = match machine.logs(Some(since), false, Some(LINES)).await {
        Ok(log) => Ok(log),
        Err(_) => machine.logs(None, false, Some(LINES)).await,
    };
    let text = read(log.map_err(|error| Report(&error).to_string())?).await;
    let lines: Vec<String> = text.lines().map(ToOwned::to_owned).collect();
    let first = lines.len().saturating_sub(LINES as usize);
    Ok(lines.into_iter().skip(first).collect())
}

/// What comes until the end, or until something breaks off.
async fn read(mut log: BoxRead) -> String {
    let mut bytes = Vec::new();
    let mut part = [0; 8 * 1024];
    while let Ok(count @ 1..) = log.read(&mut part).await {
        bytes.extend_from_slice(&part[..count]);
    }
    String::from_utf8_lossy(&bytes).into_owned()
}
