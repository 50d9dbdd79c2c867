//! One command's hold on one environment.

use std::collections::HashMap;
use std::future::Future;
use std::hash::Hash;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use encamp_core::{Class, Cx, Error, ErrorKind, InstanceName, Key, Provider, Report, Result, Retry, Ticket, Verb};
use tokio::sync::{OnceCell, OwnedSemaphorePermit, Semaphore};
use tokio_util::sync::CancellationToken;

use crate::camp::Camp;
use crate::events::Events;
use crate::execute::follow;
use crate::journal::{Answer, EnvironmentRow, Epoch, IntentRef, Op, Refusal, Wanted};
use crate::secrets::InHand;
use crate::tenure::Held;

/// The tenure of an environment, and what its executor shares.
#[derive(Debug)]
pub(crate) struct Session {
    pub(crate) camp: Arc<Camp>,
    pub(crate) row: EnvironmentRow,
    pub(crate) epoch: Epoch,
    pub(crate) events: Events,
    /// The secrets of its description; where there is none at hand, what an earlier command left in memory.
    pub(crate) secrets: Arc<InHand>,
    /// Set when the executor is to stop where it stands.
    pub(crate) stop: CancellationToken,
    /// Held by whoever tells machines of a longer lease.
    pub(crate) renewing: tokio::sync::Mutex<()>,
    turns: Mutex<HashMap<InstanceName, Arc<Semaphore>>>,
    _held: Box<dyn Held>,
}

impl Session {
    pub(crate) fn new(camp: Arc<Camp>, row: EnvironmentRow, epoch: Epoch, held: Box<dyn Held>, events: Events) -> Self {
        // Without them it is no worse than a command that never had them.
        let secrets = Arc::new(InHand::left(&camp.secret_folder, &row.id).unwrap_or_else(|error| {
            tracing::warn!(environment = row.name, error = %Report(&error), "its secrets cannot be read");
            InHand::default()
        }));
        Self {
            camp,
            row,
            epoch,
            events: events.redacted_by(secrets.redactor().clone()),
            secrets,
            stop: CancellationToken::new(),
            renewing: tokio::sync::Mutex::default(),
            turns: Mutex::default(),
            _held: held,
        }
    }

    /// The same with the secrets of its description, which other processes find in memory from now on. What an earlier
    /// command had is still redacted: machines that it made may speak of it.
    pub(crate) fn holding(mut self, secrets: InHand) -> Self {
        let (folder, values) = (&self.camp.secret_folder, secrets.values());
        if values != self.secrets.values()
            && let Err(error) = folder.remember(&self.row.id, &values)
        {
            // What needs files is refused later; this is only what other processes redact by.
            tracing::info!(environment = self.row.name, error = %Report(&error), "its secrets are not kept in memory");
        }
        let former = folder.values(&self.row.id).unwrap_or_default();
        let secrets = if former.is_empty() {
            secrets
        } else {
            secrets.beside(&former)
        };
        self.events = self.events.redacted_by(secrets.redactor().clone());
        self.secrets = Arc::new(secrets);
        self
    }

    /// Waits for a place among the changes in flight on an instance. Taken before the send is committed, so that what
    /// is recorded as sent is sent at once.
    pub(crate) async fn turn(&self, instance: &InstanceName, provider: &dyn Provider) -> Option<OwnedSemaphorePermit> {
        let places = usize::try_from(provider.capabilities().limits.changes.max(1)).unwrap_or(usize::MAX);
        let turns = {
            let mut turns = self.turns.lock().unwrap_or_else(PoisonError::into_inner);
            let of_instance = turns.entry(instance.clone());
            Arc::clone(of_instance.or_insert_with(|| Arc::new(Semaphore::new(places.min(Semaphore::MAX_PERMITS)))))
        };
        turns.acquire_owned().await.ok()
    }

    /// Commits an operation of this tenure. A refusal is an error that ends the executor.
    pub(crate) async fn record(&self, op: Op) -> Result<()> {
        let op = self.redacted(op);
        let (name, subject) = (op.name(), op.subject().to_owned());
        let gone = Gone::of(&op);
        match self.camp.commit(op).await? {
            Answer::Refused(refusal) => {
                // Whatever the reason, nothing more may be sent under this tenure.
                self.stop.cancel();
                Err(self.refused(&refusal, name, &subject))
            }
            Answer::Done | Answer::Taken(..) => {
                self.forget(gone);
                Ok(())
            }
        }
    }

    /// The journal keeps no secret: not in what something failed with, and not in an output.
    fn redacted(&self, mut op: Op) -> Op {
        let redactor = self.secrets.redactor();
        match &mut op {
            Op::Fail { failure: text, .. } | Op::Bury { evidence: text, .. } => redactor.redact_in(text),
            Op::Describe { outputs, given, .. } => {
                let given = given.set.iter_mut().map(|(_, text)| text);
                outputs
                    .values_mut()
                    .chain(given)
                    .for_each(|text| redactor.redact_in(text));
            }
            _ => {}
        }
        op
    }

    /// Removes the secrets of what is gone, and the key of an environment. What cannot be removed now is removed by the
    /// next sweep.
    fn forget(&self, gone: Option<Gone>) {
        let folder = &self.camp.secret_folder;
        let forgotten = match gone {
            None => return,
            Some(Gone::Environment) => {
                self.camp.forget_login(&self.row.id);
                folder.forget(&self.row.id)
            }
            Some(Gone::Machine(intent)) => folder.forget_machine(&self.row.id, &intent.object, intent.generation),
        };
        if let Err(error) = forgotten {
            tracing::warn!(environment = self.row.name, error = %Report(&error), "secrets are still in memory");
        }
    }

    pub(crate) fn refused(&self, refusal: &Refusal, op: &str, subject: &str) -> Error {
        let name = &self.row.name;
        let error = match refusal {
            Refusal::Fenced { newer } => Error::new(
                ErrorKind::Cancelled,
                format!(
                    "another command has taken `{name}` over (epoch {newer}, this one has {})",
                    self.epoch.number
                ),
            ),
            Refusal::Yield => Error::new(ErrorKind::Cancelled, format!("another command takes `{name}` down")),
            Refusal::NumberTaken { number, by } => Error::new(
                ErrorKind::Conflict,
                format!("port {number} of this host belongs to `{by}`"),
            ),
            Refusal::Extended => Error::new(ErrorKind::Conflict, format!("the lease of `{name}` was extended")),
            Refusal::NoEnvironment => Error::new(ErrorKind::Cancelled, format!("`{name}` has been disposed of")),
            Refusal::NameTaken(_) => Error::new(ErrorKind::Conflict, format!("`{name}` exists already")),
            Refusal::State(state) => Error::new(
                ErrorKind::Internal,
                format!(
                    "the journal refuses `{op}` for {subject}, which is {}",
                    state.map_or("not recorded", |s| s.as_str())
                ),
            ),
        };
        error.of_environment(name)
    }

    /// Sends one change: the intent is committed already. At the deadline the outcome counts as unknown: `lost` is
    /// recorded, the provider is asked to stop, and has a little longer to answer after all.
    pub(crate) async fn send<'a, T, F>(
        &self,
        change: Change,
        within: Duration,
        lost: Option<Op>,
        call: impl FnOnce(Cx, Ticket) -> F,
    ) -> Result<Result<T>>
    where
        F: Future<Output = Result<T>> + Send + 'a,
    {
        let point = format!("send.{}.{}", change.verb, change.object);
        let cancel = CancellationToken::new();
        let cx = Cx::within(within + self.camp.policy.settle).with_cancel(cancel.clone());
        let ticket = Ticket::of_committed_intent(change.key, change.verb, self.epoch.number);
        self.camp.failpoints.reach(&format!("{point}.before")).await;
        let mut call = std::pin::pin!(call(cx, ticket));
        let answer = match tokio::time::timeout(within, &mut call).await {
            Ok(answer) => answer,
            Err(_) => {
                if let Some(lost) = lost {
                    self.record(lost).await?;
                }
                cancel.cancel();
                match tokio::time::timeout(self.camp.policy.settle, &mut call).await {
                    // It says that it was cancelled, which nobody asked for but this deadline.
                    Ok(Err(error)) if error.kind() != ErrorKind::Cancelled => Err(error),
                    Ok(Ok(answer)) => Ok(answer),
                    Ok(Err(_)) | Err(_) => Err(Error::new(
                        ErrorKind::Unavailable,
                        format!("`{}` was not answered within {within:?}", change.verb),
                    )
                    .next_step("once it answers again: encamp gc")
                    .retry(Retry::Unknown)),
                }
            }
        };
        self.camp.failpoints.reach(&format!("{point}.after")).await;
        Ok(answer.map_err(|error| {
            error
                .at(change.verb)
                .of_machine(&change.object)
                .of_environment(&self.row.name)
        }))
    }

    /// Completes when another command wants the environment gone or has taken it over: this one is to stop then, also in
    /// the middle of something that the journal does not see. Until then, what others commit for its holder is done: its
    /// machines are told of a longer lease.
    pub(crate) async fn unwanted(&self) -> Error {
        tokio::select! {
            unwanted = self.told_to_stop() => unwanted,
            never = follow(self) => match never {},
        }
    }

    async fn told_to_stop(&self) -> Error {
        loop {
            tokio::time::sleep(self.camp.policy.watch).await;
            // A store that does not answer now is told by the next operation.
            let Ok(Some(now)) = self.camp.journal.environment(&self.row.id).await else {
                continue;
            };
            let refusal = if now.epoch > self.epoch.number {
                Refusal::Fenced { newer: now.epoch }
            } else if now.wanted == Wanted::Gone {
                Refusal::Yield
            } else {
                continue;
            };
            return self.refused(&refusal, "go on", "environment");
        }
    }

    /// Gives the tenure back.
    pub(crate) async fn release(self) -> Result<()> {
        match self.camp.commit(Op::Release(self.epoch.clone())).await? {
            // Taken over or disposed of: there is nothing left to give back.
            Answer::Refused(_) | Answer::Done | Answer::Taken(..) => Ok(()),
        }
    }
}

/// What an operation proves to be gone.
enum Gone {
    Environment,
    Machine(IntentRef),
}

impl Gone {
    fn of(op: &Op) -> Option<Self> {
        match op {
            Op::Dispose(_) => Some(Self::Environment),
            Op::Bury { intent, .. } if intent.class == Class::Machine => Some(Self::Machine(intent.clone())),
            _ => None,
        }
    }
}

/// Which change is sent.
#[derive(Debug, Clone)]
pub(crate) struct Change {
    pub(crate) verb: Verb,
    pub(crate) object: String,
    pub(crate) key: Key,
}

/// Something that is done once for each key, whoever asks first; a failure is shared as well.
#[derive(Debug)]
pub(crate) struct Once<K, V>(Mutex<HashMap<K, Cell<V>>>);

type Cell<V> = Arc<OnceCell<Result<V>>>;

impl<K: Eq + Hash, V: Clone> Once<K, V> {
    pub(crate) fn new() -> Self {
        Self(Mutex::new(HashMap::new()))
    }

    #[expect(clippy::future_not_send, reason = "it is as `Send` as what it is given")]
    pub(crate) async fn get<F: Future<Output = Result<V>>>(&self, key: K, make: impl FnOnce() -> F) -> Result<V> {
        let cell = Arc::clone(
            self.0
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .entry(key)
                .or_default(),
        );
        cell.get_or_init(make).await.clone()
    }
}
