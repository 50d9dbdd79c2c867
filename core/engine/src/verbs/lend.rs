//! Environments that a program holds while it uses them: brought up, at its service, and disposed of when it lets go.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use encamp_core::{Error, ErrorKind, Result};
use encamp_file::spec::Environment;
use tokio::sync::{mpsc, oneshot};
use tokio_util::sync::CancellationToken;

use super::observe::observe;
use super::overdue::{lease_ended, overdue};
use super::release::check;
use super::run::stoppable;
use super::touch::{self, Touched};
use super::up::{abandon, describe, made};
use super::{down, tidy};
use crate::camp::Camp;
use crate::clock::monotonic_now as now;
use crate::events::{Event, Events};
use crate::execute::{Raised, raise};
use crate::journal::{IntentRow, Op, Purpose};
use crate::keeper::Survival;
use crate::numbers;
use crate::report::Disposal;
use crate::secrets::resolve;
use crate::session::Session;

/// The verb under which a program holds an environment.
pub(crate) const VERB: &str = "library";

/// An environment that is held and of which nothing is made yet.
#[derive(Debug)]
pub(crate) struct Begun {
    pub(crate) session: Session,
    pub(crate) spec: Environment,
}

/// Makes a new environment and takes its tenure.
pub(crate) async fn begin(camp: &Arc<Camp>, mut spec: Environment, purpose: Purpose, events: Events) -> Result<Begun> {
    // Before anything is started: what is missing is said at once.
    let secrets = resolve(camp, &spec, &events).await?;
    tidy::tidy(camp, &events).await?;
    let mut session = camp.found(&spec, purpose, VERB, events).await?.holding(secrets);
    if let Err(error) = numbers::allot(&mut session, &mut spec).await {
        let secrets = Arc::clone(&session.secrets);
        abandon(session, true).await?;
        return secrets.redactor().guard(Err(error));
    }
    Ok(Begun { session, spec })
}

/// What has to end an environment if its program cannot.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) enum Wish {
    /// Whatever there is.
    #[default]
    Any,
    /// A keeper.
    Keeper,
}

/// An environment that is ready.
#[derive(Debug)]
pub(crate) struct Lent {
    pub(crate) session: Session,
    pub(crate) spec: Environment,
    pub(crate) survival: Survival,
}

impl Begun {
    /// Gives it up, with nothing made.
    pub(crate) async fn abandon(self) -> Result<()> {
        abandon(self.session, true).await
    }

    /// Brings it up. What could not be is disposed of already when this returns.
    pub(crate) async fn bring_up(self, wish: Wish, stop: &CancellationToken) -> Result<Lent> {
        let Self { session, spec } = self;
        let survival = session.camp.keepers.ensure(&session.camp, &session.row.id).await;
        if let (Wish::Keeper, Survival::NextCommand { why }) = (wish, &survival) {
            let error = no_keeper(&session.row.name, why);
            abandon(session, true).await?;
            return Err(error);
        }
        let raising = async {
            let mut raising = std::pin::pin!(raise_all(&session, &spec, survival.clone(), stop));
            tokio::select! {
                raised = &mut raising => raised,
                ended = lease_ended(&session) => {
                    stop.cancel();
                    // Whatever came of it meanwhile.
                    let _ = raising.await;
                    Err(overdue(&session, ended))
                }
            }
        };
        let raised = raising.await;
        match raised {
            Ok(()) => Ok(Lent {
                session,
                spec,
                survival,
            }),
            Err(error) => {
                let secrets = Arc::clone(&session.secrets);
                let error = match end(session).await {
                    Ok(disposal) if disposal.is_clean() => error,
                    Ok(disposal) => error.with("left", left(&disposal)).next_step("encamp gc"),
                    Err(ending) => error.with("left", encamp_core::Report(&ending)).next_step("encamp gc"),
                };
                secrets.redactor().guard(Err(error))
            }
        }
    }
}

pub(crate) fn no_keeper(environment: &str, why: &str) -> Error {
    Error::new(
        ErrorKind::Unavailable,
        format!("`{environment}` would have no keeper: {why}"),
    )
    .of_environment(environment)
    .next_step("name a program that can be one: `Builder::helper`")
}

async fn raise_all(session: &Session, spec: &Environment, survival: Survival, stop: &CancellationToken) -> Result<()> {
    let clock = now();
    let observed = observe(&session.camp, spec, Vec::new(), &session.events).await?;
    session
        .events
        .tell(Event::Planned {
            environment: session.row.name.clone(),
            plan: observed.plan.clone(),
            ends: session.row.lease.ends,
            survival,
        })
        .await;
    let raising = raise(session, spec, &observed.plan, observed.rows, &observed.seen);
    let mut raised = stoppable(session, stop, raising).await?;
    if !raised.ready() {
        return Err(failed(session, raised));
    }
    raised.facts.secrets = session.secrets.values();
    let millis = u64::try_from(clock.elapsed().as_millis()).unwrap_or(u64::MAX);
    let outputs = describe(session, spec, &raised, made(&observed.plan, millis)).await?;
    session.events.tell(Event::Ready { outputs, millis }).await;
    Ok(())
}

/// The first thing that went wrong, and how many others did.
fn failed(session: &Session, raised: Raised) -> Error {
    let mut errors = raised.errors.into_iter();
    let stopped = || Error::new(ErrorKind::Cancelled, "stopped before it was ready");
    let first = errors.next().unwrap_or_else(stopped).of_environment(&session.row.name);
    let others: Vec<String> = errors.map(|error| encamp_core::Report(&error).to_string()).collect();
    if others.is_empty() {
        first
    } else {
        first.with("and", others.join("; "))
    }
}

fn left(disposal: &Disposal) -> String {
    let left = disposal
        .left
        .iter()
        .map(|left| format!("{}: {}", left.object, left.why));
    left.collect::<Vec<_>>().join("; ")
}

/// Takes the environment of a session down, which nobody extends any more from now on.
pub(crate) async fn end(session: Session) -> Result<Disposal> {
    session.camp.commit(Op::WantGone(session.row.id.clone())).await?;
    down::dispose_of(session).await
}

/// What a program wants of an environment that it holds.
#[derive(Debug)]
pub(crate) enum Ask {
    /// To stop machines.
    Stop {
        machines: BTreeSet<String>,
        grace: Duration,
        answer: oneshot::Sender<Result<Vec<Touched>>>,
    },
    /// To start machines, and to wait until they are ready.
    Start {
        machines: BTreeSet<String>,
        answer: oneshot::Sender<Result<Vec<Touched>>>,
    },
    /// To leave it to its lease.
    Keep(oneshot::Sender<Result<()>>),
    /// To dispose of it.
    Down,
}

/// What an environment that was held came to.
#[derive(Debug)]
pub(crate) enum Ended {
    /// It stays until its lease ends.
    Kept,
    /// It was taken down, or what of it is left.
    Disposed(Result<Disposal>),
}

impl Lent {
    /// Does what is asked for until it is let go: by the last asker, by `stop`, by another command, or by the lease.
    pub(crate) async fn serve(mut self, asks: &mut mpsc::Receiver<Ask>, stop: &CancellationToken) -> Ended {
        let last = self.until_let_go(asks, stop).await;
        // Whoever lets go may be who reads the events, and waits for this.
        self.session.events = self.session.events.hurried();
        match last {
            Some(Ask::Keep(answer)) => match self.session.record(Op::Keep(self.session.epoch.clone())).await {
                Ok(()) => {
                    let kept = self.session.release().await;
                    let _ = answer.send(kept);
                    Ended::Kept
                }
                // Nobody would end it then.
                Err(error) => {
                    let ended = end(self.session).await;
                    let _ = answer.send(Err(error));
                    Ended::Disposed(ended)
                }
            },
            Some(Ask::Down) => Ended::Disposed(end(self.session).await),
            Some(Ask::Stop { .. } | Ask::Start { .. }) | None => {
                let ended = end(self.session).await;
                match &ended {
                    Ok(disposal) if disposal.is_clean() => {}
                    Ok(disposal) => tracing::warn!(left = left(disposal), "not disposed of yet"),
                    Err(error) => tracing::warn!(error = %encamp_core::Report(error), "not disposed of yet"),
                }
                Ended::Disposed(ended)
            }
        }
    }

    /// The last thing that is asked for; nothing where nobody asks any more, or is heard.
    async fn until_let_go(&self, asks: &mut mpsc::Receiver<Ask>, stop: &CancellationToken) -> Option<Ask> {
        let mut over = std::pin::pin!(async {
            tokio::select! {
                () = stop.cancelled() => {}
                _ = self.session.unwanted() => {}
                _ = lease_ended(&self.session) => {}
            }
        });
        loop {
            let asked = tokio::select! {
                biased;
                () = &mut over => return None,
                asked = asks.recv() => asked,
            };
            let (machines, how, answer) = match asked {
                Some(Ask::Stop {
                    machines,
                    grace,
                    answer,
                }) => (machines, Touch::Stop(grace), answer),
                Some(Ask::Start { machines, answer }) => (machines, Touch::Start, answer),
                last => return last,
            };
            let mut touching = std::pin::pin!(self.touched(&machines, how));
            let (done, is_over) = tokio::select! {
                done = &mut touching => (done, false),
                () = &mut over => {
                    self.session.stop.cancel();
                    (touching.await, true)
                }
            };
            // Whoever asked may have stopped waiting.
            let _ = answer.send(done);
            if is_over {
                return None;
            }
        }
    }

    /// The tenure is given back; others may take it.
    pub(crate) async fn release(self) -> Result<()> {
        self.session.release().await
    }

    async fn touched(&self, machines: &BTreeSet<String>, how: Touch) -> Result<Vec<Touched>> {
        let rows: Vec<IntentRow> = check(&self.session.camp, &self.session.row, machines).await?;
        let touched = match how {
            Touch::Stop(grace) => touch::stop_all(&self.session, &rows, grace).await,
            Touch::Start => touch::start_all(&self.session, &rows, Some(&self.spec)).await,
        };
        touch::redacted(&self.session.secrets, touched)
    }
}

#[derive(Debug, Clone, Copy)]
enum Touch {
    Stop(Duration),
    Start,
}
