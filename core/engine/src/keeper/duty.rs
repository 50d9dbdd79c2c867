//! What a keeper has to do now: a pure function of what is recorded and who is alive.

use crate::clock::Clock;
use crate::journal::{EnvironmentRow, Purpose, Wanted};
use crate::policy::Policy;

/// What is to be done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Duty {
    /// Nothing, for the moment.
    Rest,
    /// The environment is gone.
    Leave,
    /// A command died; what it sent is to be settled.
    Settle,
    /// It is to be disposed of.
    Dispose(&'static str),
}

/// Who holds the environment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Holder {
    /// Nobody, or whoever held it gave it back.
    Nobody,
    /// A command at work.
    Alive,
    /// A command that died.
    Dead,
}

/// What follows.
pub(super) fn duty(row: Option<&EnvironmentRow>, holder: Holder, clock: &dyn Clock, policy: &Policy) -> Duty {
    let Some(row) = row.filter(|row| row.disposed.is_none()) else {
        return Duty::Leave;
    };
    match holder {
        // A command ends its own environment, and has the grace for it.
        _ if row.lease.over(policy.grace, clock) => Duty::Dispose("its lease has ended"),
        Holder::Alive => Duty::Rest,
        _ if row.wanted == Wanted::Gone => Duty::Dispose("its disposal was not finished"),
        Holder::Dead if row.purpose == Purpose::Run && !row.keep => Duty::Dispose("its command has died"),
        Holder::Dead => Duty::Settle,
        Holder::Nobody => Duty::Rest,
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicI64, Ordering};
    use std::time::Duration;

    use encamp_core::{EnvId, Time};

    use super::*;
    use crate::clock::{BootMoment, Lease};

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
            id: EnvId::new("0123456789").unwrap(),
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
            numbers: encamp_file::text::Numbers::new(),
            given: encamp_file::spec::Given::default(),
            took: Vec::new(),
            recovered: false,
        }
    }

    #[test]
    fn what_a_dead_command_left_is_ended_or_settled() {
        let clock = At(AtomicI64::new(0));
        let policy = Policy::default();
        let ask = |row: &EnvironmentRow, holder| duty(Some(row), holder, &clock, &policy);
        let run = row(Purpose::Run, &clock);
        assert_eq!(ask(&run, Holder::Alive), Duty::Rest);
        assert_eq!(ask(&run, Holder::Dead), Duty::Dispose("its command has died"));
        let mut kept = run.clone();
        kept.keep = true;
        assert_eq!(ask(&kept, Holder::Dead), Duty::Settle);
        let mut up = row(Purpose::Up, &clock);
        assert_eq!(ask(&up, Holder::Nobody), Duty::Rest);
        assert_eq!(ask(&up, Holder::Dead), Duty::Settle);
        up.wanted = Wanted::Gone;
        assert_eq!(ask(&up, Holder::Alive), Duty::Rest);
        assert_eq!(ask(&up, Holder::Dead), Duty::Dispose("its disposal was not finished"));
        up.disposed = Some(clock.now());
        assert_eq!(ask(&up, Holder::Nobody), Duty::Leave);
        assert_eq!(duty(None, Holder::Nobody, &clock, &policy), Duty::Leave);
    }

    #[test]
    fn the_grace_passes_before_a_lease_ends_anything() {
        let clock = At(AtomicI64::new(0));
        let policy = Policy::default();
        let up = row(Purpose::Up, &clock);
        let last = 10_000 + i64::try_from(policy.grace.as_millis()).unwrap();
        clock.0.store(last - 1, Ordering::Relaxed);
        assert_eq!(duty(Some(&up), Holder::Nobody, &clock, &policy), Duty::Rest);
        clock.0.store(last, Ordering::Relaxed);
        assert_eq!(
            duty(Some(&up), Holder::Nobody, &clock, &policy),
            Duty::Dispose("its lease has ended")
        );
    }
}
