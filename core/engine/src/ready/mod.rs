//! Readiness: a condition a file, judged in the machine's own network and never through a published port.

mod cloud_init;
mod file;
mod health;
mod http;
mod log;
mod missed;
mod run;
mod ssh;
mod tcp;

use std::time::Duration;

use encamp_core::{Error, ErrorKind, Exit, Observed, Phase, Result, Verb};
use encamp_file::spec::{self, Condition, Probe};
use encamp_file::text::{Facts, Viewer};

use self::missed::Missed;
use crate::clock::monotonic_now as now;
use crate::inside::Inside;

/// The first and the longest pause between two looks at a machine.
const LOOK: (Duration, Duration) = (Duration::from_millis(50), Duration::from_secs(1));

/// A machine whose conditions are judged, and what its texts may speak of.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Judged<'a> {
    pub(crate) inside: &'a Inside,
    pub(crate) spec: &'a spec::Machine,
    pub(crate) facts: &'a Facts,
}

impl Judged<'_> {
    fn viewer(&self) -> Viewer {
        Viewer::Member(self.spec.name.clone())
    }

    fn port(&self, name: &encamp_core::Name) -> Result<u16, String> {
        self.spec
            .port(name.as_str())
            .map(|port| port.port)
            .ok_or_else(|| format!("no port is called `{name}`"))
    }
}

/// Whether the machine's process is meant to end.
pub(crate) fn ends(spec: &spec::Machine) -> bool {
    spec.ready
        .iter()
        .any(|probe| matches!(probe.condition, Condition::Exited))
}

/// Waits until the machine runs and `probes` hold. Fails at once where its process dies.
pub(crate) async fn wait(judged: Judged<'_>, probes: &[Probe]) -> Result<Observed> {
    if probes.iter().any(|probe| matches!(probe.condition, Condition::Exited)) {
        return wait_for_exit(judged.inside, probes).await;
    }
    let observed = running(judged.inside).await?;
    if probes.is_empty() {
        return Ok(observed);
    }
    let all = async {
        let probes = probes.iter().map(|probe| hold(judged, probe));
        futures_util::future::try_join_all(probes).await
    };
    tokio::select! {
        held = all => { held?; }
        death = watch(judged.inside) => return Err(death),
    }
    Ok(observed)
}

/// A few words about what a machine waits for.
pub(crate) fn summary(probes: &[Probe]) -> String {
    probes
        .iter()
        .map(|probe| words(&probe.condition))
        .collect::<Vec<_>>()
        .join(", ")
}

fn words(condition: &Condition) -> String {
    match condition {
        Condition::Tcp { port } => format!("tcp {port}"),
        Condition::Http { path, .. } => format!("http {}", path.source()),
        Condition::Run(command) => format!("run {command}"),
        Condition::Exited => "exited".into(),
        Condition::Log { pattern } => format!("log {pattern}"),
        Condition::File { path } => format!("file {}", path.source()),
        Condition::Healthcheck => "healthcheck".into(),
        Condition::Ssh => "ssh".into(),
        Condition::CloudInit => "cloud_init".into(),
    }
}

/// Waits until the machine runs.
pub(crate) async fn running(inside: &Inside) -> Result<Observed> {
    let mut pause = LOOK.0;
    loop {
        let observed = inside.look().await?;
        match &observed.phase {
            Phase::Running => return Ok(observed),
            Phase::Held | Phase::Starting | Phase::Paused => {}
            phase => return Err(died(inside, phase, observed.why).await),
        }
        tokio::time::sleep(pause).await;
        pause = (pause * 2).min(LOOK.1);
    }
}

/// Returns only when the machine's process has died, or is nowhere to be seen.
async fn watch(inside: &Inside) -> Error {
    let mut pause = LOOK.0;
    loop {
        tokio::time::sleep(pause).await;
        pause = (pause * 2).min(LOOK.1);
        match inside.look().await {
            Ok(observed)
                if matches!(
                    observed.phase,
                    Phase::Running | Phase::Starting | Phase::Held | Phase::Paused
                ) => {}
            Ok(observed) => return died(inside, &observed.phase, observed.why).await,
            Err(error) => return error,
        }
    }
}

async fn wait_for_exit(inside: &Inside, probes: &[Probe]) -> Result<Observed> {
    let within = probes.iter().map(|probe| probe.within).max().unwrap_or_default();
    let end = now() + within;
    let mut pause = LOOK.0;
    loop {
        let observed = inside.look().await?;
        match &observed.phase {
            Phase::Exited(Exit::Code(0)) => return Ok(observed),
            Phase::Held | Phase::Starting | Phase::Running | Phase::Paused => {}
            phase => return Err(died(inside, phase, observed.why).await),
        }
        if now() + pause > end {
            return Err(
                Error::new(ErrorKind::Unavailable, format!("it did not exit within {within:?}"))
                    .of_machine(&inside.machine),
            );
        }
        tokio::time::sleep(pause).await;
        pause = (pause * 2).min(LOOK.1);
    }
}

/// How the process of a machine that was to go on has ended.
pub(crate) fn ended(exit: &Exit) -> String {
    match exit {
        Exit::Code(0) => "its process ended (exit 0), and a machine has to keep running unless `ready` says \
                          `exited = 0`"
            .to_owned(),
        exit => format!("its process {exit}"),
    }
}

async fn died(inside: &Inside, phase: &Phase, why: Option<String>) -> Error {
    let how = match phase {
        Phase::Exited(exit) => ended(exit),
        Phase::Stopped => "it was stopped".to_owned(),
        Phase::Dying | Phase::Gone => "it is not there any more".to_owned(),
        phase => format!("it is {phase:?}"),
    };
    let mut error = Error::new(
        ErrorKind::Unavailable,
        match why {
            Some(why) => format!("{how} ({why})"),
            None => how,
        },
    )
    .at(Verb::Inspect)
    .of_machine(&inside.machine)
    .of_environment(&inside.environment);
    for line in inside.last_lines().await {
        error = error.with("said", line);
    }
    error
}

/// Tries one condition until it holds, as long without a break as it says, and not longer than its `within`.
async fn hold(judged: Judged<'_>, probe: &Probe) -> Result<()> {
    let inside = judged.inside;
    let end = now() + probe.within;
    let mut attempts = 0u32;
    let mut holds_since = None;
    let mut last = String::new();
    loop {
        attempts += 1;
        let left = end.saturating_duration_since(now());
        let limit = probe.timeout.min(left.max(Duration::from_millis(1)));
        let attempt = attempt(judged, probe, limit);
        last = match tokio::time::timeout(limit, attempt).await {
            Ok(Ok(())) => {
                let since = *holds_since.get_or_insert_with(now);
                let stable = probe.stable.unwrap_or_default();
                if since.elapsed() >= stable {
                    return Ok(());
                }
                format!("it held for {:.1?} of {stable:?}", since.elapsed())
            }
            Ok(Err(Missed::Yet(why))) => {
                holds_since = None;
                why
            }
            Ok(Err(Missed::ForGood(why))) => return Err(missed(inside, probe, &format!("cannot hold: {why}")).await),
            Err(_) => {
                holds_since = None;
                // One that had less than its time says nothing about the machine.
                if limit < probe.timeout && !last.is_empty() {
                    last
                } else {
                    format!("no answer within {limit:?}")
                }
            }
        };
        if now() + probe.every > end {
            let within = probe.within;
            let how = format!("did not hold within {within:?} ({attempts} attempts); the last one: {last}");
            return Err(missed(inside, probe, &how).await);
        }
        tokio::time::sleep(probe.every).await;
    }
}

async fn missed(inside: &Inside, probe: &Probe, how: &str) -> Error {
    let what = words(&probe.condition);
    let mut error = Error::new(ErrorKind::Unavailable, format!("`{what}` {how}"))
        .of_machine(&inside.machine)
        .of_environment(&inside.environment);
    if let Some(place) = &probe.place {
        error = error.with("place", place);
    }
    for line in inside.last_lines().await {
        error = error.with("said", line);
    }
    error
}

/// One attempt; the text says why it did not hold.
async fn attempt(judged: Judged<'_>, probe: &Probe, limit: Duration) -> Result<(), Missed> {
    match &probe.condition {
        Condition::Tcp { port } => Ok(tcp::attempt(judged.inside, judged.port(port)?, limit).await?),
        Condition::Http {
            port,
            path,
            status,
            json,
        } => {
            let wanted = http::Wanted {
                port: judged.port(port)?,
                path: crate::command::render(path, judged.facts, &judged.viewer())?,
                status: *status,
                json: json.as_ref(),
            };
            Ok(http::attempt(judged.inside, &wanted, limit).await?)
        }
        Condition::Run(command) => Ok(run::attempt(judged, command, limit).await?),
        Condition::Log { pattern } => Ok(log::attempt(judged.inside, pattern, limit).await?),
        Condition::File { path } => Ok(file::attempt(judged, path, limit).await?),
        Condition::Healthcheck => Ok(health::attempt(judged.inside).await?),
        Condition::Ssh => ssh::attempt(judged.inside, limit).await,
        Condition::CloudInit => cloud_init::attempt(judged.inside, limit).await,
        Condition::Exited => Ok(()),
    }
}
