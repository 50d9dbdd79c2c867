//! Tries what providers can make of a machine, one candidate after the other.

use std::sync::Arc;

use encamp_core::{
    Candidate, Cx, Error, ErrorKind, EventSink, Generation, InstanceName, Provider, Resolve, Result, Verb,
};
use encamp_file::spec::Machine;

use super::dispose::lower_one;
use super::life::{Goal, Life};
use super::places::{Places, no_place};
use super::raise::{Brought, Raising};
use super::request::machine_table;
use crate::clock::monotonic_now as now;
use crate::events::Event;
use crate::journal::{IntentRow, Op};
use crate::machine::State;

/// How one candidate came out.
enum Attempt {
    Done(Brought),
    NoRoom(Error),
}

impl Raising<'_> {
    /// Tries each candidate of each provider, each under a generation of its own; the next one only where there was no
    /// room. A machine that was given a place tries that first.
    pub(super) async fn fresh(
        &self,
        machine: &Machine,
        places: &Places,
        mut generation: Generation,
        mut old: Option<&IntentRow>,
    ) -> Result<Brought> {
        let place = places.of(&machine.name);
        let mut last = None;
        let instances = machine
            .providers
            .iter()
            .skip_while(|instance| place.is_some_and(|place| place.instance != **instance));
        for instance in instances {
            let (provider, candidates) = match self.candidates(machine, instance).await {
                Ok(found) => found,
                Err(error) if matches!(error.kind(), ErrorKind::Capacity | ErrorKind::Quota) => {
                    self.has_no_room(machine, instance, &error).await;
                    last = Some(error);
                    continue;
                }
                Err(error) => return Ok(Brought::Failed(None, error)),
            };
            let given = place
                .filter(|place| place.instance == *instance)
                .map(|place| &place.candidate);
            let mut is_tried = candidates.is_empty();
            for candidate in given.into_iter().chain(candidates.iter()) {
                if !given.is_some_and(|given| std::ptr::eq(given, candidate)) && !self.rooms.take(candidate) {
                    continue;
                }
                is_tried = true;
                if self.session.stop.is_cancelled() {
                    return Ok(Brought::Waited(None, "stopped before it was created".into()));
                }
                let attempt = self
                    .attempt(machine, instance, &provider, candidate, &mut generation, &mut old)
                    .await?;
                match attempt {
                    Attempt::Done(brought) => {
                        if brought.row().is_some() {
                            places.use_up(&machine.name);
                        }
                        return Ok(brought);
                    }
                    Attempt::NoRoom(error) => {
                        if let Some(earlier) = last.replace(error) {
                            tracing::debug!(machine = %machine.name, error = %earlier, "no room");
                        }
                    }
                }
            }
            if !is_tried {
                let error = no_place(instance.as_str(), candidates.iter()).of_provider(instance);
                self.has_no_room(machine, instance, &error).await;
                last = Some(error);
            }
        }
        let error = last.unwrap_or_else(|| Error::new(ErrorKind::Capacity, "no provider has a candidate for it"));
        Ok(Brought::Failed(None, error))
    }

    async fn attempt(
        &self,
        machine: &Machine,
        instance: &InstanceName,
        provider: &Arc<dyn Provider>,
        candidate: &Candidate,
        generation: &mut Generation,
        old: &mut Option<&IntentRow>,
    ) -> Result<Attempt> {
        // The image is looked for while the network is made and while others become ready.
        let (prepared, scope, blocked) = tokio::join!(
            self.prepare(machine, instance, provider, candidate),
            self.open_all(machine, instance, provider, candidate),
            self.wait_for_others(machine),
        );
        let scope = scope?;
        if let Some(blocked) = blocked {
            return Ok(Attempt::Done(blocked));
        }
        let (prepared, scope) = match (prepared, scope) {
            (Ok(prepared), Ok(scope)) => (prepared, scope),
            (Err(error), _) | (_, Err(error)) => return Ok(Attempt::Done(Brought::Failed(None, error))),
        };
        // Two generations would share a name, a fixed port and a volume, so the old one goes first; it stays where the
        // new one cannot even be prepared.
        if let Some(row) = old.take() {
            let lived = lower_one(self.session, &self.reached, row.clone(), now()).await?;
            if lived.state != State::Gone {
                return Ok(Attempt::Done(Brought::of(lived)));
            }
        }
        // Once more for something foreign under our key.
        for _ in 0..2 {
            let row = match self.freeze(machine, instance, provider, &prepared, &scope, *generation) {
                Ok(row) => row,
                Err(error) => return Ok(Attempt::Done(Brought::Failed(None, error))),
            };
            let op = Op::Plan {
                epoch: self.session.epoch.clone(),
                row: Box::new(row.clone()),
            };
            self.session.record(op).await?;
            let wanted = Some(self.wanted(machine));
            let lived = Life::new(self.session, Arc::clone(provider), wanted, row, Goal::Up)
                .live()
                .await?;
            *generation = generation.next();
            let kind = lived.failure.as_ref().map(Error::kind);
            match (lived.state, kind) {
                (State::Gone, Some(ErrorKind::Conflict)) => {}
                (State::Gone, Some(ErrorKind::Capacity | ErrorKind::Quota)) => {
                    let error = lived
                        .failure
                        .unwrap_or_else(|| Error::new(ErrorKind::Capacity, "no room"));
                    self.has_no_room(machine, instance, &error).await;
                    return Ok(Attempt::NoRoom(error));
                }
                _ => return Ok(Attempt::Done(Brought::of(lived))),
            }
        }
        Ok(Attempt::Done(Brought::Failed(
            None,
            Error::new(ErrorKind::Conflict, "something foreign stands under its key"),
        )))
    }

    pub(super) async fn has_no_room(&self, machine: &Machine, instance: &InstanceName, error: &Error) {
        let note = format!("{}: {instance} has no room ({error})", machine.name);
        self.session.events.note(note).await;
    }

    /// What a provider is asked about a machine; machines that are described alike share it.
    pub(super) fn question(
        &self,
        machine: &Machine,
        instance: &InstanceName,
    ) -> Result<((InstanceName, String), Resolve)> {
        let camp = &self.session.camp;
        let mut resolve = Resolve::new(machine_table(camp, machine, instance)?);
        resolve.needs = machine.needs.clone();
        resolve.folder.clone_from(&self.spec.folder);
        let key = (instance.clone(), format!("{}{:?}", resolve.table, resolve.needs));
        resolve.replaces.clone_from(&self.replaces);
        resolve.owner = Some(camp.controller.prefix().of_environment(&self.session.row.id));
        Ok((key, resolve))
    }

    async fn candidates(
        &self,
        machine: &Machine,
        instance: &InstanceName,
    ) -> Result<(Arc<dyn Provider>, Arc<[Candidate]>)> {
        let provider = self.provider(instance).await?;
        let (key, resolve) = self.question(machine, instance)?;
        let camp = &self.session.camp;
        let candidates = self
            .resolved
            .get(key, || {
                let provider = Arc::clone(&provider);
                async move { provider.resolve(&camp.read_cx(), resolve).await.map(Arc::from) }
            })
            .await?;
        Ok((provider, candidates))
    }

    /// Pulls or builds, once for all machines of the same candidate.
    async fn prepare(
        &self,
        machine: &Machine,
        instance: &InstanceName,
        provider: &Arc<dyn Provider>,
        candidate: &Candidate,
    ) -> Result<Arc<Candidate>> {
        let session = self.session;
        let key = (instance.clone(), candidate.body.to_string());
        let (events, name) = (session.events.clone(), machine.name.to_string());
        let sink = EventSink::new(move |progress| {
            events.mention(Event::Progress {
                machine: name.clone(),
                progress,
            });
        });
        self.prepared
            .get(key, || async move {
                let cx = Cx::within(session.camp.policy.create)
                    .with_events(sink)
                    .with_cancel(session.stop.child_token());
                let preparing = provider.prepare(&cx, candidate.clone());
                match tokio::time::timeout(session.camp.policy.create, preparing).await {
                    Ok(prepared) => prepared.map(Arc::new),
                    Err(_) => {
                        Err(Error::new(ErrorKind::Unavailable, "the image was not there in time").at(Verb::Prepare))
                    }
                }
            })
            .await
    }
}
