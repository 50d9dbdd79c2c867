//! Waits for places that others have: first come, first served within one installation.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::time::Duration;

use encamp_core::{Error, ErrorKind, Name, Result, Time, Verb};
use encamp_file::spec::Machine;
use tokio::time::Instant;

use super::places::{Options, Place, Places, Tried, never_enough, sites};
use super::raise::Raising;
use crate::clock::{Lease, monotonic_now as now};
use crate::journal::Op;
use crate::plan::{Action, Plan};
use crate::queue::{QueueTicket, Wish};

/// How long others who were here before may take to get places that are free.
const OTHERS: Duration = Duration::from_secs(30);
/// How often somebody else may be faster, for those who do not wait.
const TRIES: u32 = 5;
/// Between two looks at the queue.
const LOOK: Duration = Duration::from_millis(200);
/// How many times as long as asking what is free it is until that is asked again.
const ASKS: u32 = 4;
/// How many times as long it is at most between two looks of those who have many before them.
const LOOKS_MAX: u32 = 5;

/// Somebody who wants places.
struct Waiting {
    wish: Wish,
    ticket: Option<QueueTicket>,
    began: Instant,
    /// When the lease was last made longer.
    lengthened: Instant,
    /// How long it took to ask what is free; nothing as long as that is not known.
    asking: Duration,
    tries: u32,
    told: String,
}

/// Why nothing is made, for those machines that it is the fault of.
type Lacking = BTreeMap<Name, Error>;

impl Waiting {
    fn before(&self) -> Result<Vec<Wish>> {
        match &self.ticket {
            Some(ticket) => ticket.before(&self.wish.sites),
            None => Ok(Vec::new()),
        }
    }

    /// Says in the queue what changed.
    fn wish(&mut self, wish: Wish) -> Result<()> {
        if wish != self.wish {
            self.wish = wish;
            if let Some(ticket) = &mut self.ticket {
                ticket.say(&self.wish)?;
            }
        }
        Ok(())
    }

    /// What to say of those who are before it: nothing while they may be done at once.
    fn behind(&self, before: &[Wish], machines: &[&Machine]) -> Lacking {
        if self.began.elapsed() <= OTHERS && !before.iter().any(|wish| wish.waits) {
            return Lacking::new();
        }
        first(machines, &behind(before))
    }

    /// What to say where somebody else was faster: nothing as long as it is tried again.
    fn missed(&mut self, error: &Error, machines: &[&Machine]) -> Lacking {
        self.tries += 1;
        if self.tries <= TRIES {
            return Lacking::new();
        }
        first(machines, error)
    }
}

impl Raising<'_> {
    /// Finds a place for every machine that is to be made where places are limited, and reserves them.
    pub(super) async fn find_places(&self, plan: &Plan) -> Result<Places> {
        let machines = self.limited(plan).await;
        if machines.is_empty() {
            return Ok(Places::default());
        }
        let wait = self.session.camp.policy.wait;
        let mut options = self.ask(&machines).await;
        if let Some(lacking) = never_enough(&options) {
            return Ok(Places::lacking(lacking));
        }
        let mut waiting = self.enter(&options)?;
        let mut is_new = true;
        loop {
            let before = waiting.before()?;
            if before.is_empty() && !is_new {
                options = self.ask_again(&mut waiting, &machines).await?;
            }
            is_new = false;
            let lacking = if before.is_empty() {
                match self.try_all(&options).await {
                    Tried::Given(given) => {
                        if let Err(error) = self.take_up(&waiting, &options, &given).await {
                            self.return_all(given.into_values().collect()).await;
                            return Err(error);
                        }
                        self.tell_of_others(&machines, &options, &given).await;
                        return Ok(Places::given(given));
                    }
                    Tried::Missed(error) => waiting.missed(&error, &machines),
                    Tried::Lacking(lacking) => lacking,
                }
            } else {
                waiting.behind(&before, &machines)
            };
            let can_wait = lacking.values().all(|error| error.kind() == ErrorKind::Capacity);
            if !lacking.is_empty() && (!can_wait || waiting.began.elapsed() >= wait) {
                return Ok(Places::lacking(lacking));
            }
            if let Some(error) = lacking.values().next() {
                let mut wish = waiting.wish.clone();
                wish.waits = true;
                waiting.wish(wish)?;
                self.tell_of_waiting(&mut waiting, error, wait).await;
            }
            if waiting.lengthened.elapsed() > self.spec.ttl / 4 {
                self.lengthen(&waiting).await?;
                waiting.lengthened = now();
            }
            let pause = match before.len() {
                0 => (waiting.asking * ASKS).max(LOOK).min(self.session.camp.policy.pause.1),
                // Whoever is far behind need not look as often.
                others => LOOK * u32::try_from(others).map_or(LOOKS_MAX, |others| others.min(LOOKS_MAX)),
            };
            tokio::select! {
                () = tokio::time::sleep(pause) => {}
                () = self.session.stop.cancelled() => return Ok(Places::stopped()),
            }
        }
    }

    /// What is free by now, and what the queue is to know of it.
    async fn ask_again<'m>(&self, waiting: &mut Waiting, machines: &[&'m Machine]) -> Result<Vec<Options<'m>>> {
        let began = now();
        let options = self.ask(machines).await;
        waiting.asking = began.elapsed();
        let mut wish = waiting.wish.clone();
        wish.sites = sites(&options);
        waiting.wish(wish)?;
        Ok(options)
    }

    /// The machines that are to be made where places are limited.
    async fn limited(&self, plan: &Plan) -> Vec<&Machine> {
        let makes = |action| matches!(action, Action::Create | Action::Replace);
        let steps = plan.steps.iter().filter(|step| makes(step.action));
        let coming: BTreeSet<&str> = steps.map(|step| step.machine.as_str()).collect();
        let mut limited = Vec::new();
        for machine in &self.spec.machines {
            if coming.contains(machine.name.as_str()) && self.is_limited(machine).await {
                limited.push(machine);
            }
        }
        limited
    }

    fn enter(&self, options: &[Options<'_>]) -> Result<Waiting> {
        let wish = Wish {
            environment: self.session.row.name.clone(),
            sites: sites(options),
            waits: false,
        };
        Ok(Waiting {
            ticket: self.session.camp.queue.enter(&wish)?,
            wish,
            began: now(),
            lengthened: now(),
            asking: Duration::ZERO,
            tries: 0,
            told: String::new(),
        })
    }

    /// The lease begins when the machines can be made, and does not end before.
    async fn lengthen(&self, waiting: &Waiting) -> Result<Option<Time>> {
        if waiting.began.elapsed() < self.session.camp.policy.pause.1 {
            return Ok(None);
        }
        let lease = Lease::of(self.spec.ttl, &*self.session.camp.clock);
        let (environment, ends) = (self.session.row.id.clone(), lease.ends);
        self.session.record(Op::Extend { environment, lease }).await?;
        Ok(Some(ends))
    }

    /// The wait is over: what was found is what machines become, and the lease begins.
    async fn take_up(&self, waiting: &Waiting, options: &[Options<'_>], given: &HashMap<Name, Place>) -> Result<()> {
        if let Some(ends) = self.lengthen(waiting).await? {
            let _ = self.ends.set(ends.max(self.session.row.lease.ends));
        }
        self.settle(options, given).await
    }

    /// Says why it waits, when that is another reason than before.
    async fn tell_of_waiting(&self, waiting: &mut Waiting, error: &Error, wait: Duration) {
        let who = error.context().map(|(_, value)| value);
        let text = [error.message()].into_iter().chain(who).collect::<Vec<_>>().join("; ");
        if text != waiting.told {
            let left = wait.saturating_sub(waiting.began.elapsed()).as_secs();
            let note = format!("waits for a place, {}m {}s at most: {text}", left / 60, left % 60);
            self.session.events.note(note).await;
            waiting.told = text;
        }
    }
}

fn first(machines: &[&Machine], error: &Error) -> BTreeMap<Name, Error> {
    let first = machines.first();
    first
        .map(|machine| (machine.name.clone(), error.clone()))
        .into_iter()
        .collect()
}

fn behind(before: &[Wish]) -> Error {
    let names: Vec<&str> = before.iter().map(|wish| wish.environment.as_str()).collect();
    let number = before.len() + 1;
    Error::new(
        ErrorKind::Capacity,
        format!("it is number {number} in the queue for these places"),
    )
    .at(Verb::Resolve)
    .with("before it", names.join(", "))
    .next_step("`--wait` waits for its turn")
}
