//! Time, injected.

use std::fmt::Debug;
use std::time::Duration;

use encamp_core::Time;
use serde::{Deserialize, Serialize};

/// Time since this machine booted, and which boot it was.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BootMoment {
    /// Identifies the boot.
    pub boot: String,
    /// Milliseconds since it.
    pub millis: u64,
}

/// Where the engine takes time from.
pub trait Clock: Debug + Send + Sync + 'static {
    /// Wall-clock time.
    fn now(&self) -> Time;
    /// Time since boot, where the platform tells.
    fn boot(&self) -> Option<BootMoment>;
}

/// The machine's own clock.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    #[expect(clippy::disallowed_methods, reason = "this is the injected clock")]
    fn now(&self) -> Time {
        let since = std::time::SystemTime::now()
            .duration_since(std::time::UNIX_EPOCH)
            .unwrap_or_default();
        Time::from_unix_millis(i64::try_from(since.as_millis()).unwrap_or(i64::MAX))
    }

    fn boot(&self) -> Option<BootMoment> {
        let boot = std::fs::read_to_string("/proc/sys/kernel/random/boot_id").ok()?;
        let uptime = rustix::time::clock_gettime(rustix::time::ClockId::Boottime);
        let millis = u64::try_from(uptime.tv_sec).ok()? * 1000 + u64::try_from(uptime.tv_nsec).ok()? / 1_000_000;
        Some(BootMoment {
            boot: boot.trim().to_owned(),
            millis,
        })
    }
}

/// Until when an environment is wanted: by the wall clock, and by the clock since boot where that is the same boot.
///
/// A wall clock that is set back or forward by a day thus ends nothing early.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Lease {
    /// The end by the wall clock.
    pub ends: Time,
    /// The end by the clock since boot.
    pub boot: Option<BootMoment>,
}

impl Lease {
    /// A lease of `ttl` from now.
    pub fn of(ttl: Duration, clock: &dyn Clock) -> Self {
        let boot = clock.boot().map(|mut moment| {
            moment.millis = moment
                .millis
                .saturating_add(u64::try_from(ttl.as_millis()).unwrap_or(u64::MAX));
            moment
        });
        Self {
            ends: clock.now().plus(ttl),
            boot,
        }
    }

    /// Whether it ends later than another one: by the clock since boot where both know the same boot.
    pub fn is_after(&self, other: &Self) -> bool {
        match (&self.boot, &other.boot) {
            (Some(own), Some(others)) if own.boot == others.boot => own.millis > others.millis,
            _ => self.ends > other.ends,
        }
    }

    /// How long it still runs; `None` once it has ended.
    pub fn remaining(&self, clock: &dyn Clock) -> Option<Duration> {
        let left = match (&self.boot, clock.boot()) {
            (Some(end), Some(now)) if end.boot == now.boot => {
                Duration::from_millis(end.millis.saturating_sub(now.millis))
            }
            _ => self.ends.since(clock.now()),
        };
        (!left.is_zero()).then_some(left)
    }

    /// Whether it ended at least `grace` ago.
    pub fn over(&self, grace: Duration, clock: &dyn Clock) -> bool {
        match (&self.boot, clock.boot()) {
            (Some(end), Some(now)) if end.boot == now.boot => {
                Duration::from_millis(now.millis.saturating_sub(end.millis)) >= grace && now.millis >= end.millis
            }
            _ => clock.now() >= self.ends.plus(grace),
        }
    }
}

/// Monotonic time of the runtime.
#[expect(
    clippy::disallowed_methods,
    reason = "a simulation pauses the runtime's time, so this is injected as well"
)]
pub(crate) fn monotonic_now() -> tokio::time::Instant {
    tokio::time::Instant::now()
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use super::*;

    #[derive(Debug)]
    struct Fake(Mutex<(i64, Option<BootMoment>)>);

    impl Clock for Fake {
        fn now(&self) -> Time {
            Time::from_unix_millis(self.0.lock().unwrap().0)
        }
        fn boot(&self) -> Option<BootMoment> {
            self.0.lock().unwrap().1.clone()
        }
    }

    #[test]
    fn a_wall_clock_that_jumps_ends_no_lease() {
        let boot = |millis| {
            Some(BootMoment {
                boot: "a".into(),
                millis,
            })
        };
        let clock = Fake(Mutex::new((1_000_000, boot(5_000))));
        let lease = Lease::of(Duration::from_secs(10), &clock);
        *clock.0.lock().unwrap() = (1_000_000 + 86_400_000, boot(6_000));
        assert_eq!(lease.remaining(&clock), Some(Duration::from_secs(9)));
        assert!(!lease.over(Duration::ZERO, &clock));
        *clock.0.lock().unwrap() = (1_000_000 - 86_400_000, boot(15_000));
        assert_eq!(lease.remaining(&clock), None);
        assert!(lease.over(Duration::ZERO, &clock));
        assert!(!lease.over(Duration::from_secs(1), &clock));
    }

    #[test]
    fn after_a_reboot_the_wall_clock_decides() {
        let clock = Fake(Mutex::new((
            0,
            Some(BootMoment {
                boot: "a".into(),
                millis: 5_000,
            }),
        )));
        let lease = Lease::of(Duration::from_secs(10), &clock);
        *clock.0.lock().unwrap() = (
            9_000,
            Some(BootMoment {
                boot: "b".into(),
                millis: 1,
            }),
        );
        assert_eq!(lease.remaining(&clock), Some(Duration::from_secs(1)));
        *clock.0.lock().unwrap() = (
            10_000,
            Some(BootMoment {
                boot: "b".into(),
                millis: 1,
            }),
        );
        assert!(lease.over(Duration::ZERO, &clock));
    }
}
