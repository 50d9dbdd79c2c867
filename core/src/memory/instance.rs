//! A configured instance: how calls reach the world and come back.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use super::changes::not_running;
use super::faults::{Fate, unknown};
use super::history::{Outcome, What};
use super::inside::{Inside, Run};
use super::listing::unreachable;
use super::settings::{Settings, Settling};
use super::state::{Deed, State};
use super::thing::Stage;
use super::world::World;
use crate::{
    Capabilities, Class, Cx, Error, ErrorKind, InstanceName, Phase, Result, Retry, Site, Target, Ticket, Verb,
};

/// An instance of the simulated kind.
#[derive(Debug)]
pub(super) struct Instance {
    pub(super) world: World,
    pub(super) name: InstanceName,
    pub(super) settings: Arc<Settings>,
    pub(super) capabilities: Capabilities,
    /// Never empty; the first is preferred.
    pub(super) sites: Vec<Site>,
    pub(super) preferred: Site,
}

impl Instance {
    pub(super) fn new(world: World, name: InstanceName, settings: Settings) -> Self {
        let preferred = Site::new(format!(
            "memory:{}",
            settings.sites.first().map_or(name.as_str(), String::as_str)
        ));
        let others = settings
            .sites
            .iter()
            .skip(1)
            .map(|site| Site::new(format!("memory:{site}")));
        Self {
            world,
            name,
            capabilities: settings.capabilities(),
            sites: std::iter::once(preferred.clone()).chain(others).collect(),
            settings: Arc::new(settings),
            preferred,
        }
    }

    pub(super) fn requires(&self, verb: Verb) -> Result<()> {
        if self.capabilities.offers(verb) {
            Ok(())
        } else {
            Err(Error::unsupported(verb))
        }
    }

    fn reachable(&self, site: &Site) -> Result<()> {
        if !self.sites.contains(site) {
            return Err(Error::new(ErrorKind::Invalid, "this is no site of the instance").with("site", site));
        }
        if self.world.is_down(site) {
            Err(unreachable(site))
        } else {
            Ok(())
        }
    }

    /// Counts and notes a call, and draws how it will fare.
    pub(super) fn begin(&self, verb: Verb, key: &str, epoch: Option<u64>, settling: Settling) -> (Deed, Fate) {
        let attempt = self.world.with(|state, _| state.count(verb, key));
        let deed = Deed {
            provider: self.name.clone(),
            settings: Arc::clone(&self.settings),
            verb,
            key: key.to_owned(),
            epoch,
            attempt,
        };
        self.world.with(|state, now| state.note(now, &deed, What::Called));
        let fate = if self.world.is_calm() {
            Fate::default()
        } else {
            Fate::draw(
                &self.settings.faults,
                self.world.draw(verb, key, attempt),
                verb,
                settling,
            )
        };
        (deed, fate)
    }

    pub(super) fn answered<T>(&self, deed: &Deed, answer: Result<T>) -> Result<T> {
        let outcome = match &answer {
            Ok(_) => Outcome::Ok,
            Err(error) => Outcome::Err(error.kind(), error.retryable()),
        };
        self.world
            .with(|state, now| state.note(now, deed, What::Answered(outcome)));
        answer
    }

    /// A change: `act` is its effect, which may happen now, later or never, whatever the answer says. What the provider
    /// has `seen` before it sends is answered as it is.
    pub(super) async fn change<T: Send>(
        &self,
        cx: &Cx,
        ticket: &Ticket,
        site: &Site,
        seen: impl FnOnce(&State, Instant, &Deed) -> bool + Send,
        act: impl FnOnce(&mut State, Instant, &Deed, &Fate) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        let verb = ticket.verb();
        self.requires(verb)?;
        let is_scope = matches!(verb, Verb::OpenScope | Verb::CloseScope);
        let settling = if is_scope {
            self.settings.scopes
        } else {
            self.settings.machines
        };
        let (deed, mut fate) = self.begin(verb, ticket.key().as_str(), Some(ticket.epoch()), settling);
        if fate.late.is_some() && self.world.with(|state, now| seen(state, now, &deed)) {
            fate.late = None;
        }
        let answer = self.deliver(cx, &deed, fate, site, act).await;
        self.answered(&deed, answer)
    }

    async fn deliver<T: Send>(
        &self,
        cx: &Cx,
        deed: &Deed,
        mut fate: Fate,
        site: &Site,
        act: impl FnOnce(&mut State, Instant, &Deed, &Fate) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        self.reachable(site)?;
        let sent = self.world.with(|_, now| now);
        self.pass(self.settings.latency.0 / 2 + fate.slow).await;
        if cx.is_cancelled() {
            return Err(Error::new(ErrorKind::Cancelled, "cancelled before it was sent").retry(Retry::Safe));
        }
        if let Some(error) = fate.fails.take() {
            return Err(error);
        }
        let hangs = fate.hangs;
        if fate.unheard {
            return Err(no_answer(cx, hangs).await);
        }
        if let Some(delay) = fate.late {
            let deed = deed.clone();
            self.world.with(|state, now| {
                // A request lives from when it was sent on, however long it is on its way.
                state.schedule_late(now.max(sent + delay), move |state, now| {
                    // Nobody is there to be told.
                    let _ = act(state, now, &deed, &fate);
                });
            });
            return Err(no_answer(cx, hangs).await);
        }
        let answer = self.world.with(|state, now| act(state, now, deed, &fate));
        self.pass(self.settings.latency.0 / 2).await;
        if fate.lost {
            return Err(no_answer(cx, hangs).await);
        }
        answer
    }

    /// A read of no particular or one thing.
    pub(super) async fn read<T>(
        &self,
        verb: Verb,
        key: &str,
        act: impl FnOnce(&mut State, Instant, &Deed) -> Result<T>,
    ) -> Result<T> {
        let (deed, fate) = self.begin(verb, key, None, self.settings.machines);
        self.pass(self.settings.latency.0 + fate.slow).await;
        let answer = match fate.fails {
            Some(error) => Err(error),
            None => self.world.with(|state, now| act(state, now, &deed)),
        };
        self.answered(&deed, answer)
    }

    /// Opens something inside a running machine.
    pub(super) async fn enter(&self, verb: Verb, target: &Target) -> Result<(Arc<Inside>, Run, Fate)> {
        self.requires(verb)?;
        self.reachable(&target.site)?;
        let (deed, mut fate) = self.begin(verb, target.stamp.key.as_str(), None, self.settings.machines);
        self.pass(self.settings.latency.0 + fate.slow).await;
        let answer = match fate.fails.take() {
            Some(error) => Err(error),
            None => self.world.with(|state, now| inside(state, now, &deed, target)),
        };
        let (inside, run) = self.answered(&deed, answer)?;
        Ok((inside, run, fate))
    }

    async fn pass(&self, span: Duration) {
        if !span.is_zero() {
            tokio::time::sleep(span).await;
        }
    }
}

/// Ends a call without an answer: at once, or when the caller has given up.
async fn no_answer(cx: &Cx, hangs: bool) -> Error {
    if hangs {
        tokio::select! {
            () = cx.cancelled() => {}
            () = tokio::time::sleep_until(cx.deadline + Duration::from_secs(1)) => {}
        }
    }
    unknown()
}

fn inside(state: &State, now: Instant, deed: &Deed, target: &Target) -> Result<(Arc<Inside>, Run)> {
    let ours = state.mine(now, deed, target, Class::Machine)?;
    let thing = ours.first().and_then(|number| state.things.get(*number));
    let thing = thing.ok_or_else(|| Error::new(ErrorKind::NotFound, "there is no such machine"))?;
    let phase = thing.phase(now);
    match thing.machine().map(|machine| (machine, &machine.stage)) {
        // What an ended machine has said can still be read.
        Some((machine, Stage::Up { run, .. }))
            if phase == Phase::Running
                || deed.verb == Verb::Logs && matches!(phase, Phase::Exited(_) | Phase::Starting | Phase::Paused) =>
        {
            Ok((Arc::clone(&machine.inside), run.clone()))
        }
        Some((machine, Stage::Stopped)) if deed.verb == Verb::Logs => {
            let over = Run::default();
            over.ended.cancel();
            Ok((Arc::clone(&machine.inside), over))
        }
        _ => Err(not_running(&phase)),
    }
}
