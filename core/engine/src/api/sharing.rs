//! One environment for several tests, processes, or runs.

use std::ops::Deref;
use std::sync::Arc;
use std::time::Duration;

use encamp_core::{Error, ErrorKind, ID_ALPHABET, Name, Result};
use encamp_file::spec;
use sha2::{Digest, Sha256};
use tokio_util::sync::CancellationToken;

use super::description::Description;
use super::encamp::Encamp;
use super::environment::Environment;
use super::guard::Guard;
use crate::camp::Camp;
use crate::clock::monotonic_now as now;
use crate::events::Events;
use crate::journal::{EnvironmentRow, IntentState, Purpose, Wanted};
use crate::users::{Leader, Terms, Use};
use crate::verbs::lend::{self, Wish};

/// How long it takes somebody to see whether an environment is used.
const GLANCE: Duration = Duration::from_millis(20);
/// How long what is shared stays where its users come one after the other.
const LINGER: Duration = Duration::from_secs(10);

/// Who else gets the same environment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Share {
    /// Nobody: a fresh one, as [`Encamp::up`] gives it.
    Test,
    /// Whatever uses it in this program: threads, and under nextest the processes of one test binary.
    Binary,
    /// Whatever uses it in this run: all test binaries of one `cargo test` or `cargo nextest run`.
    Run,
    /// Whoever uses it at any time, and for so long after that.
    Kept(Duration),
}

/// An environment that others may use as well. It is disposed of once nobody does any more: by its keeper, else by the
/// next program that opens the state folder.
#[derive(Debug)]
pub struct SharedGuard {
    environment: Environment,
    _hold: Hold,
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
        let mut spec = self.described(description)?;
        let Some(surroundings) = self.surroundings(share)? else {
            let guard = self.up(spec).await?;
            let environment = guard.deref().clone();
            let hold = Hold::Own(Box::new(guard));
            return Ok(SharedGuard {
                environment,
                _hold: hold,
            });
        };
        spec.name = self.named(&spec, &surroundings.key)?;
        let (camp, wish, terms) = (Arc::clone(self.camp()), self.lending().wish, surroundings.terms);
        let stop = self.lending().stop();
        let stopping = stop.clone().drop_guard();
        let described = spec.clone();
        let (name, used) = self
            .engine()
            .run(async move { share_one(&camp, &described, terms, wish, &stop).await })
            .await?;
        drop(stopping.disarm());
        let environment = self.environment(&name).await?.held(Arc::new(spec), None);
        let hold = Hold::Used(Some(used), Arc::clone(self.camp()));
        Ok(SharedGuard {
            environment,
            _hold: hold,
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
                let binary = match (share, nextest) {
                    (Share::Run, _) => "run".to_owned(),
                    (_, Some(_)) => ambient.variable("NEXTEST_BINARY_ID").unwrap_or_default().to_owned(),
                    (_, None) => process(own)?.0,
                };
                let parent = parent.ok_or_else(|| Error::new(ErrorKind::Unsupported, "this process has no parent"))?;
                let (parent, leader) = process(parent)?;
                let run = nextest.map_or(parent, ToOwned::to_owned);
                (format!("{binary} {run}"), Some(leader), LINGER)
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

async fn share_one(
    camp: &Arc<Camp>,
    spec: &spec::Environment,
    terms: Terms,
    wish: Wish,
    stop: &CancellationToken,
) -> Result<(String, Use)> {
    let name = spec.name.to_string();
    let until = now() + camp.policy.create + camp.policy.down;
    while now() < until && !stop.is_cancelled() {
        match camp.find(&name).await? {
            None => match make(camp, spec, terms, wish, stop).await {
                Err(error) if error.kind() == ErrorKind::Conflict && camp.find(&name).await?.is_some() => {}
                made => return made.map(|used| (name, used)),
            },
            Some(row) => {
                if let Some(used) = join(camp, &row).await? {
                    return Ok((name, used));
                }
            }
        }
        tokio::time::sleep(GLANCE).await;
    }
    let error = Error::new(
        ErrorKind::Unavailable,
        format!("`{name}` was made by another process and did not get ready"),
    );
    Err(error.of_environment(name).next_step("encamp show says how far it is"))
}

async fn make(
    camp: &Arc<Camp>,
    spec: &spec::Environment,
    terms: Terms,
    wish: Wish,
    stop: &CancellationToken,
) -> Result<Use> {
    let begun = lend::begin(camp, spec.clone(), Purpose::Shared, Events::none()).await?;
    // Before anybody can find it without a holder.
    let used = camp.users.found(&begun.session.row.id, terms, camp.clock.now())?;
    begun.bring_up(wish, stop).await?.release().await?;
    Ok(used)
}

/// Uses an environment that is ready; `None` where it is not yet, or goes.
async fn join(camp: &Arc<Camp>, row: &EnvironmentRow) -> Result<Option<Use>> {
    if row.wanted == Wanted::Gone || row.holder.is_some() && camp.locks.try_hold(&row.id)?.is_none() {
        return Ok(None);
    }
    let used = match camp.users.join(&row.id, camp.clock.now()) {
        Ok(Some(used)) => used,
        Ok(None) => return Ok(None),
        // Whoever makes it has not said what it stays for yet.
        Err(error) => {
            tracing::debug!(%error, "not to be used yet");
            return Ok(None);
        }
    };
    // From now on nobody ends it for lack of users.
    let Some(now) = camp.journal.environment(&row.id).await? else {
        return Ok(None);
    };
    if now.disposed.is_some() || now.wanted == Wanted::Gone {
        return Ok(None);
    }
    let intents = camp.journal.intents(&row.id).await?;
    let machines = intents.iter().filter(|intent| {
        intent.class == encamp_core::Class::Machine && intent.state == IntentState::Ready && intent.failure.is_none()
    });
    if now.holder.is_none() && machines.count() >= usize::try_from(now.machines).unwrap_or(usize::MAX) {
        return Ok(Some(used));
    }
    // Its maker has died before it was ready: what it left is nobody's, and is begun anew.
    if let Some(held) = camp.locks.try_hold(&row.id)? {
        let session = camp.take(&row.id, held, lend::VERB, Events::none()).await?;
        lend::end(session).await?;
    }
    Ok(None)
}
