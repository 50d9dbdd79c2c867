//! What a keeper has to do now: a pure function of what is recorded and who is alive.

use crate::clock::Clock;
use crate::due::{self, Why};
use crate::journal::EnvironmentRow;
use crate::policy::Policy;

/// What is to be done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Duty {
    /// Nothing, for the moment.
    Rest,
    /// The environment is gone.
    Leave,
    /// Whoever held it last may have left something on its way.
    Settle,
    /// It is to be disposed of.
    Dispose(Why),
}

/// Who holds the environment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Holder {
    /// Nobody, whether it was given back or its holder died.
    Nobody,
    /// A command at work.
    Alive,
}

/// What follows. `unused` is for an environment that is shared; `settled` is the epoch up to which nothing is on its way.
pub(super) fn duty(
    row: Option<&EnvironmentRow>,
    holder: Holder,
    unused: bool,
    settled: Option<u64>,
    clock: &dyn Clock,
    policy: &Policy,
) -> Duty {
    let Some(row) = row.filter(|row| row.disposed.is_none()) else {
        return Duty::Leave;
    };
    match holder {
        // A command ends its own environment, and has the grace for it.
        Holder::Alive if row.lease.over(policy.grace, clock) => Duty::Dispose(Why::LeaseEnded),
        Holder::Alive => Duty::Rest,
        Holder::Nobody => match due::why(row, unused, clock, policy) {
            Some(why) => Duty::Dispose(why),
            // Who takes it raises the epoch.
            None if settled != Some(row.epoch) => Duty::Settle,
            None => Duty::Rest,
        },
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicI64, Ordering};
    use std::time::Duration;

    use encamp_core::{EnvId, Time};
    use encamp_file::spec::Given;
    use encamp_file::text::Numbers;

    use super::*;
    use crate::clock::{BootMoment, Lease};
    use crate::journal::{Purpose, Wanted};

    #[derive(Debug)]
    struct At(AtomicI64);

    impl Clock for At {
        fn now(&self) -> Time {
            Time::from_unix_millis(self.0.load(Ordering::Relaxed))
        }
        fn boot(&self) -> Option<BootMoment> {
            None
        }
    }

    fn row(purpose: Purpose, clock: &At) -> EnvironmentRow {
        EnvironmentRow {
            id: EnvId::new("0123456789").expect("an id"),
            name: "shop".into(),
            purpose,
            file: None,
            wanted: Wanted::Present,
            keep: false,
            created: clock.now(),
            lease: Lease::of(Duration::from_secs(10), clock),
            epoch: 1,
            holder: None,
            disposed: None,
            by: "anna".into(),
            outputs: std::collections::BTreeMap::new(),
            machines: 1,
            numbers: Numbers::new(),
            recovered: false,
            given: Given::default(),
            took: Vec::new(),
        }
    }

    #[test]
    fn what_a_dead_command_left_is_ended_or_settled() {
        let clock = At(AtomicI64::new(0));
        let policy = Policy::default();
        let ask = |row: &EnvironmentRow, holder, settled| duty(Some(row), holder, false, settled, &clock, &policy);
        let run = row(Purpose::Run, &clock);
        assert_eq!(ask(&run, Holder::Alive, None), Duty::Rest);
        // Also where somebody else has held it since its command died.
        assert_eq!(ask(&run, Holder::Nobody, Some(1)), Duty::Dispose(Why::Abandoned));
        let mut kept = run.clone();
        kept.keep = true;
        assert_eq!(ask(&kept, Holder::Nobody, None), Duty::Settle);
        let mut up = row(Purpose::Up, &clock);
        assert_eq!(ask(&up, Holder::Nobody, Some(0)), Duty::Settle);
        assert_eq!(ask(&up, Holder::Nobody, Some(1)), Duty::Rest);
        up.wanted = Wanted::Gone;
        assert_eq!(ask(&up, Holder::Alive, None), Duty::Rest);
        assert_eq!(ask(&up, Holder::Nobody, Some(1)), Duty::Dispose(Why::Unfinished));
        up.disposed = Some(clock.now());
        assert_eq!(ask(&up, Holder::Nobody, None), Duty::Leave);
        assert_eq!(duty(None, Holder::Nobody, false, None, &clock, &policy), Duty::Leave);
    }

    #[test]
    fn the_grace_passes_before_a_lease_ends_anything() {
        let clock = At(AtomicI64::new(0));
        let policy = Policy::default();
        let up = row(Purpose::Up, &clock);
        let ask = |holder| duty(Some(&up), holder, false, Some(1), &clock, &policy);
        let last = 10_000 + i64::try_from(policy.grace.as_millis()).expect("a minute");
        clock.0.store(last - 1, Ordering::Relaxed);
        assert_eq!(ask(Holder::Nobody), Duty::Rest);
        assert_eq!(ask(Holder::Alive), Duty::Rest);
        clock.0.store(last, Ordering::Relaxed);
        assert_eq!(ask(Holder::Nobody), Duty::Dispose(Why::LeaseEnded));
        assert_eq!(ask(Holder::Alive), Duty::Dispose(Why::LeaseEnded));
    }
}
