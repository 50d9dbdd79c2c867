//! Ends an object.

use std::sync::Arc;
use std::time::Duration;

use encamp_core::{Class, ErrorKind, List, Report, Result, Retry, Settle, Verb};

use super::Life;
use crate::clock::monotonic_now as now;
use crate::events::Status;
use crate::inside::Inside;
use crate::journal::Op;
use crate::machine::Event;
use crate::settle;
use crate::setup::end_services;

/// How long services have to end before their machine goes.
const SERVICES_END: Duration = Duration::from_secs(3);

impl Life<'_> {
    pub(super) async fn send_destroy(&mut self) -> Result<Event> {
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

    /// What lies in memory for a machine that is gone. It is of no harm there, and goes with its environment at last.
    pub(super) fn forget_secrets(&self) {
        if self.row.class != Class::Machine {
            return;
        }
        let folder = &self.session.camp.secret_folder;
        let forgotten = folder.forget_machine(&self.row.environment, &self.row.object, self.row.generation);
        if let Err(error) = forgotten {
            tracing::debug!(machine = self.row.object, error = %Report(&error), "its secrets are still there");
        }
    }
}
