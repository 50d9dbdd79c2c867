//! The places that machines get where there are not as many as one likes: all of an environment, or none.
//!
//! Nothing is made before every machine has its place, so that two environments never wait for what the other one has.
//! Within one installation it is first come, first served; others are kept out by what is reserved on the infrastructure.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use encamp_core::{Candidate, Cx, Error, ErrorKind, InstanceName, Name, Provider, Reserve, Result, Site, Verb};
use encamp_file::spec::Machine;
use futures_util::future::join_all;

use super::dispose::Reached;
use super::matching::{Want, assign};
use super::raise::Raising;
use crate::kept::{KeptPlace, KeptPlaces};
use crate::session::Session;

/// How long a place is kept, and how often that is said again while machines are still to come.
const KEPT: Duration = Duration::from_mins(1);
const KEPT_AGAIN: Duration = Duration::from_secs(20);
/// How many of those who have the places are named.
const NAMED: usize = 8;

/// A machine's place.
#[derive(Debug, Clone)]
pub(super) struct Place {
    pub(super) instance: InstanceName,
    pub(super) candidate: Candidate,
    provider: Arc<dyn Provider>,
}

/// The places of an environment's machines.
#[derive(Debug, Default)]
pub(super) struct Places {
    given: HashMap<Name, Place>,
    /// Why nothing is made, for those machines that it is the fault of; empty where all have what they need.
    pub(super) lacking: BTreeMap<Name, Error>,
    /// Stopped while it waited.
    pub(super) stopped: bool,
    used: Mutex<HashSet<Name>>,
    /// They were kept again, also those of machines that were there by then.
    again: AtomicBool,
}

impl Places {
    pub(super) fn given(given: HashMap<Name, Place>) -> Self {
        Self {
            given,
            ..Self::default()
        }
    }

    pub(super) fn lacking(lacking: BTreeMap<Name, Error>) -> Self {
        Self {
            lacking,
            ..Self::default()
        }
    }

    pub(super) fn stopped() -> Self {
        Self {
            stopped: true,
            ..Self::default()
        }
    }

    pub(super) fn of(&self, machine: &Name) -> Option<&Place> {
        self.given.get(machine)
    }

    /// Its machine is ready, or was left as it is: what is created there needs nobody to keep it.
    pub(super) fn use_up(&self, machine: &Name) {
        let mut used = self.used.lock().unwrap_or_else(PoisonError::into_inner);
        used.insert(machine.clone());
    }

    fn all(&self) -> Vec<Place> {
        self.given.values().cloned().collect()
    }

    fn unused(&self) -> Vec<Place> {
        let used = self.used.lock().unwrap_or_else(PoisonError::into_inner);
        let unused = self.given.iter().filter(|(name, _)| !used.contains(*name));
        unused.map(|(_, place)| place.clone()).collect()
    }
}

/// What one machine may become.
pub(super) struct Options<'a> {
    machine: &'a Machine,
    /// Where places are limited, best first.
    limited: Vec<(InstanceName, Arc<dyn Provider>, Vec<Candidate>)>,
    /// Why the last of them that has none at all has none.
    refused: Option<Error>,
    /// After those comes a provider that has room for any number, or one that says itself what is wrong.
    has_more: bool,
}

/// How one try came out.
pub(super) enum Tried {
    Given(HashMap<Name, Place>),
    /// Somebody was faster.
    Missed(Error),
    Lacking(BTreeMap<Name, Error>),
}

/// What is written down of the places of a session's environment, where there is a folder for that.
fn kept(session: &Session) -> Option<KeptPlaces> {
    let state = session.camp.providers.ambient().state()?;
    Some(KeptPlaces::of(state, &session.row.id))
}

/// Gives back what was kept for an environment that was left without a word.
pub(super) async fn give_back_left(session: &Session, reached: &Reached) {
    let Some(kept) = kept(session) else { return };
    let camp = &session.camp;
    let owner = camp.controller.prefix().of_environment(&session.row.id);
    let one = |place: KeptPlace| {
        let owner = owner.clone();
        async move {
            let at = || camp.provider_at(&place.site, &place.instance);
            let provider = reached.get((place.site.clone(), place.instance.clone()), at).await?;
            let reserve = Reserve::new(place.site, place.body, owner, Duration::ZERO);
            provider.reserve(&camp.read_cx(), reserve).await
        }
    };
    for outcome in join_all(kept.read().into_iter().map(one)).await {
        if let Err(error) = outcome {
            tracing::info!(%error, "a place stays kept for a minute");
        }
    }
    kept.remove();
}

impl Raising<'_> {
    /// Says again that places are kept, as long as machines are still to come.
    pub(super) async fn keep_places(&self, places: &Places) -> std::convert::Infallible {
        loop {
            tokio::time::sleep(KEPT_AGAIN).await;
            places.again.store(true, Ordering::Relaxed);
            for (place, outcome) in self.reserve(places.unused(), KEPT, KEPT_AGAIN).await {
                if let Err(error) = outcome {
                    tracing::info!(instance = %place.instance, %error, "a place is not kept any longer");
                }
            }
        }
    }

    /// Gives back what no machine has come to.
    pub(super) async fn give_back(&self, places: &Places) {
        let back = if places.again.load(Ordering::Relaxed) {
            places.all()
        } else {
            places.unused()
        };
        self.return_all(back).await;
    }

    pub(super) async fn return_all(&self, places: Vec<Place>) {
        let change = self.session.camp.policy.change;
        self.reserve(places, Duration::ZERO, change).await;
        if let Some(kept) = kept(self.session) {
            kept.remove();
        }
    }

    /// Writes down what is about to be kept.
    fn note(&self, given: &HashMap<Name, Place>) {
        let Some(kept) = kept(self.session).filter(|_| !given.is_empty()) else {
            return;
        };
        let place = |place: &Place| KeptPlace {
            instance: place.instance.clone(),
            site: place.candidate.site.clone(),
            body: place.candidate.body.clone(),
        };
        kept.write(&given.values().map(place).collect::<Vec<_>>());
    }

    pub(super) async fn is_limited(&self, machine: &Machine) -> bool {
        for instance in &machine.providers {
            // What cannot be reached says so when the machine is made.
            if let Ok(provider) = self.provider(instance).await
                && provider.capabilities().offers(Verb::Reserve)
            {
                return true;
            }
        }
        false
    }

    /// Asks what machines could become, each question once.
    pub(super) async fn ask<'b>(&self, machines: &[&'b Machine]) -> Vec<Options<'b>> {
        let asked = crate::session::Once::<(InstanceName, String), Arc<[Candidate]>>::new();
        let asked = &asked;
        let one = |machine: &'b Machine| async move {
            let mut options = Options {
                machine,
                limited: Vec::new(),
                refused: None,
                has_more: false,
            };
            for instance in &machine.providers {
                let Ok(provider) = self.provider(instance).await else {
                    options.has_more = true;
                    break;
                };
                if !provider.capabilities().offers(Verb::Reserve) {
                    options.has_more = true;
                    break;
                }
                let Ok((key, resolve)) = self.question(machine, instance) else {
                    options.has_more = true;
                    break;
                };
                let cx = self.session.camp.read_cx();
                let found = asked
                    .get(key, || async { provider.resolve(&cx, resolve).await.map(Arc::from) })
                    .await;
                match found {
                    Ok(found) => options.limited.push((instance.clone(), provider, found.to_vec())),
                    Err(error) if matches!(error.kind(), ErrorKind::Capacity | ErrorKind::Quota) => {
                        options.refused = Some(error);
                    }
                    Err(_) => {
                        options.has_more = true;
                        break;
                    }
                }
            }
            options
        };
        join_all(machines.iter().copied().map(one)).await
    }

    pub(super) async fn try_all(&self, options: &[Options<'_>]) -> Tried {
        let assigned = assign(&wants(options, |candidate| candidate.room));
        let mut given = HashMap::new();
        let mut lacking = BTreeMap::new();
        for (options, place) in options.iter().zip(assigned) {
            let name = options.machine.name.clone();
            let all = options
                .limited
                .iter()
                .flat_map(|(instance, provider, all)| all.iter().map(move |candidate| (instance, provider, candidate)));
            match place.and_then(|place| all.clone().nth(place)) {
                Some((instance, provider, candidate)) => {
                    let place = Place {
                        instance: instance.clone(),
                        provider: Arc::clone(provider),
                        candidate: candidate.clone(),
                    };
                    given.insert(name, place);
                }
                None if options.has_more => {}
                None => {
                    let of = instances(options.machine);
                    lacking.insert(name, no_place(&of, all.map(|(_, _, candidate)| candidate)));
                }
            }
        }
        if !lacking.is_empty() {
            return Tried::Lacking(never_enough(options).unwrap_or(lacking));
        }
        self.note(&given);
        let change = self.session.camp.policy.change;
        let reserved = self.reserve(given.values().cloned().collect(), KEPT, change).await;
        match reserved.into_iter().find_map(|(_, outcome)| outcome.err()) {
            None => Tried::Given(given),
            Some(error) => {
                self.return_all(given.into_values().collect()).await;
                Tried::Missed(error)
            }
        }
    }

    /// What is given is left to those who have it, and what was asked need not be asked again.
    pub(super) async fn settle(&self, options: &[Options<'_>], given: &HashMap<Name, Place>) -> Result<()> {
        for place in given.values() {
            self.rooms.take(&place.candidate);
        }
        for options in options {
            for (instance, _, candidates) in &options.limited {
                let (key, _) = self.question(options.machine, instance)?;
                self.resolved
                    .get(key, || async { Ok(Arc::from(candidates.as_slice())) })
                    .await?;
            }
        }
        Ok(())
    }

    /// Each is asked for `within` at most: one that is silent keeps no other from being kept.
    async fn reserve(&self, places: Vec<Place>, span: Duration, within: Duration) -> Vec<(Place, Result<()>)> {
        let camp = &self.session.camp;
        let owner = camp.controller.prefix().of_environment(&self.session.row.id);
        let one = |place: Place| {
            let owner = owner.clone();
            async move {
                let reserve = Reserve::new(place.candidate.site.clone(), place.candidate.body.clone(), owner, span);
                let outcome = place.provider.reserve(&Cx::within(within), reserve).await;
                (place, outcome)
            }
        };
        join_all(places.into_iter().map(one)).await
    }

    /// Says which machines become something else, since the providers before have no place for them.
    pub(super) async fn tell_of_others(
        &self,
        machines: &[&Machine],
        options: &[Options<'_>],
        given: &HashMap<Name, Place>,
    ) {
        for (machine, options) in machines.iter().zip(options) {
            // Whoever has none here is told of each provider as it is tried.
            let Some(place) = given.get(&machine.name) else {
                continue;
            };
            let passed = machine
                .providers
                .iter()
                .take_while(|instance| place.instance != **instance);
            for instance in passed {
                let limited = options.limited.iter().find(|(limited, ..)| limited == instance);
                if let Some((_, _, candidates)) = limited {
                    self.has_no_room(machine, instance, &no_place(instance.as_str(), candidates.iter()))
                        .await;
                }
            }
        }
    }
}

fn wants(options: &[Options<'_>], room: impl Fn(&Candidate) -> Option<u32>) -> Vec<Want<(Site, String)>> {
    let want = |options: &Options<'_>| {
        let candidates = options.limited.iter().flat_map(|(_, _, candidates)| candidates);
        let place = |candidate: &Candidate| ((candidate.site.clone(), candidate.body.to_string()), room(candidate));
        Want {
            places: candidates.map(place).collect(),
            has_more: options.has_more,
        }
    };
    options.iter().map(want).collect()
}

/// The machines for which there would be no place if nobody else had any: nobody need wait for that.
pub(super) fn never_enough(options: &[Options<'_>]) -> Option<BTreeMap<Name, Error>> {
    let emptied = |candidate: &Candidate| match &candidate.taken {
        Some(_) => Some(1),
        None => candidate.room,
    };
    let places = assign(&wants(options, emptied));
    let without = options
        .iter()
        .zip(places)
        .filter(|(options, place)| place.is_none() && !options.has_more);
    let error = |options: &Options<'_>| {
        let all: usize = options.limited.iter().map(|(_, _, candidates)| candidates.len()).sum();
        if let (0, Some(refused)) = (all, &options.refused) {
            return refused.clone();
        }
        let instances = instances(options.machine);
        let message =
            format!("{instances} has {all} places for it in all, and other machines of the environment need them");
        Error::new(ErrorKind::Quota, message)
            .at(Verb::Resolve)
            .next_step("fewer machines, more hosts, or another provider after it: provider = [\"lab\", \"docker\"]")
    };
    let lacking: BTreeMap<_, _> = without
        .map(|(options, _)| (options.machine.name.clone(), error(options)))
        .collect();
    (!lacking.is_empty()).then_some(lacking)
}

fn instances(machine: &Machine) -> String {
    let instances: Vec<&str> = machine.providers.iter().map(InstanceName::as_str).collect();
    instances.join(", ")
}

pub(super) fn sites(options: &[Options<'_>]) -> BTreeSet<Site> {
    let candidates = options.iter().flat_map(|options| &options.limited);
    let candidates = candidates.flat_map(|(_, _, candidates)| candidates);
    candidates.map(|candidate| candidate.site.clone()).collect()
}

/// Why a machine has no place of those providers, with who has those that it could have.
pub(super) fn no_place<'c>(of: &str, candidates: impl Iterator<Item = &'c Candidate>) -> Error {
    let (mut taken, mut free) = (Vec::new(), 0_u32);
    for candidate in candidates {
        match &candidate.taken {
            Some(why) => taken.push(why.as_str()),
            None => free += candidate.room.unwrap_or_default(),
        }
    }
    let message = match free {
        0 => format!("{of} has no free place"),
        1 => format!("{of} has 1 free place, which another machine of the environment gets"),
        free => format!("{of} has {free} free places, which other machines of the environment get"),
    };
    let mut error = Error::new(ErrorKind::Capacity, message);
    let more = taken.len().saturating_sub(NAMED);
    for why in taken.into_iter().take(NAMED) {
        error = error.with("taken", why);
    }
    if more > 0 {
        error = error.with("taken", format!("and {more} more"));
    }
    error.at(Verb::Resolve).next_step("`--wait` waits until there is one")
}
