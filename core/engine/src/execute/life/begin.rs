//! Starts an object, and for a machine all that stands between its start and its being ready.

use std::future::Future;
use std::sync::Arc;

use encamp_core::{Class, Error, ErrorKind, Observed, Result, Verb};

use super::{Life, Wanted};
use crate::events::Status;
use crate::inside::Inside;
use crate::journal::Op;
use crate::machine::Event;
use crate::ready::{self, Judged};
use crate::setup::SettingUp;

impl Life<'_> {
    pub(super) async fn send_start(&mut self) -> Result<Event> {
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
    pub(super) async fn probe(&mut self) -> Result<Event> {
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
}
