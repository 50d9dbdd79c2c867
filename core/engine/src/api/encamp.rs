//! One installation, as a program uses it.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use encamp_core::{Check, Error, ErrorKind, Finding, InstanceName, Result, Time};
use encamp_file::Kinds;
use encamp_file::spec;
use serde::Serialize;

use super::builder::Builder;
use super::environment::Environment;
use super::lending::Lending;
use super::runtime::Engine;
use super::up::Up;
use crate::camp::Camp;
use crate::clock::monotonic_now as now;
use crate::events::Events;
use crate::journal::{EnvironmentRow, IntentRow, IntentState, Purpose, Wanted};
use crate::keeper::{self, Request};
use crate::report::{Disposal, RunReport};
use crate::setup;
use crate::state_folder::StateFolder;
use crate::sweep::Swept;
use crate::verbs;
use crate::verbs::extend::Extended;
use crate::verbs::preview::Preview;
use crate::verbs::recover::Recovery;
use crate::verbs::run::RunOptions;
use crate::verbs::sync::Synced;
use crate::verbs::touch::Touched;

/// One installation: its state folder, its configured providers, its engine. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Encamp {
    engine: Engine,
    camp: Arc<Camp>,
    folder: Arc<StateFolder>,
    lending: Lending,
}

/// What a provider says of itself.
#[derive(Debug, Clone, Serialize)]
#[non_exhaustive]
pub struct Checked {
    /// Where it makes machines.
    pub site: String,
    /// What it found.
    pub findings: Vec<Finding>,
    /// How long it took to answer.
    pub millis: u64,
}

/// One environment, as a listing shows it.
#[derive(Debug, Clone, Serialize)]
#[non_exhaustive]
pub struct Summary {
    /// Its name.
    pub name: String,
    /// Its id.
    pub id: String,
    /// Machines that are ready.
    pub ready: usize,
    /// Machines that it has.
    pub machines: usize,
    /// `ready`, `working`, `partial`, `failed`, `disposing`, `overdue`.
    pub state: &'static str,
    /// The provider instances that it is on.
    pub providers: Vec<InstanceName>,
    /// Who made it.
    pub by: String,
    /// When.
    pub created: Time,
    /// When its lease ends.
    pub ends: Time,
    /// How long that is from now; none once it has ended.
    pub left: Option<Duration>,
    /// The process that holds it.
    pub holder: Option<String>,
    /// Every machine ends by itself when the lease does.
    pub ends_by_itself: bool,
    /// The keeper that ends it if nobody else does.
    pub keeper: Option<u32>,
    /// What that keeper, and those before it, have written.
    pub keeper_log: Option<PathBuf>,
    /// The file that it came from.
    pub file: Option<String>,
    /// It is for one run.
    pub run: bool,
    /// The store had lost it; its name is a new one.
    pub recovered: bool,
}

impl Encamp {
    /// Puts one together.
    pub fn builder() -> Builder {
        Builder::new()
    }

    pub(super) fn new(engine: Engine, camp: Arc<Camp>, folder: StateFolder, lending: Lending) -> Self {
        Self {
            engine,
            camp,
            folder: Arc::new(folder),
            lending,
        }
    }

    pub(super) fn engine(&self) -> &Engine {
        &self.engine
    }

    pub(super) fn camp(&self) -> &Arc<Camp> {
        &self.camp
    }

    pub(super) fn lending(&self) -> &Lending {
        &self.lending
    }

    /// The state folder.
    pub fn state_dir(&self) -> &Path {
        self.folder.path()
    }

    /// The controller's id, as it stands in keys and labels.
    pub fn controller(&self) -> &encamp_core::ControllerId {
        self.camp.controller.id()
    }

    /// Connects to a provider and lets it look thoroughly at what it works with.
    pub async fn check(&self, instance: &InstanceName) -> Result<Checked> {
        let (camp, instance) = (Arc::clone(&self.camp), instance.clone());
        self.engine
            .run(async move {
                let began = now();
                let cx = camp.read_cx();
                let provider = camp.providers.connect(&cx, &instance).await?;
                let findings = provider.check(&cx, Check::thorough()).await?;
                Ok(Checked {
                    site: provider.site().to_string(),
                    findings,
                    millis: u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX),
                })
            })
            .await
    }

    /// The kinds and instances that an environment file may speak of.
    pub fn kinds(&self) -> Kinds {
        self.camp.providers.kinds()
    }

    /// What `up` would do, read from the store and the providers: no row is made, no lock taken, nothing changed.
    pub async fn preview(&self, spec: spec::Environment, events: Events) -> Result<Preview> {
        let camp = Arc::clone(&self.camp);
        self.engine
            .run(async move { verbs::preview::preview(&camp, &spec, &events).await })
            .await
    }

    /// Takes or makes the environment and plans the difference; nothing is changed before [`Up::execute`].
    pub async fn prepare_up(&self, spec: spec::Environment, events: Events) -> Result<Up> {
        let camp = Arc::clone(&self.camp);
        let pending = self
            .engine
            .run(async move { camp.prepare_up(spec, events).await })
            .await?;
        Ok(Up::new(self.engine.clone(), pending))
    }

    /// Up, stages, collect, down, on fresh machines.
    pub async fn run(&self, spec: spec::Environment, options: RunOptions, events: Events) -> Result<RunReport> {
        let camp = Arc::clone(&self.camp);
        self.engine
            .run(async move { camp.run(spec, options, events).await })
            .await
    }

    /// Takes an environment down; whoever holds it yields.
    pub async fn down(&self, name: &str, events: Events) -> Result<Disposal> {
        let (camp, name) = (Arc::clone(&self.camp), name.to_owned());
        self.engine.run(async move { camp.down(&name, events).await }).await
    }

    /// Takes some machines of an environment down, and what is theirs alone; the rest stays, and the next `up` makes
    /// them again.
    pub async fn release(&self, name: &str, machines: BTreeSet<String>, events: Events) -> Result<Disposal> {
        let (camp, name) = (Arc::clone(&self.camp), name.to_owned());
        self.engine
            .run(async move { verbs::release::release(&camp, &name, &machines, events).await })
            .await
    }

    /// Stops machines of an environment; their processes have `grace` to end. What was stopped on purpose has not died.
    pub async fn stop(
        &self,
        name: &str,
        machines: BTreeSet<String>,
        grace: Duration,
        events: Events,
    ) -> Result<Vec<Touched>> {
        let (camp, name) = (Arc::clone(&self.camp), name.to_owned());
        self.engine
            .run(async move { verbs::touch::stop(&camp, &name, &machines, grace, events).await })
            .await
    }

    /// Starts machines of an environment and waits until they are ready: by the probes of `spec` where it still
    /// describes them as they were made, else until they run.
    pub async fn start(
        &self,
        name: &str,
        machines: BTreeSet<String>,
        spec: Option<spec::Environment>,
        events: Events,
    ) -> Result<Vec<Touched>> {
        let (camp, name) = (Arc::clone(&self.camp), name.to_owned());
        self.engine
            .run(async move { verbs::touch::start(&camp, &name, &machines, spec.as_ref(), events).await })
            .await
    }

    /// Brings the working trees of machines up to date, as their set-up in `spec` says: of those named, or of all that
    /// have one.
    pub async fn sync(
        &self,
        name: &str,
        machines: Option<BTreeSet<String>>,
        spec: spec::Environment,
        events: Events,
    ) -> Result<Vec<Synced>> {
        let (camp, name) = (Arc::clone(&self.camp), name.to_owned());
        self.engine
            .run(async move { verbs::sync::sync(&camp, &name, machines.as_ref(), &spec, events).await })
            .await
    }

    /// The files that [`Encamp::sync`] brings of a tree as it is now: for those who watch it.
    pub fn files_of(tree: &spec::Sync) -> Result<Vec<PathBuf>> {
        setup::files_of_tree(&tree.from, &tree.exclude)
    }

    /// Disposes of everything that is due on every site that was ever used.
    pub async fn gc(&self, events: Events) -> Result<Swept> {
        let camp = Arc::clone(&self.camp);
        self.engine.run(async move { camp.gc(&events).await }).await
    }

    /// Keeps the environment of a request until it is gone.
    pub(super) async fn watch(&self, request: Request) -> Result<()> {
        let camp = Arc::clone(&self.camp);
        self.engine
            .run(async move { keeper::watch(&camp, &request).await })
            .await
    }

    /// Lets an environment be wanted for at least `span` from now; a lease is never shortened. A run that holds it goes
    /// on for as long.
    pub async fn extend(&self, name: &str, span: Duration) -> Result<Extended> {
        let (camp, name) = (Arc::clone(&self.camp), name.to_owned());
        self.engine.run(async move { camp.extend(&name, span).await }).await
    }

    /// After a loss of the store: lists every site of the store and every configured provider, and records again what
    /// proves to be ours. Destroys nothing.
    pub async fn recover(&self) -> Result<Recovery> {
        let camp = Arc::clone(&self.camp);
        self.engine.run(async move { camp.recover().await }).await
    }

    /// Whether the store was not there when this was opened, although the installation is older.
    pub fn store_was_lost(&self) -> bool {
        self.folder.store_was_lost()
    }

    /// All living environments, from the store alone.
    pub async fn environments(&self) -> Result<Vec<Summary>> {
        let camp = Arc::clone(&self.camp);
        self.engine
            .run(async move {
                let mut all = Vec::new();
                for row in camp
                    .journal
                    .environments()
                    .await?
                    .into_iter()
                    .filter(|row| row.disposed.is_none())
                {
                    let intents = camp.journal.intents(&row.id).await?;
                    let held = camp.locks.try_hold(&row.id)?.is_none();
                    all.push(summarise(&camp, row, &intents, held));
                }
                all.sort_by(|a, b| a.name.cmp(&b.name));
                Ok(all)
            })
            .await
    }

    /// The living environment of that name.
    pub async fn environment(&self, name: &str) -> Result<Environment> {
        let (camp, name) = (Arc::clone(&self.camp), name.to_owned());
        let engine = self.engine.clone();
        self.engine
            .run(async move {
                let Some(row) = camp.find(&name).await? else {
                    return Err(
                        Error::new(ErrorKind::NotFound, format!("no environment is called `{name}`"))
                            .next_step("encamp ls"),
                    );
                };
                let intents = camp.journal.intents(&row.id).await?;
                let held = camp.locks.try_hold(&row.id)?.is_none();
                let summary = summarise(&camp, row.clone(), &intents, held);
                Ok(Environment::new(engine, camp, row, intents, summary))
            })
            .await
    }

    /// The names of living environments that came from a file, without reading the file.
    pub async fn environments_of_file(&self, file: &Path) -> Result<Vec<String>> {
        let camp = Arc::clone(&self.camp);
        let file = file
            .canonicalize()
            .unwrap_or_else(|_| file.to_owned())
            .display()
            .to_string();
        self.engine
            .run(async move {
                Ok(camp
                    .find_by_file(&file)
                    .await?
                    .into_iter()
                    .map(|row| row.name)
                    .collect())
            })
            .await
    }
}

fn summarise(camp: &Camp, row: EnvironmentRow, intents: &[IntentRow], held: bool) -> Summary {
    let mut machines: std::collections::BTreeMap<&str, &IntentRow> = std::collections::BTreeMap::new();
    for intent in intents
        .iter()
        .filter(|intent| intent.class == encamp_core::Class::Machine && intent.state != IntentState::Gone)
    {
        machines.insert(&intent.object, intent);
    }
    let ready = machines
        .values()
        .filter(|intent| intent.state == IntentState::Ready && !intent.stopped)
        .count();
    let known = machines.len().max(usize::try_from(row.machines).unwrap_or(usize::MAX));
    let failed = machines.values().any(|intent| intent.failure.is_some());
    let over = row.lease.over(camp.policy.grace, &*camp.clock);
    let dying = row.wanted == Wanted::Gone || machines.values().any(|intent| intent.state == IntentState::Dying);
    let abandoned = row.purpose == Purpose::Run && !row.keep && !held;
    let state = match () {
        () if held && dying => "disposing",
        () if held => "working",
        () if over || dying || abandoned => "overdue",
        () if failed => "failed",
        () if ready == known => "ready",
        () => "partial",
    };
    let providers: std::collections::BTreeSet<InstanceName> =
        machines.values().map(|intent| intent.instance.clone()).collect();
    Summary {
        ready,
        machines: known,
        state,
        providers: providers.into_iter().collect(),
        created: row.created,
        ends: row.lease.ends,
        left: row.lease.remaining(&*camp.clock),
        holder: row
            .holder
            .filter(|_| held)
            .map(|holder| format!("{} ({})", holder.verb, holder.pid)),
        ends_by_itself: !machines.is_empty() && machines.values().all(|intent| intent.expires.is_some()),
        keeper: camp.keepers.of(&row.id).ok().flatten(),
        keeper_log: camp.keepers.log(&row.id),
        id: row.id.to_string(),
        name: row.name,
        by: row.by,
        file: row.file,
        run: row.purpose == Purpose::Run,
        recovered: row.recovered,
    }
}
