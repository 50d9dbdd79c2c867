//! What the engine works with in a simulation: everything drawn from one seed, on a paused clock.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use encamp_core::memory::{self, World};
use encamp_core::{Ambient, ControllerId, InstanceName, KindName, Result, Time, Value};
use encamp_engine::camp::Camp;
use encamp_engine::clock::{BootMoment, Clock};
use encamp_engine::entropy::Entropy;
use encamp_engine::failpoint::Failpoints;
use encamp_engine::identity::Controller;
use encamp_engine::journal::Journal;
use encamp_engine::policy::Policy;
use encamp_engine::providers::{Instance, Providers};
use encamp_engine::secrets::Folder;
use encamp_engine::tenure::MemoryLocks;
use tokio::sync::Notify;

/// A small generator of its own, so that a seed means the same for ever (`SplitMix64`).
#[derive(Debug, Clone)]
pub(crate) struct Dice(u64);

impl Dice {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed)
    }

    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    /// From 0 to `below` - 1.
    pub(crate) fn below(&mut self, below: u64) -> u64 {
        self.next() % below
    }

    /// True `percent` times in a hundred.
    pub(crate) fn chance(&mut self, percent: u64) -> bool {
        self.below(100) < percent
    }

    pub(crate) fn pick<'a, T>(&mut self, among: &'a [T]) -> &'a T {
        &among[usize::try_from(self.below(among.len() as u64)).expect("a small index")]
    }
}

/// The wall clock of the simulated world.
#[derive(Debug)]
pub(crate) struct WorldClock(pub(crate) World);

impl Clock for WorldClock {
    fn now(&self) -> Time {
        self.0.now()
    }

    fn boot(&self) -> Option<BootMoment> {
        None
    }
}

#[derive(Debug)]
pub(crate) struct SeededEntropy(pub(crate) Mutex<Dice>);

impl Entropy for SeededEntropy {
    fn fill(&self, bytes: &mut [u8]) -> Result<()> {
        let mut dice = self.0.lock().expect("nobody panics with it");
        bytes.fill_with(|| dice.next().to_le_bytes()[0]);
        Ok(())
    }
}

/// Crashes the engine when a countdown of failpoints has passed.
#[derive(Debug, Default)]
pub(crate) struct Crash {
    left: AtomicU64,
    crashed: Notify,
}

impl Crash {
    /// Crashes at the `at`th failpoint from now; never for 0.
    pub(crate) fn arm(&self, at: u64) {
        self.left.store(at, Ordering::SeqCst);
    }

    /// Completes when the engine has crashed; whoever waits drops it then.
    pub(crate) async fn happened(&self) {
        self.crashed.notified().await;
    }
}

#[async_trait]
impl Failpoints for Crash {
    async fn reach(&self, _: &str) {
        let before = self
            .left
            .fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(1));
        if before == Ok(1) {
            self.crashed.notify_one();
            std::future::pending::<()>().await;
        }
    }
}

/// What outlives a crash, and the engine made anew from it.
#[derive(Debug)]
pub(crate) struct Bed {
    pub(crate) world: World,
    pub(crate) journal: Arc<dyn Journal>,
    pub(crate) crash: Arc<Crash>,
    pub(crate) camp: Arc<Camp>,
}

/// The instance that all machines of a simulation are on.
pub(crate) const INSTANCE: &str = "sim";

impl Bed {
    pub(crate) fn new(seed: u64, settings: Value, journal: Arc<dyn Journal>) -> Self {
        let world = World::new(seed);
        let crash = Arc::new(Crash::default());
        let mut providers = Providers::new(Ambient::none());
        providers.add_kind(memory::kind(world.clone()));
        let kind = KindName::new("memory").expect("a name");
        providers.add_instance(
            InstanceName::new(INSTANCE).expect("a name"),
            Instance { kind, settings },
        );
        let camp = Camp {
            controller: Controller::new(ControllerId::new("5mkt0r").expect("an id"), [9; 32]),
            journal: Arc::clone(&journal),
            locks: Arc::new(MemoryLocks::default()),
            clock: Arc::new(WorldClock(world.clone())),
            entropy: Arc::new(SeededEntropy(Mutex::new(Dice::new(seed ^ 0xE17)))),
            failpoints: Arc::clone(&crash) as Arc<dyn Failpoints>,
            providers,
            secrets: BTreeMap::new(),
            secret_folder: Folder::new(None, ControllerId::new("5mkt0r").expect("an id")),
            keepers: encamp_engine::keeper::Keepers::none(),
            users: encamp_engine::users::Users::none(),
            queue: encamp_engine::queue::Queue::none(),
            policy: Policy::default(),
            user: "simulation".into(),
            pid: 1,
        };
        Self {
            world,
            journal,
            crash,
            camp: Arc::new(camp),
        }
    }
}
