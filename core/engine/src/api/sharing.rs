//! One environment for several tests, processes, or runs.

use std::ops::Deref;
use std::sync::Arc;
use std::time::Duration;

use encamp_core::{Class, Error, ErrorKind, ID_ALPHABET, Name, Result};
use encamp_file::spec;
use futures_util::FutureExt;
use sha2::{Digest, Sha256};
use tokio_util::sync::CancellationToken;

use super::description::Description;
use super::encamp::Encamp;
use super::environment::Environment;
use super::guard::Guard;
use crate::camp::Camp;
use crate::clock::monotonic_now as now;
use crate::events::Events;
use crate::journal::{EnvironmentRow, IntentRow, IntentState, Purpose, Wanted};
use crate::keeper::Survival;
use crate::users::{Leader, Terms, Use};
use crate::verbs::lend::{self, Wish};

/// How often it is looked whether an environment that another makes is ready.
const GLANCE: Duration = Duration::from_millis(20);
/// How long at most what a run shares stays without a user, as long as the run goes on.
const BETWEEN_USERS: Duration = Duration::from_mins(10);

/// Who else gets the same environment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Share {
    /// Nobody: a fresh one, as [`Encamp::up`] gives it.
    Test,
    /// Whatever uses it in this program: threads, and under nextest the processes of one test binary.
    Binary,
    /// Whatever uses it in this run: all test binaries of one `cargo test` or `cargo nextest run`. It goes when the process
    /// that has started this one has ended, and where nobody has used it for ten minutes.
    Run,
    /// Whoever uses it at any time, and for so long after that.
    Kept(Duration),
}

/// An environment that others may use as well. It is disposed of once nobody does any more: by its keeper, else by the
/// next `up` or command on the state folder that changes something. Whoever comes gives it its `ttl` once more; when that
/// is over it goes, whoever uses it.
#[derive(Debug)]
pub struct SharedGuard {
    environment: Environment,
    survival: Survival,
    _hold: Hold,
}

impl SharedGuard {
    /// What ends the environment once nobody uses it.
    pub fn survival(&self) -> &Survival {
        &self.survival
    }
}

/// How long an environment stays.
#[derive(Debug)]
#[expect(dead_code, reason = "a guard works by being dropped")]
enum Hold {
    /// As long as this.
    Own(Box<Guard>),
    /// As long as somebody has one of these.
    Used(Option<Use>, Arc<Camp>),
}

impl Deref for SharedGuard {
    type Target = Environment;

    fn deref(&self) -> &Environment {
        &self.environment
    }
}

impl Drop for Hold {
    fn drop(&mut self) {
        if let Self::Used(used, camp) = self
            && let Some(used) = used.take()
        {
            used.end(camp.clock.now());
        }
    }
}

impl Encamp {
    /// The environment of that description which `share` says: made by whoever comes first, waited for by all others.
    ///
    /// It has a name of its own, made of the description and of who shares it. Nobody holds it, so what changes it, as
    /// [`Machine::restart`](super::Machine::restart) does, is refused while somebody else does the same.
    pub async fn shared(&self, description: impl Into<Description>, share: Share) -> Result<SharedGuard> {
        self.shared_telling(description, share, Events::none()).await
    }

    /// The same, and tells what happens where this process makes it.
    pub async fn shared_telling(
        &self,
        description: impl Into<Description>,
        share: Share,
        events: Events,
    ) -> Result<SharedGuard> {
        let mut spec = self.described(description)?;
        let Some(surroundings) = self.surroundings(share)? else {
            let guard = self.up_telling(spec, events).await?;
            return Ok(SharedGuard {
                environment: guard.deref().clone(),
                survival: guard.survival().clone(),
                _hold: Hold::Own(Box::new(guard)),
            });
        };
        spec.name = self.named(&spec, &surroundings.key)?;
        let name = spec.name.to_string();
        let stop = self.lending().stop();
        let sharing = Sharing {
            camp: Arc::clone(self.camp()),
            spec: spec.clone(),
            terms: surroundings.terms,
            wish: self.lending().wish,
            stop: stop.clone(),
            events,
        };
        // Where the caller stops waiting, what is made is disposed of, on an engine that lives as long as that takes.
        let letting_go = stop.drop_guard();
        let engine = self.engine().clone();
        // Boxed, so that what awaits this is no deeper a type than the compiler follows.
        let work = async move {
            let _engine = engine;
            sharing.obtain().await
        };
        let work = self.lending().at_work(work.boxed());
        let (used, survival) = self.engine().run(work).await?;
        drop(letting_go.disarm());
        let environment = self.environment(&name).await?.held(Arc::new(spec), None);
        Ok(SharedGuard {
            environment,
            survival,
            _hold: Hold::Used(Some(used), Arc::clone(self.camp())),
        })
    }

    /// The description's name, and eight characters of what it says, of the files that it names and of who shares it.
    fn named(&self, spec: &spec::Environment, key: &str) -> Result<Name> {
        let mut hash = Sha256::new();
        let mut add = |part: &str| {
            hash.update(part.len().to_le_bytes());
            hash.update(part);
        };
        add(&spec.digest);
        add(key);
        for machine in &spec.machines {
            for kind in machine
                .providers
                .iter()
                .filter_map(|it| self.camp().providers.kind_of(it))
            {
                add(&machine.spec_hash(kind));
            }
        }
        let digits = ID_ALPHABET.as_bytes();
        let hash = hash.finalize();
        let short = hash
            .iter()
            .take(8)
            .map(|byte| char::from(digits[usize::from(byte % 32)]));
        // A name has 63 characters at most, and the description's has 40.
        Name::new(format!("{}-{}", spec.name, short.collect::<String>()))
            .map_err(|e| Error::new(ErrorKind::Invalid, e.to_string()))
    }

    /// Who shares, as a text, and how long it stays for them. Read from the variables and the process that
    /// [`Builder::ambient`](super::Builder::ambient) lets this look at.
    fn surroundings(&self, share: Share) -> Result<Option<Surroundings>> {
        let ambient = self.camp().providers.ambient();
        let own = std::process::id();
        let parent = rustix::process::getppid().map(|pid| pid.as_raw_nonzero().get().unsigned_abs());
        let process = |pid: u32| {
            let leader = Leader::of(pid);
            let leader =
                leader.ok_or_else(|| Error::new(ErrorKind::Unsupported, "this system tells no process's beginning"));
            leader.map(|leader| (format!("{leader:?}"), leader))
        };
        let (key, leader, linger) = match share {
            Share::Test => return Ok(None),
            Share::Kept(linger) => ("kept".to_owned(), None, linger),
            Share::Binary | Share::Run => {
                let nextest = ambient.variable("NEXTEST_RUN_ID");
                let binary = ambient.variable("NEXTEST_BINARY_ID").unwrap_or_default();
                let (key, leader) = match (share, nextest) {
                    (Share::Binary, None) => process(own)?,
                    _ => {
                        let none = || Error::new(ErrorKind::Unsupported, "this process has no parent");
                        let (started, leader) = process(parent.ok_or_else(none)?)?;
                        let run = nextest.map_or(started, ToOwned::to_owned);
                        let of = if share == Share::Binary { binary } else { "run" };
                        (format!("{of} {run}"), leader)
                    }
                };
                (key, Some(leader), BETWEEN_USERS)
            }
        };
        Ok(Some(Surroundings {
            key,
            terms: Terms { linger, leader },
        }))
    }
}

struct Surroundings {
    key: String,
    terms: Terms,
}

/// What is wanted of an environment that others want as well.
struct Sharing {
    camp: Arc<Camp>,
    spec: spec::Environment,
    terms: Terms,
    wish: Wish,
    stop: CancellationToken,
    events: Events,
}

impl Sharing {
    fn name(&self) -> &str {
        self.spec.name.as_str()
    }

    /// Makes it, or waits until another has.
    async fn obtain(self) -> Result<(Use, Survival)> {
        let until = now() + self.camp.policy.create + self.camp.policy.down;
        while now() < until && !self.stop.is_cancelled() {
            let came = match self.camp.find(self.name()).await? {
                None => self.make().await?,
                Some(row) => self.join(&row).await?,
            };
            if let Some(came) = came {
                return Ok(came);
            }
            tokio::time::sleep(GLANCE).await;
        }
        let message = format!("`{}` did not get ready in another process", self.name());
        let error = Error::new(ErrorKind::Unavailable, message).of_environment(self.name());
        Err(error.next_step("encamp show says how far it is"))
    }

    /// Makes it; nothing where another was faster.
    async fn make(&self) -> Result<Option<(Use, Survival)>> {
        let begun = lend::begin(&self.camp, self.spec.clone(), Purpose::Shared, self.events.clone()).await;
        let begun = match begun {
            Err(error) if error.kind() == ErrorKind::Conflict && self.camp.find(self.name()).await?.is_some() => {
                return Ok(None);
            }
            begun => begun?,
        };
        // Before anybody can find it without a holder.
        let (environment, now) = (begun.session.row.id.clone(), self.camp.clock.now());
        let used = match self.camp.users.found(&environment, self.terms, now).await {
            Ok(used) => used,
            Err(error) => {
                begun.abandon().await?;
                return Err(error);
            }
        };
        let lent = begun.bring_up(self.wish, &self.stop).await?;
        let survival = lent.survival.clone();
        lent.release().await?;
        Ok(Some((used, survival)))
    }

    /// Uses what another has made; nothing while somebody works on it, or where it had to be ended.
    async fn join(&self, row: &EnvironmentRow) -> Result<Option<(Use, Survival)>> {
        let camp = &self.camp;
        // Whoever ends it has to hold it, so that as long as this does nobody can.
        let Some(held) = camp.locks.try_hold(&row.id)? else {
            return Ok(None);
        };
        let Some(row) = camp.journal.environment(&row.id).await? else {
            return Ok(None);
        };
        if row.disposed.is_some() {
            return Ok(None);
        }
        let is_over = row.wanted == Wanted::Gone || row.lease.over(camp.policy.grace, &*camp.clock);
        if is_over || (!self.is_sound(&row).await? && camp.users.is_idle(&row.id)?) {
            // Its maker has died, or left it to be ended: nobody uses it, and it is begun anew.
            match camp.take(&row.id, held, lend::VERB, Events::none()).await {
                Ok(session) => drop(lend::end(session).await?.must_be_clean()?),
                Err(error) if error.kind() == ErrorKind::NotFound => {}
                Err(error) => return Err(error),
            }
            return Ok(None);
        }
        let Some(used) = camp.users.join(&row.id, camp.clock.now()).await? else {
            return Ok(None);
        };
        drop(held);
        let survival = camp.keepers.ensure(camp, &row.id).await;
        if let (Wish::Keeper, Survival::NextCommand { why }) = (self.wish, &survival) {
            return Err(lend::no_keeper(&row.name, why));
        }
        match camp.extend(self.name(), self.spec.ttl).await {
            Ok(_) => Ok(Some((used, survival))),
            // Somebody takes it down all the same.
            Err(error) if matches!(error.kind(), ErrorKind::Conflict | ErrorKind::NotFound) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Whether it was brought up wholly, and nobody has died over it since.
    async fn is_sound(&self, row: &EnvironmentRow) -> Result<bool> {
        let intents = self.camp.journal.intents(&row.id).await?;
        let is_ready = |intent: &&IntentRow| {
            intent.class == Class::Machine && intent.state == IntentState::Ready && intent.failure.is_none()
        };
        let machines = intents.iter().filter(is_ready).count();
        Ok(row.holder.is_none() && machines >= usize::try_from(row.machines).unwrap_or(usize::MAX))
    }
}
