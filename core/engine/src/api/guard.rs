//! An environment as an object: it is there while its guard lives.

use std::ops::Deref;
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use encamp_core::{Error, ErrorKind, Result};
use encamp_file::spec;
use tokio::sync::{mpsc, oneshot};
use tokio_util::sync::CancellationToken;

use super::description::Description;
use super::encamp::Encamp;
use super::environment::Environment;
use super::runtime::Engine;
use crate::events::Events;
use crate::journal::Purpose;
use crate::keeper::Survival;
use crate::report::Disposal;
use crate::verbs::lend::{self, Ask, Ended, Lent};

/// Questions to a holder that wait.
const ASKS: usize = 16;

/// A fresh environment that is ready, and that goes with this.
///
/// Dropped, also while panicking, it hands the disposal to the engine's thread and waits for at most the builder's
/// [`drop_grace`](super::Builder::drop_grace); it needs no runtime for that and never panics. What is not disposed of by
/// then, or by a process that is killed, is for whoever [`survival`](Self::survival) names.
#[derive(Debug)]
pub struct Guard {
    environment: Environment,
    survival: Survival,
    tenant: Tenant,
}

impl Deref for Guard {
    type Target = Environment;

    fn deref(&self) -> &Environment {
        &self.environment
    }
}

impl Guard {
    /// What ends the environment if this process cannot.
    pub fn survival(&self) -> &Survival {
        &self.survival
    }

    /// Disposes of it, and says what became of everything. What could not be disposed of is listed with who will finish
    /// it; [`Disposal::must_be_clean`] makes that an error.
    pub async fn down(mut self) -> Result<Disposal> {
        let asks = self.tenant.asks.take();
        if let Some(asks) = &asks {
            // Where nobody hears it, it is being disposed of already.
            let _ = asks.send(Ask::Down).await;
        }
        self.tenant.disposed().await
    }

    /// Leaves it to its lease: from now on it is an environment like those of `encamp up`.
    pub async fn keep(mut self) -> Result<Environment> {
        let (answer, answered) = oneshot::channel();
        if let Some(asks) = self.tenant.asks.take() {
            let _ = asks.send(Ask::Keep(answer)).await;
        }
        match answered.await {
            Ok(kept) => kept.map(|()| self.environment.clone().unheld()),
            Err(_) => {
                self.tenant.disposed().await?;
                let gone = format!("`{}` was disposed of before it could be kept", self.name());
                Err(Error::new(ErrorKind::NotFound, gone).of_environment(self.name()))
            }
        }
    }
}

/// The right to an environment that a task of the engine holds. It is there before the first call to a provider.
#[derive(Debug)]
struct Tenant {
    asks: Option<mpsc::Sender<Ask>>,
    stop: CancellationToken,
    /// Closed when everything is done.
    ended: Mutex<Receiver<()>>,
    /// What it came to, then.
    end: Option<oneshot::Receiver<Ended>>,
    grace: Duration,
}

/// What the engine's task has of it.
struct Tenancy {
    asks: mpsc::Receiver<Ask>,
    stop: CancellationToken,
    end: oneshot::Sender<Ended>,
    /// Dropped when everything is done, and the engine after it: whoever had that may be gone by then.
    _ended: SyncSender<()>,
    _engine: Engine,
}

impl Tenant {
    fn new(engine: &Engine, stop: CancellationToken, grace: Duration) -> (Self, Tenancy) {
        let (asks, asked) = mpsc::channel(ASKS);
        let (ending, ended) = sync_channel(0);
        let (tell, end) = oneshot::channel();
        let tenancy = Tenancy {
            asks: asked,
            stop: stop.clone(),
            end: tell,
            _ended: ending,
            _engine: engine.clone(),
        };
        let tenant = Self {
            asks: Some(asks),
            stop,
            ended: Mutex::new(ended),
            end: Some(end),
            grace,
        };
        (tenant, tenancy)
    }

    /// What the disposal came to, whoever wanted it.
    async fn disposed(&mut self) -> Result<Disposal> {
        let end = match self.end.take() {
            Some(end) => end.await.ok(),
            None => None,
        };
        match end {
            Some(Ended::Disposed(disposed)) => disposed,
            Some(Ended::Kept) => Err(Error::new(ErrorKind::Conflict, "the environment is kept")),
            None => Err(Error::new(
                ErrorKind::Internal,
                "the engine's task ended without saying what became of the environment",
            )
            .next_step("encamp ls says what is there; its keeper or `encamp gc` ends it")),
        }
    }
}

impl Drop for Tenant {
    fn drop(&mut self) {
        self.stop.cancel();
        self.asks = None;
        let ended = self.ended.get_mut().unwrap_or_else(PoisonError::into_inner);
        if ended.recv_timeout(self.grace) == Err(RecvTimeoutError::Timeout) {
            tracing::warn!(after = ?self.grace, "an environment is still being disposed of");
        }
    }
}

impl Encamp {
    /// Makes a fresh environment, with a name of its own, and gives it once everything is ready. On an error everything
    /// is disposed of already, or the error says what is left.
    ///
    /// Dropping the future is as dropping the guard: the engine finishes the step that it is at, and disposes.
    pub async fn up(&self, description: impl Into<Description>) -> Result<Guard> {
        self.up_telling(description, Events::none()).await
    }

    /// The same, and tells what happens meanwhile and at the disposal.
    pub async fn up_telling(&self, description: impl Into<Description>, events: Events) -> Result<Guard> {
        let spec = self.described(description)?;
        let (tenant, tenancy) = Tenant::new(self.engine(), self.lending().stop(), self.lending().drop_grace);
        let (ready, told) = oneshot::channel();
        let (camp, wish) = (Arc::clone(self.camp()), self.lending().wish);
        let work = async move {
            let Tenancy {
                mut asks,
                stop,
                end,
                _ended,
                _engine,
            } = tenancy;
            let lent = match lend::begin(&camp, spec, Purpose::Run, events).await {
                Ok(begun) => begun.bring_up(wish, &stop).await,
                Err(error) => Err(error),
            };
            match lent {
                Ok(lent) => {
                    let described = Described::of(&lent);
                    // Whoever asked may be gone: then `stop` is set.
                    let _ = ready.send(Ok(described));
                    let ended = lent.serve(&mut asks, &stop).await;
                    let _ = end.send(ended);
                }
                Err(error) => drop(ready.send(Err(error))),
            }
        };
        self.engine().spawn(self.lending().at_work(work))?;
        let ended = || Error::new(ErrorKind::Internal, "the engine has ended");
        let Described { name, spec, survival } = told.await.map_err(|_| ended())??;
        let holder = tenant.asks.as_ref().map(mpsc::Sender::downgrade);
        let environment = self.environment(&name).await?.held(spec, holder);
        Ok(Guard {
            environment,
            survival,
            tenant,
        })
    }
}

/// What the caller has to know of an environment that is ready.
struct Described {
    name: String,
    spec: Arc<spec::Environment>,
    survival: Survival,
}

impl Described {
    fn of(lent: &Lent) -> Self {
        Self {
            name: lent.session.row.name.clone(),
            spec: Arc::new(lent.spec.clone()),
            survival: lent.survival.clone(),
        }
    }
}
