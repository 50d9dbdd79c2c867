//! Lives one object: performs the effects of its state machine until there is nothing more to do.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use encamp_core::{
    Addr, Class, Error, ErrorKind, List, Observed, Opened, Provider, Published, Report, Result, Retry, Settle, Target,
    Value, Verb,
};
use encamp_file::spec;
use encamp_file::text::Facts;
use tokio::time::Instant;

use super::gate::Gate;
use crate::clock::monotonic_now as now;
use crate::events::{Event as Told, Status};
use crate::inside::Inside;
use crate::journal::{IntentRow, IntentState, Op};
use crate::machine::{Effect, Event, State, transition};
use crate::ready::{self, Judged};
use crate::session::{Change, Session};
use crate::settle::{self, Settled};
use crate::setup::{SettingUp, end_services};

/// How long services have to end before their machine goes.
const SERVICES_END: Duration = Duration::from_secs(3);

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

    async fn send_start(&mut self) -> Result<Event> {
        if self.row.class == Class::Scope {
            return Ok(Event::Started);
        }
        if self.session.stop.is_cancelled() {
            return Ok(Event::Interrupted);
        }
        if let Err(error) = self.bring_files().await? {
            self.failure = Some(self.explain(error, Verb::CopyIn));
            return Ok(Event::Refused);
        }
        self.tell(Status::Starting, "").await;
        self.sends += 1;
        let _turn = self.session.turn(&self.row.instance, &*self.provider).await;
        let (epoch, intent) = (self.session.epoch.clone(), self.row.reference());
        self.session
            .record(Op::Touch {
                epoch,
                intent,
                stopped: Some(false),
            })
            .await?;
        let (provider, target) = (Arc::clone(&self.provider), self.target());
        let answer = self
            .session
            .send(
                self.change(Verb::Start),
                self.session.camp.policy.change,
                None,
                |cx, ticket| async move { provider.start(&cx, &ticket, target).await },
            )
            .await?;
        Ok(match answer {
            Ok(()) => Event::Started,
            Err(error) => self.judge(error),
        })
    }

    /// Sets it up, and waits until everything that readiness asks for holds.
    async fn probe(&mut self) -> Result<Event> {
        let Some(wanted) = self.wanted.clone().filter(|_| self.row.class == Class::Machine) else {
            return Ok(Event::ProbesHeld);
        };
        let outcome = self.come_up(&wanted).await?;
        Ok(match outcome {
            Ok(observed) => {
                self.seen = (observed.addrs, observed.ports);
                self.failure = None;
                Event::ProbesHeld
            }
            Err(_) if self.session.stop.is_cancelled() => Event::Interrupted,
            Err(error) => {
                self.failure = Some(self.explain(error, Verb::Inspect));
                Event::ProbesFailed
            }
        })
    }

    /// Steps and services, its own conditions, steps that come after them, and what its group has to hold.
    async fn come_up(&mut self, wanted: &Wanted<'_>) -> Result<Result<Observed>> {
        let spec = wanted.spec;
        let inside = Inside::new(self.session, Arc::clone(&self.provider), &self.row);
        let setting_up = SettingUp {
            session: self.session,
            inside: &inside,
            spec,
            facts: &wanted.facts,
        };
        let judged = Judged {
            inside: &inside,
            spec,
            facts: &wanted.facts,
        };
        if setting_up.does_something() {
            if let Err(error) = self.unless_stopped(ready::running(&inside)).await {
                return Ok(Err(error));
            }
            self.tell(Status::Setup, &setting_up.summary()).await;
            if let Err(error) = setting_up.steps(&mut self.row, false).await? {
                return Ok(Err(error));
            }
            if let Err(error) = setting_up.services().await {
                return Ok(Err(error));
            }
        }
        if !spec.ready.is_empty() {
            self.tell(Status::Waiting, &ready::summary(&spec.ready)).await;
        }
        let observed = match self.unless_stopped(ready::wait(judged, &spec.ready)).await {
            Ok(observed) => observed,
            Err(error) => return Ok(Err(error)),
        };
        if let Err(error) = setting_up.steps(&mut self.row, true).await? {
            return Ok(Err(error));
        }
        if let Some(gate) = wanted.gate {
            gate.arrive();
            self.tell(Status::Waiting, &ready::summary(&spec.group_ready)).await;
            let whole = async {
                gate.wait().await?;
                ready::wait(judged, &spec.group_ready).await
            };
            if let Err(error) = self.unless_stopped(whole).await {
                return Ok(Err(error));
            }
        }
        Ok(Ok(observed))
    }

    /// What lies in memory for a machine that is gone. It is of no harm there, and goes with its environment at last.
    fn forget_secrets(&self) {
        if self.row.class != Class::Machine {
            return;
        }
        let folder = &self.session.camp.secret_folder;
        let forgotten = folder.forget_machine(&self.row.environment, &self.row.object, self.row.generation);
        if let Err(error) = forgotten {
            tracing::debug!(machine = self.row.object, error = %Report(&error), "its secrets are still there");
        }
    }

    async fn unless_stopped<T>(&self, waiting: impl Future<Output = Result<T>>) -> Result<T> {
        tokio::select! {
            outcome = waiting => outcome,
            () = self.session.stop.cancelled() => Err(Error::new(ErrorKind::Cancelled, "it was stopped")),
        }
    }

    /// Brings the files that land before the machine's command starts.
    async fn bring_files(&mut self) -> Result<Result<()>> {
        let Some(wanted) = self.wanted.clone() else {
            return Ok(Ok(()));
        };
        let inside = Inside::new(self.session, Arc::clone(&self.provider), &self.row);
        let setting_up = SettingUp {
            session: self.session,
            inside: &inside,
            spec: wanted.spec,
            facts: &wanted.facts,
        };
        setting_up.files(&mut self.row).await
    }

    async fn send_destroy(&mut self) -> Result<Event> {
        if self.sends == 0 {
            self.tell(Status::Destroying, "").await;
            // Killed with their machine, they could end nothing well.
            let inside = Inside::new(self.session, Arc::clone(&self.provider), &self.row);
            let grace = SERVICES_END.min(self.deadline.saturating_duration_since(now()));
            end_services(&inside, &self.row, grace).await;
        }
        self.sends += 1;
        let _turn = self.session.turn(&self.row.instance, &*self.provider).await;
        let (epoch, intent) = (self.session.epoch.clone(), self.row.reference());
        self.session.record(Op::SendDestroy { epoch, intent }).await?;
        let (provider, target) = (Arc::clone(&self.provider), self.target());
        let verb = if self.row.class == Class::Scope {
            Verb::CloseScope
        } else {
            Verb::Destroy
        };
        let answer = self
            .session
            .send(
                self.change(verb),
                self.session.camp.policy.change,
                None,
                |cx, ticket| async move {
                    match verb {
                        Verb::CloseScope => provider.close_scope(&cx, &ticket, target).await,
                        _ => provider.destroy(&cx, &ticket, target).await,
                    }
                },
            )
            .await?;
        Ok(match answer {
            Ok(removal) => {
                self.failure = None;
                "the provider says that it is gone".clone_into(&mut self.evidence);
                settle::removal(removal)
            }
            // A destroy is harmless however often it is sent, so only the deadline ends it.
            Err(error) => {
                let refused = error.retryable() == Retry::Never;
                // Something foreign stands under its name. It does not keep ours, which is not there, from being gone.
                if refused && error.kind() == ErrorKind::Conflict && self.is_absent().await {
                    self.failure = None;
                    "absent from a complete listing, which shows something foreign under its name"
                        .clone_into(&mut self.evidence);
                    return Ok(Event::Removed);
                }
                self.failure = Some(error);
                if refused { Event::Refused } else { Event::Lost }
            }
        })
    }

    /// Whether a complete listing does not show it, although all that was ever sent must be visible by now.
    async fn is_absent(&self) -> bool {
        let camp = &self.session.camp;
        let visibility = match settle::how(&*self.provider, self.row.class) {
            Settle::Replay { .. } => Duration::ZERO,
            Settle::Lookup { visibility, .. } => visibility,
        };
        let sent = self.row.last_sent.unwrap_or(self.row.updated);
        if camp.clock.now() < sent.plus(visibility) {
            return false;
        }
        let list = List::new(camp.controller.prefix())
            .of(self.row.environment.clone())
            .at(self.row.site.clone());
        let keeps = self.provider.capabilities().keeps;
        let listed = self.provider.list(&camp.read_cx(), list).await;
        listed.is_ok_and(|listing| {
            listing.covers(&self.row.site) && listing.find(&self.row.site, &self.row.stamp, keeps).is_none()
        })
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
