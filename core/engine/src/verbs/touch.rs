//! `stop` and `start`: what was stopped on purpose has not died, and what is started is waited for.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use encamp_core::{Error, ErrorKind, Provider, Report, Result, Verb};
use encamp_file::spec;
use encamp_file::text::{Facts, Viewer};
use futures_util::future::try_join_all;
use serde::Serialize;

use super::observe::recorded_facts;
use super::release::{check, living};
use crate::camp::Camp;
use crate::clock::monotonic_now as now;
use crate::events::{Event, Events, Status};
use crate::execute::{Controlled, Wanted};
use crate::journal::{IntentRow, IntentState, Op};
use crate::numbers;
use crate::ready;
use crate::secrets::InHand;
use crate::session::Session;

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
    let stopped = stop_all(&session, &rows, grace).await;
    guarded(session, stopped).await
}

/// Stops machines of an environment that is held.
pub(crate) async fn stop_all(session: &Session, rows: &[IntentRow], grace: Duration) -> Result<Vec<Touched>> {
    try_join_all(rows.iter().map(|row| stop_one(session, row, grace))).await
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
    let spec = spec.map(|spec| numbers::applied(camp, &row.numbers, spec));
    let spec = spec.as_deref();
    let rows = check(camp, &row, machines).await?;
    let session = camp.hold(&row, "start", events).await?;
    let started = start_all(&session, &rows, spec).await;
    guarded(session, started).await
}

/// Starts machines of an environment that is held, and waits until they are ready.
pub(crate) async fn start_all(
    session: &Session,
    rows: &[IntentRow],
    spec: Option<&spec::Environment>,
) -> Result<Vec<Touched>> {
    let started = try_join_all(rows.iter().map(|row| start_one(session, row, spec))).await?;
    describe(session, spec).await?;
    Ok(started)
}

/// Gives the tenure back, and what was touched without secrets in what it failed with.
async fn guarded(session: Session, touched: Result<Vec<Touched>>) -> Result<Vec<Touched>> {
    let secrets = Arc::clone(&session.secrets);
    session.release().await?;
    redacted(&secrets, touched)
}

/// What was touched, without secrets in what it failed with.
pub(crate) fn redacted(secrets: &InHand, touched: Result<Vec<Touched>>) -> Result<Vec<Touched>> {
    let redactor = secrets.redactor();
    let mut touched = redactor.guard(touched)?;
    let errors = touched.iter_mut().filter_map(|touched| touched.error.as_mut());
    errors.for_each(|error| redactor.redact_error(error));
    Ok(touched)
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
    let controlled = Controlled { session, provider, row };
    let stopped = controlled.stop(grace).await?;
    Ok(touched(session, row, began, stopped.err(), false))
}

async fn start_one(session: &Session, row: &IntentRow, spec: Option<&spec::Environment>) -> Result<Touched> {
    let began = now();
    let provider = match reach(session, row, Verb::Start).await? {
        Ok(provider) => provider,
        Err(error) => return Ok(touched(session, row, began, Some(error.at(Verb::Start)), false)),
    };
    tell(session, row, Status::Starting, "", began).await;
    let controlled = Controlled { session, provider, row };
    if let Err(error) = controlled.start().await? {
        let failure = Report(&error).to_string();
        tell(session, row, Status::Failed, &failure, began).await;
        return Ok(touched(session, row, began, Some(error), false));
    }
    let described = described(session, row, spec);
    let probed = described.is_some();
    let machine = match described {
        Some(machine) => machine.clone(),
        None => undescribed(row)?,
    };
    let rows = session.camp.journal.intents(&session.row.id).await?;
    let wanted = Wanted {
        spec: &machine,
        facts: facts(session, &rows),
        gate: None,
    };
    let summary = ready::summary(&machine.ready);
    tell(session, row, Status::Waiting, &summary, began).await;
    match controlled.ready_again(&wanted).await? {
        Ok(_) => {
            tell(session, row, Status::Ready, &summary, began).await;
            Ok(touched(session, row, began, None, probed))
        }
        Err(error) => {
            let failure = Report(&error).to_string();
            tell(session, row, Status::Failed, &failure, began).await;
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
    let facts = facts(session, &rows);
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
            given: session.row.given.clone(),
            took: None,
        })
        .await
}

/// What is recorded, and the secrets that the command which made it has left in memory.
fn facts(session: &Session, rows: &[IntentRow]) -> Facts {
    Facts {
        secrets: session.secrets.values(),
        ..recorded_facts(rows, &Arc::new(session.row.numbers.clone()))
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
