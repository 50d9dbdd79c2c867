//! The time of a world: tokio's, which a test may pause, and the wall clock that goes with it.

use std::sync::OnceLock;
use std::time::Duration;

use tokio::time::Instant;

use crate::Time;

/// As good as never, without an overflow.
const YEAR: Duration = Duration::from_hours(366 * 24);

/// Begins when it is first read.
#[derive(Debug)]
pub(super) struct Clock {
    origin: Time,
    began: OnceLock<Instant>,
}

impl Clock {
    /// A clock that will show `origin` when it is first read.
    pub(super) fn beginning(origin: Time) -> Self {
        Self {
            origin,
            began: OnceLock::new(),
        }
    }

    #[expect(
        clippy::disallowed_methods,
        reason = "the world runs on the runtime's own time, which tests pause"
    )]
    pub(super) fn instant(&self) -> Instant {
        let now = Instant::now();
        self.began.get_or_init(|| now);
        now
    }

    pub(super) fn time(&self) -> Time {
        self.time_at(self.instant())
    }

    pub(super) fn time_at(&self, at: Instant) -> Time {
        let began = *self.began.get_or_init(|| at);
        self.origin.plus(at.saturating_duration_since(began))
    }

    /// When the wall clock will show `time`; the beginning where that has passed before it.
    pub(super) fn instant_of(&self, time: Time) -> Instant {
        let began = *self.began.get_or_init(|| self.instant());
        began + time.since(self.origin).min(YEAR)
    }
}
