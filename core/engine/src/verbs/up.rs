//! `up`: converges an environment to its description.

use std::collections::BTreeMap;
use std::sync::Arc;

use encamp_core::{Error, ErrorKind, Report, Result, SelfExpiry, Time};
use encamp_file::spec::Environment;
use encamp_file::text::Viewer;
use serde::Serialize;

use super::observe::{Observed, observe};
use super::preview::{Preview, foresee, usual};
use super::tidy;
use crate::camp::{Camp, canonical};
use crate::clock::{Lease, monotonic_now as now};
use crate::events::{Event, Events};
use crate::execute::{Raised, raise, renew};
use crate::journal::{EnvironmentRow, IntentState, Op, Purpose, Took};
use crate::keeper::Survival;
use crate::numbers;
use crate::plan::{Action, Plan};
use crate::report::MachineReport;
use crate::secrets::{Redactor, resolve};
use crate::session::Session;

/// An `up` that holds its environment, knows its plan and has changed nothing yet.
#[derive(Debug)]
pub struct Pending {
    session: Session,
    spec: Environment,
    observed: Observed,
    new: bool,
    began: tokio::time::Instant,
}

/// What `up` came to.
#[derive(Debug, Serialize)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "independent facts, each a word of the JSON"
)]
pub struct UpReport {
    /// The environment's name.
    pub environment: String,
    /// Its id.
    pub id: String,
    /// Whether everything is ready.
    pub ready: bool,
    /// Its machines.
    pub machines: Vec<MachineReport>,
    /// What failed.
    pub errors: Vec<Error>,
    /// Its outputs.
    pub outputs: BTreeMap<String, String>,
    /// When its lease ends.
    pub ends: Time,
    /// Whether the infrastructure ends every machine at that time by itself.
    pub ends_by_itself: bool,
    /// What ends it if no command does.
    pub survival: Survival,
    /// Whether anything of it may exist; where nothing came of it, it is not recorded any more.
    pub exists: bool,
    /// Stopped by the user, or by another command.
    pub interrupted: bool,
    /// Another command has it now, and says what becomes of it.
    pub taken_over: bool,
    /// How long it took.
    pub millis: u64,
}

impl UpReport {
    /// Takes secrets out of everything that it says.
    fn redact(&mut self, redactor: &Redactor) {
        self.machines.iter_mut().for_each(|machine| machine.redact(redactor));
        self.errors.iter_mut().for_each(|error| redactor.redact_error(error));
        self.outputs.values_mut().for_each(|text| redactor.redact_in(text));
    }
}

/// Takes or makes the environment and plans the difference.
pub(crate) async fn prepare(camp: &Arc<Camp>, mut spec: Environment, events: Events) -> Result<Pending> {
    let began = now();
    // Before anything is started: what is missing is said at once.
    let secrets = resolve(camp, &spec, &events).await?;
    tidy::tidy(camp, &events).await?;
    let (session, new) = take_or_found(camp, &spec, events).await?;
    let mut session = session.holding(secrets);
    let rows = camp.journal.intents(&session.row.id).await?;
    let looked = match numbers::allot(&mut session, &mut spec).await {
        Ok(()) => observe(camp, &spec, rows, &session.events).await,
        Err(error) => Err(error),
    };
    let observed = match looked {
        Ok(observed) => observed,
        Err(error) => {
            let secrets = Arc::clone(&session.secrets);
            abandon(session, new).await?;
            return secrets.redactor().guard(Err(error));
        }
    };
    Ok(Pending {
        session,
        spec,
        observed,
        new,
        began,
    })
}

/// The environment of a description, and whether it is new. One whose disposal another process ends meanwhile, as a
/// keeper does, is begun anew.
async fn take_or_found(camp: &Arc<Camp>, spec: &Environment, events: Events) -> Result<(Session, bool)> {
    if let Some(row) = find(camp, spec).await? {
        match camp.hold(&row, "up", events.clone()).await {
            Err(error) if error.kind() == ErrorKind::NotFound => {}
            held => return Ok((held?, false)),
        }
    }
    Ok((camp.found(spec, Purpose::Up, "up", events).await?, true))
}

/// An environment that was only just recorded and in which nothing was planned leaves nothing behind.
pub(crate) async fn abandon(session: Session, new: bool) -> Result<()> {
    if new {
        session.record(Op::Dispose(session.epoch.clone())).await
    } else {
        session.release().await
    }
}

/// The environment that a description speaks of: by name, and by the file that it came from.
pub(crate) async fn find(camp: &Camp, spec: &Environment) -> Result<Option<EnvironmentRow>> {
    let file = canonical(spec);
    let named = camp.find(spec.name.as_str()).await?;
    if let Some(row) = &named
        && row.file != file
    {
        let place = |file: &Option<String>| file.clone().unwrap_or_else(|| "a program".to_owned());
        return Err(Error::new(
            ErrorKind::Conflict,
            format!("an environment called `{}` is up already, from another file", row.name),
        )
        .of_environment(&row.name)
        .with("it came from", place(&row.file))
        .with("this file is", place(&file))
        .next_step(format!(
            "change `name` in one of them, or end the other: encamp down -e {}",
            row.name
        )));
    }
    if named.is_none()
        && let Some(file) = &file
        && let Some(old) = camp
            .find_by_file(file)
            .await?
            .into_iter()
            .find(|row| row.purpose == Purpose::Up)
    {
        return Err(Error::new(
            ErrorKind::Conflict,
            format!("this file is up as `{}`, and its name is `{}` now", old.name, spec.name),
        )
        .of_environment(&old.name)
        .next_step(format!(
            "encamp down -e {}, then up again; or change the name back",
            old.name
        )));
    }
    Ok(named)
}

impl Pending {
    /// What is to be done.
    pub fn plan(&self) -> &Plan {
        &self.observed.plan
    }

    /// The environment's name.
    pub fn environment(&self) -> &str {
        &self.session.row.name
    }

    /// The plan with what providers would make of it.
    pub fn preview(&self) -> impl Future<Output = Preview> + Send + use<> {
        let (camp, spec) = (Arc::clone(&self.session.camp), self.spec.clone());
        let observed = Observed {
            rows: self.observed.rows.clone(),
            plan: self.observed.plan.clone(),
            ..Observed::default()
        };
        let (environment, is_new, ends) = (self.environment().to_owned(), self.new, self.ends());
        async move {
            let usual = usual(&camp, &spec, &observed.plan).await.ok().flatten();
            Preview {
                environment,
                is_new,
                ends,
                usual,
                ..foresee(&camp, &spec, observed).await
            }
        }
    }

    /// Whether the environment does not exist yet.
    pub fn is_new(&self) -> bool {
        self.new
    }

    /// When the lease will end.
    pub fn ends(&self) -> Time {
        let ends = Lease::of(self.spec.ttl, &*self.session.camp.clock).ends;
        // A lease is never shortened by bringing the same thing up again.
        if self.new {
            ends
        } else {
            ends.max(self.session.row.lease.ends)
        }
    }

    /// Gives the environment back unchanged.
    pub async fn abandon(self) -> Result<()> {
        abandon(self.session, self.new).await
    }

    /// Stops the work where it stands, from another place; `execute` returns then.
    pub fn stopper(&self) -> tokio_util::sync::CancellationToken {
        self.session.stop.clone()
    }

    /// Does what is planned.
    pub async fn execute(self) -> Result<UpReport> {
        let secrets = Arc::clone(&self.session.secrets);
        let redactor = secrets.redactor();
        let mut report = redactor.guard(self.work().await)?;
        report.redact(redactor);
        Ok(report)
    }

    async fn work(self) -> Result<UpReport> {
        let Self {
            mut session,
            spec,
            observed,
            began,
            ..
        } = self;
        let lease = Lease::of(spec.ttl, &*session.camp.clock);
        // A lease is never shortened by bringing the same thing up again.
        if lease.is_after(&session.row.lease) {
            let environment = session.row.id.clone();
            session.record(Op::Extend { environment, lease }).await?;
        }
        session.row.lease = lease_now(&session).await?;
        let ends = session.row.lease.ends;
        // It is there before anything is made.
        let survival = session.camp.keepers.ensure(&session.camp, &session.row.id).await;
        session
            .events
            .tell(Event::Planned {
                environment: session.row.name.clone(),
                plan: observed.plan.clone(),
                ends,
                survival: survival.clone(),
            })
            .await;
        let mut raised = raise(&session, &spec, &observed.plan, observed.rows, &observed.seen).await?;
        raised.facts.secrets = session.secrets.values();
        let ends = lease_now(&session).await?.ends;
        for told in renew(&session, ends).await? {
            if let Some(error) = told.error {
                let why = Report(&error).to_string();
                let note = format!("{} still ends by itself before the lease does: {why}", told.machine);
                session.events.note(note).await;
            }
        }
        let millis = u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX);
        let outputs = describe(&session, &spec, &raised, made(&observed.plan, millis)).await?;
        if raised.ready() {
            session
                .events
                .tell(Event::Ready {
                    outputs: outputs.clone(),
                    millis,
                })
                .await;
        }
        let mut report = UpReport {
            environment: session.row.name.clone(),
            id: session.row.id.to_string(),
            ready: raised.ready(),
            ends_by_itself: ends_by_itself(&session.camp, &raised).await,
            survival,
            machines: raised.machines,
            errors: raised.errors,
            outputs,
            ends,
            interrupted: raised.interrupted,
            taken_over: raised.taken_over,
            exists: true,
            millis,
        };
        let rows = session.camp.journal.intents(&session.row.id).await?;
        if !report.ready && rows.iter().all(|row| row.state == IntentState::Gone) {
            // Nothing came of it, so there is nothing to list, to keep or to take down.
            session.record(Op::Dispose(session.epoch.clone())).await?;
            report.exists = false;
        } else {
            session.release().await?;
        }
        Ok(report)
    }
}

/// What it took to make what a plan makes; nothing where it only goes on with something.
pub(crate) fn made(plan: &Plan, millis: u64) -> Option<Took> {
    let made = plan.makes().filter(|_| plan.count(Action::Continue) == 0)?;
    Some(Took { made, millis })
}

/// The lease as it is now: others may extend it at any time.
async fn lease_now(session: &Session) -> Result<Lease> {
    let row = session.camp.journal.environment(&session.row.id).await?;
    Ok(row.map_or_else(|| session.row.lease.clone(), |row| row.lease))
}

/// Renders and records the outputs, once everything is ready.
pub(crate) async fn describe(
    session: &Session,
    spec: &Environment,
    raised: &Raised,
    took: Option<Took>,
) -> Result<BTreeMap<String, String>> {
    let mut outputs = BTreeMap::new();
    if raised.ready() {
        for (name, text) in &spec.outputs {
            match text.render(&raised.facts, &Viewer::Controller) {
                Ok(value) => drop(outputs.insert(name.clone(), value)),
                Err(error) => {
                    session
                        .events
                        .note(format!("output {name} is not known: {error}"))
                        .await;
                }
            }
        }
    }
    let machines = u32::try_from(spec.machines.len()).unwrap_or(u32::MAX);
    let op = Op::Describe {
        epoch: session.epoch.clone(),
        outputs: outputs.clone(),
        machines,
        file: canonical(spec),
        given: spec.given.clone(),
        took: took.filter(|_| raised.ready()),
    };
    session.record(op).await?;
    Ok(outputs)
}

/// Whether every machine ends by itself when the lease does.
pub(crate) async fn ends_by_itself(camp: &Camp, raised: &Raised) -> bool {
    let instances: std::collections::BTreeSet<_> = raised.rows.values().map(|row| row.instance.clone()).collect();
    if instances.is_empty() {
        return false;
    }
    for instance in &instances {
        match camp.providers.connect(&camp.read_cx(), instance).await {
            Ok(provider) if provider.capabilities().self_expiry != SelfExpiry::None => {}
            _ => return false,
        }
    }
    true
}
