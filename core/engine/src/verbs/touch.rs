//! `stop` and `start`: what was stopped on purpose has not died, and what is started is waited for.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use encamp_core::{Error, ErrorKind, Observed, Provider, Report, Result, Retry, Stop, Target, Verb};
use encamp_file::spec;
use encamp_file::text::Viewer;
use futures_util::future::try_join_all;
use serde::Serialize;

use super::observe::recorded_facts;
use super::release::{check, living};
use crate::camp::Camp;
use crate::clock::monotonic_now as now;
use crate::events::{Event, Events, Status};
use crate::inside::Inside;
use crate::journal::{IntentRow, IntentState, Op};
use crate::ready;
use crate::session::{Change, Session};

/// What became of one machine.
#[derive(Debug, Serialize)]
#[non_exhaustive]
pub struct Touched {
    /// Its name.
    pub machine: String,
    /// Why it is not as it should be.
    pub error: Option<Error>,
    /// Whether everything that its description asks for was waited for, and not its process alone.
    pub probed: bool,
    /// How long it took.
    pub millis: u64,
}

/// Stops machines. Their processes have `grace` to end.
pub(crate) async fn stop(
    camp: &Arc<Camp>,
    name: &str,
    machines: &BTreeSet<String>,
    grace: Duration,
    events: Events,
) -> Result<Vec<Touched>> {
    let row = living(camp, name).await?;
    let rows = check(camp, &row, machines).await?;
    let session = camp.hold(&row, "stop", events).await?;
    let stopped = try_join_all(rows.iter().map(|row| stop_one(&session, row, grace))).await;
    session.release().await?;
    stopped
}

/// Starts machines and waits until they are ready: by the probes of `spec` where it still describes them, else until
/// they run.
pub(crate) async fn start(
    camp: &Arc<Camp>,
    name: &str,
    machines: &BTreeSet<String>,
    spec: Option<&spec::Environment>,
    events: Events,
) -> Result<Vec<Touched>> {
    let row = living(camp, name).await?;
    let rows = check(camp, &row, machines).await?;
    let session = camp.hold(&row, "start", events).await?;
    let started = try_join_all(rows.iter().map(|row| start_one(&session, row, spec))).await;
    if started.is_ok() {
        describe(&session, spec).await?;
    }
    session.release().await?;
    started
}

/// A machine that can be touched, and its provider.
async fn reach(session: &Session, row: &IntentRow, verb: Verb) -> Result<Result<Arc<dyn Provider>>> {
    if !matches!(row.state, IntentState::Seen | IntentState::Ready) {
        let error = Error::new(
            ErrorKind::Conflict,
            format!(
                "{} is {}, and can be neither stopped nor started",
                row.object,
                row.state.as_str()
            ),
        );
        return Ok(Err(error.next_step("encamp up goes on with it")));
    }
    Ok(match session.camp.provider_of(row).await {
        Ok(provider) if !provider.capabilities().offers(verb) => Err(Error::unsupported(verb)),
        reached => reached,
    })
}

async fn stop_one(session: &Session, row: &IntentRow, grace: Duration) -> Result<Touched> {
    let began = now();
    let provider = match reach(session, row, Verb::Stop).await? {
        Ok(provider) => provider,
        Err(error) => return Ok(touched(session, row, began, Some(error.at(Verb::Stop)), false)),
    };
    let _turn = session.turn(&row.instance, &*provider).await;
    // Before it is sent: whoever sees the machine down has to know that this was meant.
    touch(session, row, Some(true)).await?;
    let within = session.camp.policy.change + grace;
    let stop = Stop::new(target(row), grace);
    let sent = session
        .send(change(row, Verb::Stop), within, None, |cx, ticket| async move {
            provider.stop(&cx, &ticket, stop).await
        })
        .await?;
    let error = sent.err();
    if error.as_ref().is_some_and(|error| error.retryable() != Retry::Unknown) {
        touch(session, row, Some(row.stopped)).await?;
    }
    Ok(touched(session, row, began, error, false))
}

async fn start_one(session: &Session, row: &IntentRow, spec: Option<&spec::Environment>) -> Result<Touched> {
    let began = now();
    let provider = match reach(session, row, Verb::Start).await? {
        Ok(provider) => provider,
        Err(error) => return Ok(touched(session, row, began, Some(error.at(Verb::Start)), false)),
    };
    tell(session, row, Status::Starting, "", began).await;
    let turn = session.turn(&row.instance, &*provider).await;
    touch(session, row, None).await?;
    let (starter, starting) = (Arc::clone(&provider), target(row));
    let sent = session
        .send(
            change(row, Verb::Start),
            session.camp.policy.change,
            None,
            |cx, ticket| async move { starter.start(&cx, &ticket, starting).await },
        )
        .await?;
    drop(turn);
    if let Err(error) = sent {
        let failure = Report(&error).to_string();
        tell(session, row, Status::Failed, &failure, began).await;
        return Ok(touched(session, row, began, Some(error), false));
    }
    touch(session, row, Some(false)).await?;
    let described = described(session, row, spec);
    let probed = described.is_some();
    let machine = match described {
        Some(machine) => machine.clone(),
        None => undescribed(row)?,
    };
    let inside = Inside::new(session, provider, row);
    tell(session, row, Status::Waiting, &ready::summary(Some(&machine)), began).await;
    // What does not come up by itself is not waited for longer than a machine that is made.
    let waiting = tokio::time::timeout(session.camp.policy.create, ready::wait(&inside, &machine));
    let outcome: Result<Observed> = waiting
        .await
        .unwrap_or_else(|_| Err(Error::new(ErrorKind::Unavailable, "it did not run in time")));
    let (epoch, intent) = (session.epoch.clone(), row.reference());
    match outcome {
        Ok(observed) => {
            let op = Op::Ready {
                epoch,
                intent,
                addrs: observed.addrs,
                ports: observed.ports,
            };
            session.record(op).await?;
            tell(session, row, Status::Ready, &ready::summary(Some(&machine)), began).await;
            Ok(touched(session, row, began, None, probed))
        }
        Err(error) => {
            let failure = Report(&error).to_string();
            tell(session, row, Status::Failed, &failure, began).await;
            session.record(Op::Fail { epoch, intent, failure }).await?;
            Ok(touched(session, row, began, Some(error.at(Verb::Inspect)), probed))
        }
    }
}

/// The description of a machine, where it is still the one that the machine was made of.
fn described<'a>(session: &Session, row: &IntentRow, spec: Option<&'a spec::Environment>) -> Option<&'a spec::Machine> {
    let machine = spec?.machine(&row.object)?;
    let kind = session.camp.providers.kind_of(&row.instance)?;
    (machine.spec_hash(kind) == row.spec).then_some(machine)
}

/// A machine of which nothing but its name is known.
fn undescribed(row: &IntentRow) -> Result<spec::Machine> {
    let name = encamp_core::Name::new(row.object.as_str())
        .map_err(|error| Error::new(ErrorKind::Internal, error.to_string()))?;
    Ok(spec::Machine::new(name, vec![row.instance.clone()]))
}

/// Ports on free numbers are others after a start, and outputs that speak of them with them.
async fn describe(session: &Session, spec: Option<&spec::Environment>) -> Result<()> {
    let Some(spec) = spec else { return Ok(()) };
    let rows = session.camp.journal.intents(&session.row.id).await?;
    let facts = recorded_facts(&rows);
    let mut outputs = session.row.outputs.clone();
    for (name, text) in &spec.outputs {
        if let Ok(value) = text.render(&facts, &Viewer::Controller) {
            outputs.insert(name.clone(), value);
        }
    }
    if outputs == session.row.outputs {
        return Ok(());
    }
    session
        .record(Op::Describe {
            epoch: session.epoch.clone(),
            outputs,
            machines: session.row.machines,
            file: session.row.file.clone(),
        })
        .await
}

async fn touch(session: &Session, row: &IntentRow, stopped: Option<bool>) -> Result<()> {
    let (epoch, intent) = (session.epoch.clone(), row.reference());
    session.record(Op::Touch { epoch, intent, stopped }).await
}

fn target(row: &IntentRow) -> Target {
    Target::new(row.stamp.clone(), row.site.clone(), row.id.clone())
}

fn change(row: &IntentRow, verb: Verb) -> Change {
    Change {
        verb,
        object: row.object.clone(),
        key: row.key().clone(),
    }
}

fn touched(
    session: &Session,
    row: &IntentRow,
    began: tokio::time::Instant,
    error: Option<Error>,
    probed: bool,
) -> Touched {
    let explained = |error: Error| {
        error
            .of_provider(&row.instance)
            .of_machine(&row.object)
            .of_environment(&session.row.name)
    };
    Touched {
        machine: row.object.clone(),
        error: error.map(explained),
        probed,
        millis: u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX),
    }
}

async fn tell(session: &Session, row: &IntentRow, status: Status, detail: &str, began: tokio::time::Instant) {
    session
        .events
        .tell(Event::Machine {
            machine: row.object.clone(),
            instance: row.instance.clone(),
            status,
            detail: detail.to_owned(),
            millis: u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX),
            scope: false,
        })
        .await;
}
