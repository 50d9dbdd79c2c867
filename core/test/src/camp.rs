//! What a test brings its environments up with.

use std::ops::Deref;
use std::sync::{Mutex, PoisonError};

use encamp::{Ambient, Description, Encamp, Environment, Guard, Result, Share, SharedGuard, Survival, Time};

use crate::helper::Setup;
use crate::installation;
use crate::keep::Keep;
use crate::run::Test;
use crate::watch::Watch;

/// The environments of one test, and the [`Encamp`] of its process.
///
/// What it has brought up is there until the test ends, and is disposed of then. Of what [`Encamp::up`] gives, called by its
/// full name, the test itself has the guard.
#[derive(Debug)]
pub struct Camp {
    encamp: &'static Encamp,
    pub(crate) test: Test,
    pub(crate) began: Time,
    pub(crate) keep: Keep,
    held: Mutex<Vec<Held>>,
}

/// An environment of a test.
#[derive(Debug)]
pub(crate) struct Held {
    /// Its name, once it has one.
    pub(crate) name: Option<String>,
    /// What was told while it was brought up; nothing is where it is shared.
    pub(crate) watch: Watch,
    pub(crate) hold: Hold,
}

/// How far it is.
#[derive(Debug)]
pub(crate) enum Hold {
    /// It is not ready yet, or has failed to be.
    Coming,
    Own(Box<Guard>),
    Shared(Box<SharedGuard>),
}

impl Deref for Camp {
    type Target = Encamp;

    fn deref(&self) -> &Encamp {
        self.encamp
    }
}

impl Camp {
    pub(crate) fn open(setup: &Setup, test: Test) -> Result<Self> {
        Ok(Self {
            encamp: installation::open(setup)?,
            test,
            began: now(),
            keep: Keep::of(&Ambient::of_process())?,
            held: Mutex::default(),
        })
    }

    /// Makes a fresh environment, for this test alone, and gives it once everything is ready. It goes when the test ends.
    pub async fn up(&self, description: impl Into<Description>) -> Result<Environment> {
        let (watch, events) = Watch::begin(self.encamp, self.began)?;
        let at = self.hold(Held {
            name: None,
            watch,
            hold: Hold::Coming,
        });
        let guard = self.encamp.up_telling(description, events).await?;
        if let Survival::NextCommand { why } = guard.survival() {
            warn(guard.name(), why);
        }
        let environment = Environment::clone(&guard);
        self.ready(at, &environment, Hold::Own(Box::new(guard)));
        Ok(environment)
    }

    /// The environment of that description for all who share it, made by whoever comes first. It goes when the last of
    /// them has ended.
    pub async fn shared(&self, description: impl Into<Description>, share: Share) -> Result<Environment> {
        let guard = self.encamp.shared(description, share).await?;
        let environment = Environment::clone(&guard);
        let at = self.hold(Held {
            name: None,
            watch: Watch::default(),
            hold: Hold::Coming,
        });
        self.ready(at, &environment, Hold::Shared(Box::new(guard)));
        Ok(environment)
    }

    fn hold(&self, held: Held) -> usize {
        let mut all = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        all.push(held);
        all.len() - 1
    }

    fn ready(&self, at: usize, environment: &Environment, hold: Hold) {
        let mut all = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(held) = all.get_mut(at) {
            held.name = Some(environment.name().to_owned());
            held.hold = hold;
        }
    }

    /// Everything that it holds, which it holds no more.
    pub(crate) fn take(&self) -> Vec<Held> {
        std::mem::take(&mut *self.held.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// The names of all that are there or on their way, and what was told of them.
    pub(crate) fn known(&self) -> Vec<(Option<String>, bool, Watch)> {
        let all = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        let known = |held: &Held| {
            let coming = matches!(held.hold, Hold::Coming);
            (held.name.clone(), coming, held.watch.clone())
        };
        all.iter().map(known).collect()
    }
}

#[expect(clippy::print_stderr, reason = "a test's output is where its author looks")]
fn warn(name: &str, why: &str) {
    eprintln!("encamp: `{name}` has no keeper, so nothing ends it at once if this process is killed: {why}");
}

#[expect(clippy::disallowed_methods, reason = "tests of real machines live in real time")]
fn now() -> Time {
    let since = std::time::SystemTime::now()
        .duration_since(std::time::UNIX_EPOCH)
        .unwrap_or_default();
    Time::from_unix_millis(i64::try_from(since.as_millis()).unwrap_or(i64::MAX))
}
