//! Stops, starts and pauses machines that exist: journalled before it is sent, since what was stopped on purpose has
//! not died.

use std::sync::Arc;
use std::time::Duration;

use encamp_core::{Error, ErrorKind, Observed, Provider, Result, Retry, Stop, Target, Verb};

use super::life::Wanted;
use crate::clock::monotonic_now as now;
use crate::inside::Inside;
use crate::journal::{IntentRow, Op};
use crate::ready::{self, Judged};
use crate::session::{Change, Session};
use crate::setup::{SettingUp, end_services};

/// One machine that is there, under a session.
pub(crate) struct Controlled<'a> {
    pub(crate) session: &'a Session,
    pub(crate) provider: Arc<dyn Provider>,
    pub(crate) row: &'a IntentRow,
}

impl Controlled<'_> {
    fn target(&self) -> Target {
        Target::new(self.row.stamp.clone(), self.row.site.clone(), self.row.id.clone())
    }

    fn change(&self, verb: Verb) -> Change {
        Change {
            verb,
            object: self.row.object.clone(),
            key: self.row.key().clone(),
        }
    }

    async fn touch(&self, stopped: Option<bool>) -> Result<()> {
        let (epoch, intent) = (self.session.epoch.clone(), self.row.reference());
        self.session.record(Op::Touch { epoch, intent, stopped }).await
    }

    /// Its processes have `grace` to end; with none they are killed at once. The outer error is the journal's.
    pub(crate) async fn stop(&self, grace: Duration) -> Result<Result<()>> {
        let _turn = self.session.turn(&self.row.instance, &*self.provider).await;
        // Before it is sent: whoever sees the machine down has to know that this was meant.
        self.touch(Some(true)).await?;
        let inside = Inside::new(self.session, Arc::clone(&self.provider), self.row);
        // Half of the grace is the services', and what they leave of it the command's.
        let began = now();
        end_services(&inside, self.row, grace / 2).await;
        let grace = grace.saturating_sub(began.elapsed());
        let within = self.session.camp.policy.change + grace;
        let (provider, stop) = (Arc::clone(&self.provider), Stop::new(self.target(), grace));
        let answer = self
            .session
            .send(self.change(Verb::Stop), within, None, |cx, ticket| async move {
                provider.stop(&cx, &ticket, stop).await
            })
            .await?;
        let certain = |error: &Error| error.retryable() != Retry::Unknown;
        if answer.as_ref().is_err_and(certain) {
            self.touch(Some(self.row.stopped)).await?;
        }
        Ok(answer)
    }

    /// All its processes stand still.
    pub(crate) async fn pause(&self) -> Result<Result<()>> {
        let _turn = self.session.turn(&self.row.instance, &*self.provider).await;
        self.touch(None).await?;
        let (provider, target) = (Arc::clone(&self.provider), self.target());
        let within = self.session.camp.policy.change;
        self.session
            .send(self.change(Verb::Pause), within, None, |cx, ticket| async move {
                provider.pause(&cx, &ticket, target).await
            })
            .await
    }

    /// Starts it, or lets it go on.
    pub(crate) async fn start(&self) -> Result<Result<()>> {
        let _turn = self.session.turn(&self.row.instance, &*self.provider).await;
        self.touch(None).await?;
        let (provider, target) = (Arc::clone(&self.provider), self.target());
        let within = self.session.camp.policy.change;
        let answer = self
            .session
            .send(self.change(Verb::Start), within, None, |cx, ticket| async move {
                provider.start(&cx, &ticket, target).await
            })
            .await?;
        if answer.is_ok() {
            self.touch(Some(false)).await?;
        }
        Ok(answer)
    }

    /// Starts the services of a machine that was started and waits until its own conditions hold; then it is ready, with
    /// the addresses and ports that it has now.
    pub(crate) async fn ready_again(&self, wanted: &Wanted<'_>) -> Result<Result<Observed>> {
        let inside = Inside::new(self.session, Arc::clone(&self.provider), self.row);
        let setting_up = SettingUp {
            session: self.session,
            inside: &inside,
            spec: wanted.spec,
            facts: &wanted.facts,
        };
        let judged = Judged {
            inside: &inside,
            spec: wanted.spec,
            facts: &wanted.facts,
        };
        let coming = async {
            if !wanted.spec.services.is_empty() {
                ready::running(&inside).await?;
                setting_up.services().await?;
            }
            ready::wait(judged, &wanted.spec.ready).await
        };
        // What does not come up by itself is not waited for longer than a machine that is made.
        let outcome = tokio::select! {
            came = tokio::time::timeout(self.session.camp.policy.create, coming) => {
                came.unwrap_or_else(|_| Err(Error::new(ErrorKind::Unavailable, "it did not run in time")))
            }
            () = self.session.stop.cancelled() => {
                Err(Error::new(ErrorKind::Cancelled, "stopped before it was ready again"))
            }
        };
        let (epoch, intent) = (self.session.epoch.clone(), self.row.reference());
        match &outcome {
            Ok(observed) => {
                let (addrs, ports) = (observed.addrs.clone(), observed.ports.clone());
                self.session
                    .record(Op::Ready {
                        epoch,
                        intent,
                        addrs,
                        ports,
                    })
                    .await?;
            }
            Err(error) => {
                let failure = encamp_core::Report(error).to_string();
                self.session.record(Op::Fail { epoch, intent, failure }).await?;
            }
        }
        Ok(outcome)
    }
}
