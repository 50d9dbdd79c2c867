//! `run`: up, stages, collect, down; whatever happens in between.

use std::future::Future;
use std::path::PathBuf;
use std::sync::Arc;

use encamp_core::{Error, Result};
use encamp_file::spec::Environment;
use tokio::sync::{mpsc, oneshot};
use tokio_util::sync::CancellationToken;

use super::observe::observe;
use super::overdue::{lease_ended, overdue};
use super::tidy;
use super::up::{abandon, describe, made};
use crate::camp::{Camp, canonical};
use crate::clock::monotonic_now as now;
use crate::collect::Results;
use crate::events::{Event, Events};
use crate::execute::{Raised, dispose, raise};
use crate::journal::{Op, Purpose};
use crate::numbers;
use crate::report::{Disposal, Left, Outcome, RunReport, TaskReport, VERSION};
use crate::secrets::resolve;
use crate::session::Session;
use crate::stages;

/// Whether a run's machines stay.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Keep {
    /// They go.
    #[default]
    Never,
    /// They stay if something failed.
    OnFailure,
    /// They stay.
    Always,
}

/// How a run is done.
#[derive(Debug, Clone, Default)]
#[non_exhaustive]
pub struct RunOptions {
    /// Whether its machines stay.
    pub keep: Keep,
    /// Where reports, logs and artifacts go; nowhere where none is given.
    pub out: Option<PathBuf>,
    /// Stops it; what it made is disposed of.
    pub stop: CancellationToken,
    /// Stops the disposal as well; what is left is recorded and said.
    pub abort: CancellationToken,
    /// Is told of a run that has failed while its machines still stand; the disposal waits for the answer.
    pub inspect: Option<mpsc::Sender<Inspection>>,
}

/// A run that has failed and whose machines still stand. Dropping it lets the run go on to its disposal.
#[derive(Debug)]
#[non_exhaustive]
pub struct Inspection {
    /// The environment's name.
    pub environment: String,
    /// A machine worth a look: that of the first task that failed, else one that did not become ready.
    pub machine: Option<String>,
    /// What failed, in a few words.
    pub what: String,
    _waiting: oneshot::Sender<()>,
}

/// Runs an environment's stages on fresh machines. An error means that nothing was started, or that the journal broke.
pub(crate) async fn run(
    camp: &Arc<Camp>,
    mut spec: Environment,
    options: RunOptions,
    events: Events,
) -> Result<RunReport> {
    let clock = now();
    let began = camp.clock.now();
    // Before anything is started: what is missing is said at once.
    let secrets = resolve(camp, &spec, &events).await?;
    let redactor = secrets.redactor().clone();
    tidy::tidy(camp, &events).await?;
    // Before anything is made: a folder that cannot hold results is the caller's mistake.
    let results = Results::open(options.out.as_deref(), camp.policy.keep_bytes, redactor.clone())?;
    let mut session = camp.found(&spec, Purpose::Run, "run", events).await?.holding(secrets);
    if let Err(error) = numbers::allot(&mut session, &mut spec).await {
        abandon(session, true).await?;
        return redactor.guard(Err(error));
    }
    let mut report = RunReport {
        version: VERSION,
        environment: session.row.name.clone(),
        id: session.row.id.to_string(),
        file: canonical(&spec),
        outcome: Outcome::Passed,
        began,
        millis: 0,
        ready_millis: None,
        machines: Vec::new(),
        tasks: Vec::new(),
        outputs: std::collections::BTreeMap::new(),
        errors: Vec::new(),
        disposal: None,
        survival: None,
    };
    // The lease ends a run as the user's stop does, and is a failure.
    let stop = options.stop.child_token();
    let (worked, cut) = {
        let mut working = std::pin::pin!(work(&session, &spec, &stop, &results, &mut report));
        tokio::select! {
            biased;
            worked = &mut working => (worked, None),
            ended = lease_ended(&session) => {
                stop.cancel();
                (working.await, Some((overdue(&session, ended), Outcome::Failed)))
            }
            unwanted = session.unwanted() => {
                stop.cancel();
                (working.await, Some((unwanted, Outcome::Interrupted)))
            }
        }
    };
    report.errors.extend(worked.err());
    if let Some((cut, outcome)) = cut {
        report.outcome = outcome;
        if !report.errors.iter().any(|error| error.message() == cut.message()) {
            report.errors.push(cut);
        }
    }
    if options.stop.is_cancelled() {
        report.outcome = Outcome::Interrupted;
    } else if report.outcome == Outcome::Passed && !report.errors.is_empty() {
        report.outcome = Outcome::Failed;
    }
    if report.outcome == Outcome::Failed && !options.stop.is_cancelled() {
        inspect(&options, &report).await;
    }
    let keep = match options.keep {
        Keep::Always => true,
        Keep::OnFailure => report.outcome == Outcome::Failed,
        Keep::Never => false,
    };
    finish(session, keep && !options.stop.is_cancelled(), &options, &mut report).await;
    report.millis = u64::try_from(clock.elapsed().as_millis()).unwrap_or(u64::MAX);
    report.redact(&redactor);
    if let Err(error) = results.write(&report) {
        report.errors.push(error);
    }
    Ok(report)
}

/// Lets somebody look at what failed, and waits until they have seen enough.
async fn inspect(options: &RunOptions, report: &RunReport) {
    let Some(inspect) = &options.inspect else { return };
    let failed = |task: &&TaskReport| task.outcome == Outcome::Failed && !task.allowed;
    let task = report.tasks.iter().find(failed);
    let machine = report
        .machines
        .iter()
        .find(|machine| machine.failure.is_some() && machine.id.is_some());
    let (what, machine) = match (task, machine) {
        (Some(task), _) => {
            let place = Some(task.machine.clone()).filter(|place| place != "controller");
            (format!("{} · {} on {}", task.stage, task.task, task.machine), place)
        }
        (None, Some(machine)) => (
            format!("{} did not become ready", machine.name),
            Some(machine.name.clone()),
        ),
        (None, None) => ("nothing that can be looked into".to_owned(), None),
    };
    let (waiting, answer) = oneshot::channel();
    let inspection = Inspection {
        environment: report.environment.clone(),
        machine,
        what,
        _waiting: waiting,
    };
    if inspect.send(inspection).await.is_ok() {
        tokio::select! {
            _ = answer => {}
            () = options.stop.cancelled() => {}
        }
    }
}

/// Up, stages, collect.
async fn work(
    session: &Session,
    spec: &Environment,
    stop: &CancellationToken,
    results: &Results,
    report: &mut RunReport,
) -> Result<()> {
    let clock = now();
    // It is there before anything is made.
    let (observed, survival) = tokio::join!(
        observe(&session.camp, spec, Vec::new(), &session.events),
        session.camp.keepers.ensure(&session.camp, &session.row.id)
    );
    let observed = observed?;
    report.survival = Some(survival.clone());
    let ends = session.row.lease.ends;
    session
        .events
        .tell(Event::Planned {
            environment: session.row.name.clone(),
            plan: observed.plan.clone(),
            ends,
            survival,
        })
        .await;
    // A run fails as a whole, so the user's stop and the first failure end what is still on its way.
    let raising = raise(session, spec, &observed.plan, observed.rows, &observed.seen);
    let mut raised = stoppable(session, stop, raising).await?;
    raised.facts.secrets = session.secrets.values();
    report.machines.clone_from(&raised.machines);
    report.errors.extend(raised.errors.iter().cloned());
    if raised.ready() {
        let millis = u64::try_from(clock.elapsed().as_millis()).unwrap_or(u64::MAX);
        report.outputs = describe(session, spec, &raised, made(&observed.plan, millis)).await?;
        report.ready_millis = Some(millis);
        session
            .events
            .tell(Event::Ready {
                outputs: report.outputs.clone(),
                millis,
            })
            .await;
        let staged = stages::run(session, spec, &raised, results, stop).await;
        if staged
            .tasks
            .iter()
            .any(|task| task.outcome == Outcome::Failed && !task.allowed)
        {
            report.outcome = Outcome::Failed;
        }
        report.tasks = staged.tasks;
        report.errors.extend(staged.errors);
    } else {
        report.outcome = Outcome::Failed;
    }
    save_logs(session, &raised, results).await;
    Ok(())
}

/// Passes the user's stop on to the executor while `work` goes on.
pub(super) async fn stoppable<T>(session: &Session, stop: &CancellationToken, work: impl Future<Output = T>) -> T {
    let mut work = std::pin::pin!(work);
    tokio::select! {
        done = &mut work => return done,
        () = stop.cancelled() => session.stop.cancel(),
    }
    // The executor stops between two journal steps, never within one.
    work.await
}

async fn save_logs(session: &Session, raised: &Raised, results: &Results) {
    if !results.wanted() {
        return;
    }
    // What was refused at its creation never said anything.
    let saving = raised.rows.values().filter(|row| row.state.may_exist());
    let saving = saving.map(|row| results.save_log(session, row));
    for (name, error) in futures_util::future::join_all(saving)
        .await
        .into_iter()
        .filter_map(Result::err)
    {
        session
            .events
            .note(format!(
                "the log of {name} could not be kept: {}",
                encamp_core::Report(&error)
            ))
            .await;
    }
}

/// Disposes, or keeps. Nothing here is an error: what is left is in the report.
async fn finish(session: Session, keep: bool, options: &RunOptions, report: &mut RunReport) {
    if keep {
        let kept = session.record(Op::Keep(session.epoch.clone())).await;
        match kept {
            Ok(()) => {
                let name = session.row.name.clone();
                if let Err(error) = session.release().await {
                    report.errors.push(error);
                }
                tracing::debug!(environment = name, "kept");
                return;
            }
            Err(error) => report.errors.push(error),
        }
    }
    let name = session.row.name.clone();
    // From now on nobody extends it.
    if let Err(error) = session.camp.commit(Op::WantGone(session.row.id.clone())).await {
        report.errors.push(error);
    }
    let disposed = tokio::select! {
        disposed = dispose(&session) => disposed,
        () = options.abort.cancelled() => Ok(aborted(&session).await),
    };
    report.disposal = Some(disposed.unwrap_or_else(|error| unfinished(&name, &error)));
}

/// What a disposal that did not end says.
fn unfinished(environment: &str, error: &Error) -> Disposal {
    Disposal {
        environment: environment.to_owned(),
        machines: 0,
        items: 0,
        left: vec![Left {
            object: "environment".into(),
            instance: None,
            key: environment.to_owned(),
            why: encamp_core::Report(error).to_string(),
            help: Some("encamp gc".into()),
        }],
        millis: 0,
    }
}

async fn aborted(session: &Session) -> Disposal {
    let rows = session.camp.journal.intents(&session.row.id).await.unwrap_or_default();
    let left = rows.iter().filter(|row| row.state.may_exist()).map(|row| Left {
        object: row.object.clone(),
        instance: Some(row.instance.clone()),
        key: row.key().to_string(),
        why: "the disposal was stopped".into(),
        help: Some("encamp gc".into()),
    });
    Disposal {
        environment: session.row.name.clone(),
        machines: 0,
        items: 0,
        left: left.collect(),
        millis: 0,
    }
}
