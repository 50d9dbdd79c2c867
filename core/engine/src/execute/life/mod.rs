//! Lives one object: performs the effects of its state machine until there is nothing more to do.

mod begin;
mod end;

use std::sync::Arc;
use std::time::Duration;

use encamp_core::{
    Addr, Class, Error, ErrorKind, Opened, Provider, Published, Report, Result, Retry, Target, Value, Verb,
};
use encamp_file::spec;
use encamp_file::text::Facts;
use tokio::time::Instant;

use super::gate::Gate;
use crate::clock::monotonic_now as now;
use crate::events::{Event as Told, Status};
use crate::journal::{IntentRow, IntentState, Op};
use crate::machine::{Effect, Event, State, transition};
use crate::ready;
use crate::session::{Change, Session};
use crate::settle::{self, Settled};

/// Where an object is to be brought.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Goal {
    Up,
    Down,
}

/// How far an object came.
#[derive(Debug)]
pub(crate) struct Lived {
    pub(crate) state: State,
    pub(crate) row: IntentRow,
    /// Why it stopped short of its goal.
    pub(crate) failure: Option<Error>,
}

/// What a machine is to become.
#[derive(Debug, Clone)]
pub(crate) struct Wanted<'a> {
    pub(crate) spec: &'a spec::Machine,
    /// Of the machines that it speaks of.
    pub(crate) facts: Facts,
    /// Its group, where that has to hold something as a whole.
    pub(crate) gate: Option<&'a Gate>,
}

/// One object on its way.
pub(crate) struct Life<'a> {
    pub(crate) session: &'a Session,
    pub(crate) provider: Arc<dyn Provider>,
    /// What a machine is to become; nothing for scope items and for what goes.
    pub(crate) wanted: Option<Wanted<'a>>,
    pub(crate) row: IntentRow,
    pub(crate) goal: Goal,
    deadline: Instant,
    began: Instant,
    pause: Duration,
    sends: u32,
    failure: Option<Error>,
    opened: Option<Opened>,
    seen: (Vec<Addr>, Vec<Published>),
    evidence: String,
}

impl<'a> Life<'a> {
    pub(crate) fn new(
        session: &'a Session,
        provider: Arc<dyn Provider>,
        wanted: Option<Wanted<'a>>,
        row: IntentRow,
        goal: Goal,
    ) -> Self {
        Self::since(now(), session, provider, wanted, row, goal)
    }

    /// One whose patience began to run earlier: that of the command that it is a part of.
    pub(crate) fn since(
        began: Instant,
        session: &'a Session,
        provider: Arc<dyn Provider>,
        wanted: Option<Wanted<'a>>,
        row: IntentRow,
        goal: Goal,
    ) -> Self {
        let policy = &session.camp.policy;
        let patience = match goal {
            Goal::Up => policy.create,
            Goal::Down => policy.down,
        };
        // Settling by looking has to outlast the request's own life.
        let bounds = settle::bounds(settle::how(&*provider, row.class));
        Self {
            session,
            provider,
            wanted,
            row,
            goal,
            deadline: began + patience.max(bounds + policy.check),
            began: now(),
            pause: policy.pause.0,
            sends: 0,
            failure: None,
            opened: None,
            seen: (Vec::new(), Vec::new()),
            evidence: String::new(),
        }
    }

    /// Lives until there is nothing more to do. An error ends the executor: the journal refused or is broken.
    pub(crate) async fn live(mut self) -> Result<Lived> {
        let mut state = State::recorded(&self.row);
        let mut event = match self.goal {
            Goal::Up => Event::Begun,
            Goal::Down => Event::DestroyWanted,
        };
        loop {
            let (next, effect) = transition(state, event);
            tracing::trace!(object = self.row.object, ?state, ?event, ?next, ?effect);
            if effect == Effect::Anomaly {
                return Err(Error::new(
                    ErrorKind::Internal,
                    format!("{event:?} cannot happen to an object that is {state:?}"),
                )
                .of_machine(&self.row.object));
            }
            state = next;
            match self.perform(effect).await? {
                Some(answer) => event = answer,
                None => {
                    return Ok(Lived {
                        state,
                        row: self.row,
                        failure: self.failure,
                    });
                }
            }
        }
    }

    async fn perform(&mut self, effect: Effect) -> Result<Option<Event>> {
        let (epoch, intent) = (self.session.epoch.clone(), self.row.reference());
        let event = match effect {
            Effect::Rest | Effect::Anomaly => return Ok(None),
            Effect::SendCreate => self.send_create().await?,
            Effect::Settle => self.settle().await?,
            Effect::SendStart => self.send_start().await?,
            Effect::Probe => self.probe().await?,
            Effect::SendDestroy => self.send_destroy().await?,
            Effect::Pause => self.wait_a_little().await,
            Effect::RecordUnknown => self.record(Op::Lose { epoch, intent }, IntentState::Unknown).await?,
            Effect::RecordSeen => {
                let opened = self
                    .opened
                    .take()
                    .unwrap_or_else(|| Opened::new(self.row.key().as_str(), Value::Null));
                (self.row.id, self.row.data) = (Some(opened.id.clone()), opened.data.clone());
                let op = Op::See {
                    epoch,
                    intent,
                    id: opened.id,
                    data: opened.data,
                };
                self.record(op, IntentState::Seen).await?
            }
            Effect::RecordReady => {
                let (addrs, ports) = std::mem::take(&mut self.seen);
                (self.row.addrs, self.row.ports) = (addrs.clone(), ports.clone());
                let event = self
                    .record(
                        Op::Ready {
                            epoch,
                            intent,
                            addrs,
                            ports,
                        },
                        IntentState::Ready,
                    )
                    .await?;
                let holds = self.wanted.as_ref().map(|wanted| ready::summary(&wanted.spec.ready));
                self.tell(Status::Ready, &holds.unwrap_or_default()).await;
                event
            }
            Effect::RecordFailure => {
                let failure = self
                    .failure
                    .as_ref()
                    .map_or_else(String::new, |error| Report(error).to_string());
                self.row.failure = Some(failure.clone());
                let state = self.row.state;
                self.tell(Status::Failed, &failure).await;
                self.record(Op::Fail { epoch, intent, failure }, state).await?
            }
            Effect::RecordDying => self.record(Op::Doom { epoch, intent }, IntentState::Dying).await?,
            Effect::RecordSettled => {
                let id = self.opened.take().map(|opened| opened.id);
                self.row.unsettled = false;
                self.row.id = id.clone().or(self.row.id.take());
                self.record(Op::Settle { epoch, intent, id }, IntentState::Dying)
                    .await?
            }
            Effect::RecordGone => {
                self.forget_secrets();
                let evidence = if self.evidence.is_empty() {
                    "never sent".to_owned()
                } else {
                    std::mem::take(&mut self.evidence)
                };
                let event = self
                    .record(
                        Op::Bury {
                            epoch,
                            intent,
                            evidence,
                        },
                        IntentState::Gone,
                    )
                    .await?;
                if self.goal == Goal::Down {
                    self.tell(Status::Gone, "").await;
                } else if let Some(failure) = &self.failure {
                    let text = Report(failure).to_string();
                    self.tell(Status::Failed, &text).await;
                }
                event
            }
        };
        Ok(Some(event))
    }

    async fn record(&mut self, op: Op, state: IntentState) -> Result<Event> {
        self.session.record(op).await?;
        self.row.state = state;
        Ok(Event::Recorded)
    }

    async fn send_create(&mut self) -> Result<Event> {
        if self.session.stop.is_cancelled() {
            return Ok(Event::Interrupted);
        }
        self.tell(Status::Creating, "").await;
        self.row.state = IntentState::Sent;
        self.sends += 1;
        let answer = settle::resend(self.session, &*self.provider, &self.row).await?;
        // Settling by looking counts from the newest send.
        self.row.last_sent = Some(self.session.camp.clock.now());
        Ok(match answer {
            Ok(opened) => {
                self.opened = Some(opened);
                Event::Created
            }
            Err(error) => self.judge(error),
        })
    }

    /// What a failed change means. Only what surely had no effect is sent again, and not for ever.
    fn judge(&mut self, error: Error) -> Event {
        let event = match error.retryable() {
            Retry::Unknown => Event::Lost,
            Retry::Safe | Retry::After(_) if self.sends < self.session.camp.policy.sends => Event::Busy,
            _ => Event::Refused,
        };
        if let Retry::After(pause) = error.retryable() {
            self.pause = self.pause.max(pause.min(self.session.camp.policy.pause.1));
        }
        if event == Event::Refused {
            self.evidence = format!("refused: {}", Report(&error));
        }
        self.failure = Some(error);
        event
    }

    async fn settle(&mut self) -> Result<Event> {
        if self.goal == Goal::Up && self.session.stop.is_cancelled() {
            return Ok(Event::Interrupted);
        }
        Ok(match settle::settle(self.session, &*self.provider, &self.row).await? {
            Settled::Present(opened) => {
                self.opened = Some(opened);
                self.failure = None;
                Event::FoundPresent
            }
            Settled::Absent => {
                self.failure = None;
                Event::FoundAbsent
            }
            Settled::NotYet(error) => {
                self.failure = Some(self.explain(error, Verb::Create));
                Event::Lost
            }
        })
    }

    fn target(&self) -> Target {
        Target::new(self.row.stamp.clone(), self.row.site.clone(), self.row.id.clone())
    }

    /// Pauses, longer each time. Past the deadline the object is left as the journal has it, with the last failure.
    async fn wait_a_little(&mut self) -> Event {
        let pause = self.pause;
        self.pause = (pause * 2).min(self.session.camp.policy.pause.1);
        if now() + pause > self.deadline {
            let waited = self.began.elapsed();
            self.failure.get_or_insert_with(|| {
                Error::new(
                    ErrorKind::Unavailable,
                    format!("it did not get there within {waited:.0?}"),
                )
            });
            return Event::Interrupted;
        }
        // The destroyer is not stopped: it has its own deadline.
        if self.goal == Goal::Down {
            tokio::time::sleep(pause).await;
            return Event::Paused;
        }
        tokio::select! {
            () = tokio::time::sleep(pause) => Event::Paused,
            () = self.session.stop.cancelled() => Event::Interrupted,
        }
    }

    fn change(&self, verb: Verb) -> Change {
        Change {
            verb,
            object: self.row.object.clone(),
            key: self.row.key().clone(),
        }
    }

    fn explain(&self, error: Error, verb: Verb) -> Error {
        error
            .at(verb)
            .of_provider(&self.row.instance)
            .of_machine(&self.row.object)
            .of_environment(&self.session.row.name)
    }

    async fn tell(&self, status: Status, detail: &str) {
        let millis = u64::try_from(self.began.elapsed().as_millis()).unwrap_or(u64::MAX);
        self.session
            .events
            .tell(Told::Machine {
                machine: self.row.object.clone(),
                instance: self.row.instance.clone(),
                status,
                detail: detail.to_owned(),
                millis,
                scope: self.row.class == Class::Scope,
            })
            .await;
    }
}
