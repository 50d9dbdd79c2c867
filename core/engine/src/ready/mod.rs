//! Readiness: a condition a file, judged in the machine's own network and never through a published port.

mod http;
mod run;
mod tcp;

use std::time::Duration;

use encamp_core::{Error, ErrorKind, Exit, Observed, Phase, Result, Verb};
use encamp_file::spec::{self, Condition, Probe};

use crate::clock::monotonic_now as now;
use crate::inside::Inside;

pub(crate) use run::argv;

/// The first and the longest pause between two looks at a machine.
const LOOK: (Duration, Duration) = (Duration::from_millis(50), Duration::from_secs(1));

/// Waits until the machine runs and all its conditions hold. Fails at once where its process dies.
pub(crate) async fn wait(inside: &Inside, spec: &spec::Machine) -> Result<Observed> {
    if spec
        .ready
        .iter()
        .any(|probe| matches!(probe.condition, Condition::Exited))
    {
        return wait_for_exit(inside, spec).await;
    }
    let observed = wait_until_running(inside).await?;
    if spec.ready.is_empty() {
        return Ok(observed);
    }
    let all = async {
        let probes = spec.ready.iter().map(|probe| hold(inside, spec, probe));
        futures_util::future::try_join_all(probes).await
    };
    tokio::select! {
        held = all => { held?; }
        death = watch(inside) => return Err(death),
    }
    Ok(observed)
}

/// A few words about what a machine waits for.
pub(crate) fn summary(spec: Option<&spec::Machine>) -> String {
    let Some(spec) = spec else { return String::new() };
    spec.ready
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
    }
}

async fn wait_until_running(inside: &Inside) -> Result<Observed> {
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

async fn wait_for_exit(inside: &Inside, spec: &spec::Machine) -> Result<Observed> {
    let within = spec.ready.iter().map(|probe| probe.within).max().unwrap_or_default();
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

async fn died(inside: &Inside, phase: &Phase, why: Option<String>) -> Error {
    let how = match phase {
        Phase::Exited(exit) => format!("its process {exit}"),
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

/// Tries one condition until it holds, and not longer than its `within`.
async fn hold(inside: &Inside, spec: &spec::Machine, probe: &Probe) -> Result<()> {
    let end = now() + probe.within;
    let mut attempts = 0u32;
    loop {
        attempts += 1;
        let left = end.saturating_duration_since(now());
        let limit = probe.timeout.min(left.max(Duration::from_millis(1)));
        let attempt = attempt(inside, spec, probe, limit);
        let last = match tokio::time::timeout(limit, attempt).await {
            Ok(Ok(())) => return Ok(()),
            Ok(Err(why)) => why,
            Err(_) => format!("no answer within {limit:?}"),
        };
        if now() + probe.every > end {
            let what = words(&probe.condition);
            let mut error = Error::new(
                ErrorKind::Unavailable,
                format!(
                    "`{what}` did not hold within {:?} ({attempts} attempts); the last one: {last}",
                    probe.within
                ),
            )
            .of_machine(&inside.machine)
            .of_environment(&inside.environment);
            if let Some(place) = &probe.place {
                error = error.with("place", place);
            }
            for line in inside.last_lines().await {
                error = error.with("said", line);
            }
            return Err(error);
        }
        tokio::time::sleep(probe.every).await;
    }
}

/// One attempt; the text says why it did not hold.
async fn attempt(inside: &Inside, spec: &spec::Machine, probe: &Probe, limit: Duration) -> Result<(), String> {
    let port = |name: &encamp_core::Name| {
        spec.port(name.as_str())
            .map(|port| port.port)
            .ok_or_else(|| format!("no port is called `{name}`"))
    };
    match &probe.condition {
        Condition::Tcp { port: name } => tcp::attempt(inside, port(name)?, limit).await,
        Condition::Http {
            port: name,
            path,
            status,
            json: None,
        } => {
            let viewer = encamp_file::text::Viewer::Member(spec.name.clone());
            let path = path
                .render(&encamp_file::text::Facts::default(), &viewer)
                .map_err(|e| e.to_string())?;
            http::attempt(inside, port(name)?, &path, *status, limit).await
        }
        Condition::Run(command) => run::attempt(inside, spec, command, limit).await,
        Condition::Exited => Ok(()),
        Condition::Http { json: Some(_), .. }
        | Condition::Log { .. }
        | Condition::File { .. }
        | Condition::Healthcheck => Err(format!("`{}` is not offered yet", words(&probe.condition))),
    }
}
