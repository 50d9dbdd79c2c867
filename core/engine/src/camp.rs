//! One installation at work: everything that commands share.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use encamp_core::{Cx, EnvId, Error, ErrorKind, Name, Provider, Report, Result, SelfExpiry, Site};
use encamp_file::spec::{Environment, Given, SecretSource};
use encamp_file::text::Numbers;

use crate::clock::{Clock, Lease, monotonic_now};
use crate::entropy::{Entropy, environment_id};
use crate::events::Events;
use crate::failpoint::Failpoints;
use crate::identity::Controller;
use crate::journal::{Answer, EnvironmentRow, Holder, IntentRow, Journal, Op, Purpose, Refusal, Wanted};
use crate::keeper::{self, Keepers};
use crate::policy::Policy;
use crate::providers::Providers;
use crate::queue::Queue;
use crate::report::{Disposal, RunReport};
use crate::secrets;
use crate::session::Session;
use crate::sweep::{self, Swept};
use crate::tenure::{Held, Locks};
use crate::users::Users;
use crate::verbs;
use crate::verbs::extend::Extended;
use crate::verbs::recover::Recovery;
use crate::verbs::run::RunOptions;
use crate::verbs::up::Pending;

/// What the engine works with; time, randomness, ids and crashes come from here alone.
#[derive(Debug)]
#[expect(clippy::exhaustive_structs, reason = "whoever makes a camp supplies everything")]
pub struct Camp {
    /// Whose machines these are.
    pub controller: Controller,
    /// Where intents are kept.
    pub journal: Arc<dyn Journal>,
    /// Who holds which environment.
    pub locks: Arc<dyn Locks>,
    /// Time.
    pub clock: Arc<dyn Clock>,
    /// Randomness.
    pub entropy: Arc<dyn Entropy>,
    /// Where a crash matters.
    pub failpoints: Arc<dyn Failpoints>,
    /// Infrastructure.
    pub providers: Providers,
    /// Where secrets come from that a file speaks of and does not declare.
    pub secrets: BTreeMap<Name, SecretSource>,
    /// Where secrets lie that machines get as files.
    pub secret_folder: secrets::Folder,
    /// What outlives the command.
    pub keepers: Keepers,
    /// Who uses what is shared.
    pub users: Users,
    /// Who wants places that others have.
    pub queue: Queue,
    /// How long things may take.
    pub policy: Policy,
    /// Who uses it.
    pub user: String,
    /// The process.
    pub pid: u32,
}

/// How long somebody may have a lock only to see whether it is held.
const GLANCE: Duration = Duration::from_secs(1);
/// How often a fresh name for a run is tried.
const NAME_TRIES: usize = 32;

impl Camp {
    /// Removes the key that an environment logged in with, where it had one. Who fails is followed by the next sweep.
    pub(crate) fn forget_login(&self, environment: &EnvId) {
        let Ok(logins) = self.providers.logins() else { return };
        if let Err(error) = logins.forget(environment) {
            tracing::warn!(%environment, error = %Report(&error), "its key is still there");
        }
    }

    /// Takes or makes the environment and plans the difference; nothing is changed before [`Pending::execute`].
    pub async fn prepare_up(self: &Arc<Self>, spec: Environment, events: Events) -> Result<Pending> {
        Box::pin(verbs::up::prepare(self, spec, events)).await
    }

    /// Up, stages, collect, down, on fresh machines. An error means that nothing was started.
    pub async fn run(self: &Arc<Self>, spec: Environment, options: RunOptions, events: Events) -> Result<RunReport> {
        Box::pin(verbs::run::run(self, spec, options, events)).await
    }

    /// Takes the environment of that name down; whoever holds it yields.
    pub async fn down(self: &Arc<Self>, name: &str, events: Events) -> Result<Disposal> {
        Box::pin(verbs::down::down(self, name, events)).await
    }

    /// Disposes of everything that is due on every site that was ever used.
    pub async fn gc(self: &Arc<Self>, events: &Events) -> Result<Swept> {
        Box::pin(sweep::gc(self, events)).await
    }

    /// Lets an environment be wanted for at least `span` from now, whoever holds it.
    pub async fn extend(self: &Arc<Self>, name: &str, span: Duration) -> Result<Extended> {
        Box::pin(verbs::extend::extend(self, name, span)).await
    }

    /// Records again what stands on the infrastructure and the store does not know.
    pub async fn recover(self: &Arc<Self>) -> Result<Recovery> {
        Box::pin(verbs::recover::recover(self)).await
    }

    /// Commits one operation, with a failpoint before and after.
    pub(crate) async fn commit(&self, op: Op) -> Result<Answer> {
        let point = format!("commit.{}.{}", op.name(), op.subject());
        self.failpoints.reach(&format!("{point}.before")).await;
        let answer = self.journal.apply(op, self.clock.now()).await?;
        self.failpoints.reach(&format!("{point}.after")).await;
        Ok(answer)
    }

    /// A context for a read.
    pub(crate) fn read_cx(&self) -> Cx {
        Cx::within(self.policy.check)
    }

    /// The living environment of that name.
    pub async fn find(&self, name: &str) -> Result<Option<EnvironmentRow>> {
        Ok(self
            .journal
            .environments()
            .await?
            .into_iter()
            .find(|row| row.name == name && row.disposed.is_none()))
    }

    /// The living environments that came from a file.
    pub async fn find_by_file(&self, file: &str) -> Result<Vec<EnvironmentRow>> {
        let rows = self.journal.environments().await?.into_iter();
        Ok(rows
            .filter(|row| row.file.as_deref() == Some(file) && row.disposed.is_none())
            .collect())
    }

    /// Makes a new environment and takes its tenure. A run gets a name of its own, so that two runs of one file never meet.
    pub(crate) async fn found(
        self: &Arc<Self>,
        spec: &Environment,
        purpose: Purpose,
        verb: &str,
        events: Events,
    ) -> Result<Session> {
        for _ in 0..NAME_TRIES {
            let id = environment_id(&*self.entropy)?;
            // Before the row exists, so that nobody takes the environment for a dead command's.
            let Some(held) = self.locks.try_hold(&id)? else {
                continue;
            };
            let name = match purpose {
                Purpose::Up | Purpose::Shared => spec.name.to_string(),
                Purpose::Run => format!("{}-{}", spec.name, &id.as_str()[..4]),
            };
            let row = EnvironmentRow {
                id: id.clone(),
                name,
                purpose,
                file: canonical(spec),
                wanted: Wanted::Present,
                keep: false,
                created: self.clock.now(),
                lease: Lease::of(spec.ttl, &*self.clock),
                epoch: 0,
                holder: None,
                disposed: None,
                by: self.user.clone(),
                outputs: BTreeMap::new(),
                machines: u32::try_from(spec.machines.len()).unwrap_or(u32::MAX),
                numbers: Numbers::new(),
                recovered: false,
                // Known once its secrets are, which are not to stand there.
                given: Given::default(),
                took: Vec::new(),
            };
            match self.commit(Op::Found(Box::new(row))).await? {
                Answer::Refused(Refusal::NameTaken(taken)) if purpose != Purpose::Run => {
                    return Err(name_taken(&taken, spec));
                }
                Answer::Refused(_) => {}
                _ => return self.take(&id, held, verb, events).await,
            }
        }
        Err(Error::new(ErrorKind::Internal, "no free name was found for this run"))
    }

    /// Takes the tenure of an environment whose lock is held.
    pub(crate) async fn take(
        self: &Arc<Self>,
        id: &EnvId,
        held: Box<dyn Held>,
        verb: &str,
        events: Events,
    ) -> Result<Session> {
        let holder = Holder {
            pid: self.pid,
            verb: verb.to_owned(),
            since: self.clock.now(),
        };
        match self
            .commit(Op::Take {
                environment: id.clone(),
                holder,
            })
            .await?
        {
            Answer::Taken(epoch, row) => Ok(Session::new(Arc::clone(self), *row, epoch, held, events)),
            _ => Err(Error::new(
                ErrorKind::NotFound,
                "the environment has been disposed of meanwhile",
            )),
        }
    }

    /// Takes the tenure of an environment, or says who holds it.
    pub(crate) async fn hold(self: &Arc<Self>, row: &EnvironmentRow, verb: &str, events: Events) -> Result<Session> {
        let began = monotonic_now();
        loop {
            if let Some(held) = self.locks.try_hold(&row.id)? {
                let session = self.take(&row.id, held, verb, events).await?;
                self.keepers.ensure(self, &row.id).await;
                return Ok(session);
            }
            // Somebody may only be looking whether it is held; a keeper settles what a dead command left and is done.
            let patience = match self.journal.environment(&row.id).await?.and_then(|now| now.holder) {
                None => GLANCE,
                Some(holder) if holder.verb == keeper::VERB => self.policy.takeover,
                Some(_) => Duration::ZERO,
            };
            if began.elapsed() >= patience {
                return Err(self.busy(row).await);
            }
            tokio::time::sleep(self.policy.pause.0 / 10).await;
        }
    }

    /// Takes the tenure for a disposal: the holder is asked to yield first.
    pub(crate) async fn take_over(
        self: &Arc<Self>,
        row: &EnvironmentRow,
        verb: &str,
        events: Events,
    ) -> Result<Session> {
        self.commit(Op::WantGone(row.id.clone())).await?;
        let mut waited = Duration::ZERO;
        loop {
            if let Some(held) = self.locks.try_hold(&row.id)? {
                return self.take(&row.id, held, verb, events).await;
            }
            if waited.is_zero() {
                let holder = self.busy(row).await;
                events.note(format!("{holder}; it was told to yield")).await;
            }
            if waited >= self.policy.takeover {
                return Err(self
                    .busy(row)
                    .await
                    .next_step(format!("it was told to yield; try again: encamp down -e {}", row.name)));
            }
            tokio::time::sleep(self.policy.pause.0).await;
            waited += self.policy.pause.0;
        }
    }

    /// Wants an environment gone because its lease has ended; false where somebody has extended it meanwhile, or it is
    /// disposed of.
    pub(crate) async fn expire(&self, row: &EnvironmentRow) -> Result<bool> {
        let (environment, lease) = (row.id.clone(), row.lease.clone());
        let answer = self.commit(Op::Expire { environment, lease }).await?;
        Ok(answer == Answer::Done)
    }

    pub(crate) async fn busy(&self, row: &EnvironmentRow) -> Error {
        let row = self
            .journal
            .environment(&row.id)
            .await
            .ok()
            .flatten()
            .unwrap_or_else(|| row.clone());
        let who = row.holder.as_ref().map_or_else(
            || "another process".to_owned(),
            |h| format!("process {} (`encamp {}`)", h.pid, h.verb),
        );
        Error::new(ErrorKind::Conflict, format!("`{}` is held by {who}", row.name)).of_environment(&row.name)
    }

    /// The provider that a recorded object is on, if it still speaks for that site.
    pub(crate) async fn provider_of(&self, row: &IntentRow) -> Result<Arc<dyn Provider>> {
        self.provider_at(&row.site, &row.instance).await
    }

    /// The provider of a site; another daemon or account under the same name is an error, never an empty listing.
    pub(crate) async fn provider_at(
        &self,
        site: &Site,
        instance: &encamp_core::InstanceName,
    ) -> Result<Arc<dyn Provider>> {
        let cx = self.read_cx();
        let known = self
            .journal
            .sites()
            .await?
            .into_iter()
            .find(|known| known.site == *site);
        let provider = match &known {
            Some(known) => self.providers.connect_site(&cx, known).await?,
            None => self.providers.connect(&cx, instance).await?,
        };
        if provider.sites().contains(site) {
            return Ok(provider);
        }
        Err(Error::new(
            ErrorKind::Unavailable,
            format!("`{instance}` now reaches {}, not {site}", provider.site()),
        )
        .of_provider(instance)
        .next_step("point the provider at where these machines were made, then repeat the command"))
    }

    /// What ends a lease here besides a command: whether every given provider ends machines by itself.
    pub fn ends_by_itself(&self, expiries: &[SelfExpiry]) -> bool {
        !expiries.is_empty() && expiries.iter().all(|expiry| *expiry != SelfExpiry::None)
    }
}

/// The canonical path of the file that a specification came from.
pub(crate) fn canonical(spec: &Environment) -> Option<String> {
    let file = spec.file.as_ref()?;
    let path = file.canonicalize().unwrap_or_else(|_| file.clone());
    Some(path.display().to_string())
}

fn name_taken(taken: &EnvironmentRow, spec: &Environment) -> Error {
    let error = Error::new(
        ErrorKind::Conflict,
        format!("an environment called `{}` exists already", taken.name),
    )
    .of_environment(&taken.name);
    match (&taken.file, canonical(spec)) {
        (Some(theirs), Some(ours)) if *theirs != ours => error
            .with("it came from", theirs)
            .with("this file is", ours)
            .next_step(format!(
                "change `name` in one of them, or end the other: encamp down -e {}",
                taken.name
            )),
        _ => error.next_step(format!("encamp down -e {}", taken.name)),
    }
}
