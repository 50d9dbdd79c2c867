//! The world that simulated machines exist in, and what a test asks it.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use tokio::time::Instant;

use super::clock::Clock;
use super::foreign::Foreign;
use super::history::{Entry, What};
use super::inside::{Inside, Run};
use super::lock::lock;
use super::state::State;
use super::thing::{Body, Stage, Thing};
use crate::layers::Draw;
use crate::{Class, Exit, InstanceName, Labels, Phase, Site, Target, Time, Verb, label};

/// 2026-01-01T00:00:00Z: where no other beginning is given.
const BEGINNING: i64 = 1_767_225_600_000;

/// Simulated infrastructure. Clones are the same world; it outlives every engine and every instance that uses it.
#[derive(Debug, Clone)]
pub struct World(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    seed: u64,
    clock: Arc<Clock>,
    calm: AtomicBool,
    state: Mutex<State>,
}

/// Something that exists in a world, as it truly is: neither lag nor a carrier that keeps keys alone hides anything.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct Standing {
    /// What it is.
    pub class: Class,
    /// Where.
    pub site: Site,
    /// What the carrier keeps unique.
    pub key: String,
    /// The carrier's id.
    pub id: String,
    /// Where it stands.
    pub phase: Phase,
    /// The labels of its stamp.
    pub labels: Labels,
    /// The token of the request that made it.
    pub token: String,
    /// Through which instance it was made; none where it is foreign.
    pub provider: Option<InstanceName>,
    /// The epoch of the ticket that made it.
    pub epoch: Option<u64>,
    /// When.
    pub made_at: Time,
}

impl Standing {
    /// The environment that its labels name.
    pub fn environment(&self) -> &str {
        self.labels.get(label::ENVIRONMENT).map_or("", String::as_str)
    }

    /// The machine or scope item that its labels name.
    pub fn object(&self) -> &str {
        self.labels.get(label::MACHINE).map_or("", String::as_str)
    }

    /// The generation that its labels name.
    pub fn generation(&self) -> u32 {
        self.labels
            .get(label::GENERATION)
            .and_then(|text| text.parse().ok())
            .unwrap_or(0)
    }
}

impl World {
    /// A world whose chance comes from `seed`, and whose wall clock begins at 2026-01-01T00:00:00Z.
    pub fn new(seed: u64) -> Self {
        Self::beginning(seed, Time::from_unix_millis(BEGINNING))
    }

    /// A world whose wall clock shows `origin` when it is first looked at.
    pub fn beginning(seed: u64, origin: Time) -> Self {
        let clock = Arc::new(Clock::beginning(origin));
        Self(Arc::new(Shared {
            seed,
            calm: AtomicBool::new(false),
            state: Mutex::new(State::new(seed, Arc::clone(&clock))),
            clock,
        }))
    }

    /// The wall clock of the world, which goes with tokio's time.
    pub fn now(&self) -> Time {
        self.0.clock.time()
    }

    /// Looks at the world or changes it, after what is due has happened.
    pub(super) fn with<T>(&self, act: impl FnOnce(&mut State, Instant) -> T) -> T {
        let now = self.0.clock.instant();
        let mut state = lock(&self.0.state);
        state.settle(now);
        let answer = act(&mut state, now);
        let wakes = std::mem::take(&mut state.wakes);
        drop(state);
        for at in wakes {
            self.wake(at);
        }
        answer
    }

    /// Lets what is due at `at` happen then, even if nobody calls.
    fn wake(&self, at: Instant) {
        let Ok(runtime) = tokio::runtime::Handle::try_current() else {
            return;
        };
        let shared = Arc::downgrade(&self.0);
        runtime.spawn(async move {
            tokio::time::sleep_until(at).await;
            if let Some(shared) = shared.upgrade() {
                Self(shared).with(|_, _| ());
            }
        });
    }

    pub(super) fn draw(&self, verb: Verb, key: &str, attempt: u64) -> Draw {
        Draw::seeded(self.0.seed).text(verb.as_str()).text(key).number(attempt)
    }

    pub(super) fn is_calm(&self) -> bool {
        self.0.calm.load(Ordering::SeqCst)
    }

    /// From now on nothing goes wrong. Calls that are on their way still arrive.
    pub fn calm(&self) {
        self.0.calm.store(true, Ordering::SeqCst);
    }

    /// From now on things go wrong again, as the settings of each instance say.
    pub fn storm(&self) {
        self.0.calm.store(false, Ordering::SeqCst);
    }

    /// From now on a site cannot be reached.
    pub fn cut_off(&self, site: &Site) {
        self.with(|state, _| state.down.insert(site.clone()));
    }

    /// From now on it can be reached again.
    pub fn reconnect(&self, site: &Site) {
        self.with(|state, _| state.down.remove(site));
    }

    pub(super) fn is_down(&self, site: &Site) -> bool {
        self.with(|state, _| state.down.contains(site))
    }

    /// Waits until every call that its caller has given up has taken its effect.
    pub async fn rest(&self) {
        while let Some(at) = self.with(|state, _| state.last_late()) {
            tokio::time::sleep_until(at).await;
        }
    }

    /// Everything that exists and was made through an instance: machines, scope items and images.
    pub fn standing(&self) -> Vec<Standing> {
        self.things(|thing| thing.exists() && !matches!(thing.body, Body::Foreign))
    }

    /// The machines among them.
    pub fn machines(&self) -> Vec<Standing> {
        let mut standing = self.standing();
        standing.retain(|thing| thing.class == Class::Machine);
        standing
    }

    /// The foreign things that are gone.
    pub fn harmed(&self) -> Vec<Standing> {
        self.things(|thing| matches!(thing.body, Body::Foreign) && (!thing.exists() || thing.ending))
    }

    fn things(&self, wanted: impl Fn(&Thing) -> bool) -> Vec<Standing> {
        self.with(|state, now| {
            let things = state.things.values().filter(|thing| wanted(thing));
            things.map(|thing| standing(thing, now, &self.0.clock)).collect()
        })
    }

    /// How many things were ever made under a key.
    pub fn created_total(&self, key: &str) -> usize {
        let made = |entry: &&Entry| entry.key == key && matches!(entry.what, What::Made { .. });
        self.with(|state, _| state.history.iter().filter(made).count())
    }

    /// Every call and every effect so far, in order.
    pub fn history(&self) -> Vec<Entry> {
        self.with(|state, _| state.history.clone())
    }

    /// Every moment at which a machine was made while another one of the same environment and object existed.
    pub fn doubles(&self) -> Vec<Entry> {
        let mut alive: Vec<(String, String, String)> = Vec::new();
        let mut doubles = Vec::new();
        for entry in self.history() {
            match &entry.what {
                What::Made {
                    class: Class::Machine,
                    id,
                    environment,
                    object,
                    ..
                } => {
                    if alive
                        .iter()
                        .any(|(_, other, that)| other == environment && that == object)
                    {
                        doubles.push(entry.clone());
                    }
                    alive.push((id.clone(), environment.clone(), object.clone()));
                }
                What::Ended { id } => alive.retain(|(other, ..)| other != id),
                _ => {}
            }
        }
        doubles
    }

    /// Puts something into the world that is nobody's here. Gives its id.
    pub fn add_foreign(&self, site: &Site, foreign: Foreign) -> String {
        self.with(|state, now| {
            let number = state.number();
            let id = format!("f-{number:012x}");
            state.things.insert(
                number,
                Thing {
                    class: foreign.class,
                    site: site.clone(),
                    key: foreign.key,
                    id: id.clone(),
                    labels: foreign.labels,
                    token: String::new(),
                    request: crate::Value::Null,
                    provider: None,
                    epoch: None,
                    made_at: now,
                    lag: std::time::Duration::ZERO,
                    ending: false,
                    ended_at: None,
                    body: Body::Foreign,
                },
            );
            id
        })
    }

    /// Ends the main process of a machine. Says whether there was one.
    pub fn end_main_process(&self, id: &str, exit: &Exit) -> bool {
        self.with(|state, _| {
            let mut machines = state.things.of_id(id).filter(|(_, thing)| thing.exists());
            let machine = machines.find_map(|(_, thing)| thing.machine());
            machine.is_some_and(|machine| {
                machine.end_run(exit.clone());
                matches!(machine.stage, Stage::Up { .. })
            })
        })
    }

    /// Removes a thing by another hand than ours. Says whether it was there.
    pub fn snatch(&self, id: &str) -> bool {
        self.with(|state, now| {
            let number = state
                .things
                .of_id(id)
                .find_map(|(number, thing)| thing.exists().then_some(number));
            number.is_some_and(|number| state.end(now, number, None))
        })
    }

    /// Takes the labels off a thing. Says whether it was there.
    pub fn strip_labels(&self, id: &str) -> bool {
        self.with(|state, _| {
            let mut things = state
                .things
                .values_mut()
                .filter(|thing| thing.exists() && thing.id == id);
            let thing = things.next();
            thing.map(|thing| thing.labels.clear()).is_some()
        })
    }

    /// The running machine of the same environment and site that answers to a name.
    pub(super) fn peer(&self, from: &Target, host: &str) -> Option<(Arc<Inside>, Run)> {
        let environment = from.stamp.labels.get(label::ENVIRONMENT);
        self.with(|state, now| {
            let peers = state.things.values().filter(|thing| {
                thing.site == from.site
                    && thing.labels.get(label::ENVIRONMENT) == environment
                    && thing.phase(now) == Phase::Running
            });
            let mut machines = peers
                .filter_map(Thing::machine)
                .filter(|machine| machine.answers_to(host));
            machines.find_map(|machine| match &machine.stage {
                Stage::Up { run, .. } => Some((Arc::clone(&machine.inside), run.clone())),
                Stage::Held | Stage::Stopped => None,
            })
        })
    }
}

fn standing(thing: &Thing, now: Instant, clock: &Clock) -> Standing {
    Standing {
        class: thing.class,
        site: thing.site.clone(),
        key: thing.key.clone(),
        id: thing.id.clone(),
        phase: thing.phase(now),
        labels: thing.labels.clone(),
        token: thing.token.clone(),
        provider: thing.provider.clone(),
        epoch: thing.epoch,
        made_at: clock.time_at(thing.made_at),
    }
}
