//! Everything that a world knows, behind its lock; and what is still to happen in it.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use super::clock::Clock;
use super::history::{Entry, What};
use super::settings::{Settings, Settling};
use super::thing::{Body, Thing};
use super::things::Things;
use crate::layers::Draw;
use crate::{Class, Error, ErrorKind, Exit, InstanceName, Result, Site, Stamp, Target, Time, Verb, label};

/// The place of a thing in its world.
pub(super) type Number = u64;

type Act = Box<dyn FnOnce(&mut State, Instant) + Send>;

/// Something that happens at its time.
struct Pending {
    /// Whether it is a call that its caller has given up.
    late: bool,
    act: Act,
}

impl fmt::Debug for Pending {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pending")
            .field("late", &self.late)
            .finish_non_exhaustive()
    }
}

#[derive(Debug)]
pub(super) struct State {
    pub(super) seed: u64,
    pub(super) clock: Arc<Clock>,
    pub(super) things: Things,
    pub(super) history: Vec<Entry>,
    /// Which thing a token made, and when; for carriers that remember tokens.
    pub(super) tokens: BTreeMap<(Site, String), (Number, Instant)>,
    pub(super) down: BTreeSet<Site>,
    /// When each digest was last prepared.
    pub(super) prepared: BTreeMap<String, Instant>,
    calls: BTreeMap<(Verb, String), u64>,
    queue: BTreeMap<(Instant, Number), Pending>,
    /// Moments at which somebody should look, even if nobody calls.
    pub(super) wakes: Vec<Instant>,
    next: Number,
}

/// A call, as its effects need to know it.
#[derive(Debug, Clone)]
pub(super) struct Deed {
    pub(super) provider: InstanceName,
    pub(super) settings: Arc<Settings>,
    pub(super) verb: Verb,
    pub(super) key: String,
    pub(super) epoch: Option<u64>,
    pub(super) attempt: u64,
}

impl State {
    pub(super) fn new(seed: u64, clock: Arc<Clock>) -> Self {
        Self {
            seed,
            clock,
            things: Things::default(),
            history: Vec::new(),
            tokens: BTreeMap::new(),
            down: BTreeSet::new(),
            prepared: BTreeMap::new(),
            calls: BTreeMap::new(),
            queue: BTreeMap::new(),
            wakes: Vec::new(),
            next: 1,
        }
    }

    pub(super) fn number(&mut self) -> Number {
        self.next += 1;
        self.next
    }

    /// Counts a call of a verb for a key.
    pub(super) fn count(&mut self, verb: Verb, key: &str) -> u64 {
        let count = self.calls.entry((verb, key.to_owned())).or_default();
        *count += 1;
        *count
    }

    pub(super) fn note(&mut self, now: Instant, deed: &Deed, what: What) {
        self.history.push(Entry {
            at: self.clock.time_at(now),
            provider: Some(deed.provider.clone()),
            verb: Some(deed.verb),
            key: deed.key.clone(),
            epoch: deed.epoch,
            attempt: deed.attempt,
            what,
        });
    }

    /// Notes what the world does by itself.
    pub(super) fn note_own(&mut self, now: Instant, key: &str, what: What) {
        self.history.push(Entry {
            at: self.clock.time_at(now),
            provider: None,
            verb: None,
            key: key.to_owned(),
            epoch: None,
            attempt: 0,
            what,
        });
    }

    pub(super) fn schedule(&mut self, at: Instant, act: impl FnOnce(&mut Self, Instant) + Send + 'static) {
        self.enqueue(at, false, Box::new(act));
    }

    /// Schedules a call whose caller does not wait for it.
    pub(super) fn schedule_late(&mut self, at: Instant, act: impl FnOnce(&mut Self, Instant) + Send + 'static) {
        self.enqueue(at, true, Box::new(act));
    }

    fn enqueue(&mut self, at: Instant, late: bool, act: Act) {
        let number = self.number();
        self.queue.insert((at, number), Pending { late, act });
        self.wakes.push(at);
    }

    /// Lets happen what is due, each at its own time.
    pub(super) fn settle(&mut self, now: Instant) {
        while let Some(next) = self.queue.first_entry().filter(|entry| entry.key().0 <= now) {
            let ((at, _), pending) = next.remove_entry();
            (pending.act)(self, at);
        }
    }

    /// When the last of the calls that nobody waits for takes effect.
    pub(super) fn last_late(&self) -> Option<Instant> {
        self.queue
            .iter()
            .filter(|(_, pending)| pending.late)
            .map(|((at, _), _)| *at)
            .next_back()
    }

    /// Whether the carrier itself keeps keys unique.
    fn keys_are_unique(settling: Settling) -> bool {
        settling == Settling::Replay
    }

    /// What stands under a key, as far as the provider can see.
    fn standing(&self, now: Instant, site: &Site, key: &str, settling: Settling) -> Vec<Number> {
        let sees_all = Self::keys_are_unique(settling);
        let things = self
            .things
            .of_key(key)
            .filter(|(_, thing)| thing.exists() && thing.site == *site && (sees_all || thing.listed(now)));
        things.map(|(number, _)| number).collect()
    }

    /// The thing that a request has made already, or the conflict with what stands in its place. A late request looks
    /// for itself no more: that was done before it was sent.
    pub(super) fn already(
        &self,
        now: Instant,
        deed: &Deed,
        (stamp, site): (&Stamp, &Site),
        settling: Settling,
        frozen: &crate::Value,
        late: bool,
    ) -> Result<Option<Number>> {
        if let Settling::ReplayFor(life) = settling
            && let Some((number, at)) = self.tokens.get(&(site.clone(), stamp.token.to_string()))
            && *at + life.0 > now
        {
            return match self.things.get(*number) {
                Some(thing) if thing.request == *frozen => Ok(Some(*number)),
                _ => Err(Error::new(
                    ErrorKind::Conflict,
                    "this token was used for another request",
                )),
            };
        }
        if late && !Self::keys_are_unique(settling) {
            return Ok(None);
        }
        let standing = self.standing(now, site, stamp.key.as_str(), settling);
        let Some(first) = standing.first() else {
            return Ok(None);
        };
        if deed.settings.keeps == crate::Keeps::KeyOnly {
            return Ok(Some(*first));
        }
        let same = standing.iter().find(|number| {
            self.things.get(**number).is_some_and(|thing| {
                stamp.matches(&thing.key, &thing.labels)
                    && thing.token == stamp.token.as_str()
                    && thing.request == *frozen
            })
        });
        match same {
            Some(number) => Ok(Some(*number)),
            None => {
                Err(Error::new(ErrorKind::Conflict, "something else stands under this key").with("key", &stamp.key))
            }
        }
    }

    /// Everything that a target may speak of; the conflict where that is not ours.
    pub(super) fn mine(&self, now: Instant, deed: &Deed, target: &Target, class: Class) -> Result<Vec<Number>> {
        let settling = if class == Class::Scope {
            deed.settings.scopes
        } else {
            deed.settings.machines
        };
        let mut named = self.standing(now, &target.site, target.stamp.key.as_str(), settling);
        if let Some(id) = target.id.as_deref() {
            let by_id = self
                .things
                .of_id(id)
                .filter(|(_, thing)| thing.exists() && thing.site == target.site);
            named.extend(by_id.map(|(number, _)| number));
        }
        named.sort_unstable();
        named.dedup();
        let (ours, others): (Vec<_>, Vec<_>) = named.into_iter().partition(|number| {
            self.things.get(*number).is_some_and(|thing| {
                (thing.class == Class::Scope) == (class == Class::Scope)
                    && thing.carries(&target.stamp, deed.settings.keeps)
            })
        });
        if ours.is_empty() && !others.is_empty() {
            return Err(
                Error::new(ErrorKind::Conflict, "what stands there does not carry this stamp")
                    .with("key", &target.stamp.key),
            );
        }
        Ok(ours)
    }

    /// Puts a new thing into the world.
    pub(super) fn make(&mut self, now: Instant, deed: &Deed, (stamp, site): (&Stamp, &Site), made: Made) -> Number {
        let number = self.number();
        let nth = self.things.of_key(stamp.key.as_str()).count();
        let draw = Draw::seeded(self.seed)
            .text(site.as_str())
            .text(stamp.key.as_str())
            .number(nth as u64);
        let letter = &made.class.as_str()[..1];
        let id = format!("{letter}-{:012x}", draw.text("id").bits() & 0xffff_ffff_ffff);
        let settling = if made.class == Class::Scope {
            deed.settings.scopes
        } else {
            deed.settings.machines
        };
        let label = |name| stamp.labels.get(name).cloned().unwrap_or_default();
        let what = What::Made {
            class: made.class,
            id: id.clone(),
            environment: label(label::ENVIRONMENT),
            object: label(label::MACHINE),
            generation: label(label::GENERATION).parse().unwrap_or(0),
        };
        self.things.insert(
            number,
            Thing {
                class: made.class,
                site: site.clone(),
                key: stamp.key.to_string(),
                id,
                labels: stamp.labels.clone(),
                token: stamp.token.to_string(),
                request: made.request,
                provider: Some(deed.provider.clone()),
                epoch: deed.epoch,
                made_at: now,
                lag: draw.text("lag").span(deed.settings.lag(settling)),
                ending: false,
                ended_at: None,
                body: made.body,
            },
        );
        self.tokens
            .insert((site.clone(), stamp.token.to_string()), (number, now));
        self.note(now, deed, what);
        number
    }

    /// Ends a thing now. Says whether it was there.
    pub(super) fn end(&mut self, now: Instant, number: Number, deed: Option<&Deed>) -> bool {
        let Some(thing) = self.things.get_mut(number).filter(|thing| thing.exists()) else {
            return false;
        };
        thing.ended_at = Some(now);
        if let Some(machine) = thing.machine() {
            machine.end_run(Exit::Signal("KILL".into()));
        }
        let (key, what) = (thing.key.clone(), What::Ended { id: thing.id.clone() });
        match deed {
            Some(deed) => self.note(now, deed, what),
            None => self.note_own(now, &key, what),
        }
        true
    }

    /// Ends a thing at the moment that it expires, unless that moment was moved.
    pub(super) fn expire_at(&mut self, number: Number, expires: Time) {
        let at = self.clock.instant_of(expires);
        self.schedule(at, move |state, now| {
            let due = state
                .things
                .get(number)
                .and_then(Thing::machine)
                .and_then(|machine| machine.expires);
            if due == Some(expires) {
                state.end(now, number, None);
            }
        });
    }

    /// Begins to remove a thing; true where it is gone at once.
    pub(super) fn remove(&mut self, now: Instant, number: Number, deed: &Deed, takes: Duration) -> bool {
        if takes.is_zero() {
            return self.end(now, number, Some(deed));
        }
        let Some(thing) = self
            .things
            .get_mut(number)
            .filter(|thing| thing.exists() && !thing.ending)
        else {
            return false;
        };
        thing.ending = true;
        if let Some(machine) = thing.machine() {
            machine.end_run(Exit::Signal("KILL".into()));
        }
        let what = What::Ending { id: thing.id.clone() };
        self.note(now, deed, what);
        let deed = deed.clone();
        self.schedule(now + takes, move |state, now| {
            state.end(now, number, Some(&deed));
        });
        false
    }
}

/// What a new thing is.
#[derive(Debug)]
pub(super) struct Made {
    pub(super) class: Class,
    pub(super) request: crate::Value,
    pub(super) body: Body,
}
