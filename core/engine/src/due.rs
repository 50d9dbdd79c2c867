//! Environments that are to go although nobody types so: what a command tidies, a keeper waits for and `gc` sweeps.

use std::fmt;
use std::sync::Arc;

use encamp_core::{EnvId, ErrorKind, Result};

use crate::camp::Camp;
use crate::clock::Clock;
use crate::events::Events;
use crate::journal::{Answer, EnvironmentRow, Op, Purpose, Wanted};
use crate::policy::Policy;
use crate::report::Disposal;
use crate::verbs::down;

/// Why an environment is to go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Why {
    /// It was for a run, and the run's command has died.
    Abandoned,
    /// It was shared, and nobody uses it any more.
    Unused,
    /// Nobody wants it any longer than that.
    LeaseEnded,
    /// Somebody wanted it gone and did not finish.
    Unfinished,
}

impl fmt::Display for Why {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Abandoned => "its command has died",
            Self::Unused => "nobody uses it any more",
            Self::LeaseEnded => "its lease has ended",
            Self::Unfinished => "its disposal was not finished",
        })
    }
}

/// Whether an environment is shared, as far as that says how long it stays.
pub(crate) fn is_shared(row: &EnvironmentRow) -> bool {
    row.purpose == Purpose::Shared && !row.keep && row.disposed.is_none()
}

/// Whether nobody uses an environment any more that is shared.
pub(crate) fn is_unused(row: &EnvironmentRow, camp: &Camp) -> Result<bool> {
    Ok(is_shared(row) && camp.users.alone(&row.id, camp.clock.now())?.is_some())
}

/// Why an environment that nobody holds is to go, if it is. `unused` is for one that is shared.
pub(crate) fn why(row: &EnvironmentRow, unused: bool, clock: &dyn Clock, policy: &Policy) -> Option<Why> {
    if row.disposed.is_some() {
        None
    } else if unused {
        Some(Why::Unused)
    } else if row.purpose == Purpose::Run && !row.keep {
        Some(Why::Abandoned)
    } else if row.lease.over(policy.grace, clock) {
        Some(Why::LeaseEnded)
    } else {
        (row.wanted == Wanted::Gone).then_some(Why::Unfinished)
    }
}

/// What came of an environment that may have been due.
#[derive(Debug)]
pub(crate) enum Outcome {
    /// It is wanted, or gone by now.
    Spared,
    /// Somebody holds it.
    Held,
    /// It was due.
    Ended(Why, Disposal),
}

/// Ends an environment that is due, by what its row says once nobody else can hold it: whoever held it a moment ago may
/// have kept it.
pub(crate) async fn end_if_due(camp: &Arc<Camp>, id: &EnvId, verb: &str, events: Events) -> Result<Outcome> {
    let Some(held) = camp.locks.try_hold(id)? else {
        return Ok(Outcome::Held);
    };
    let Some(row) = camp.journal.environment(id).await? else {
        return Ok(Outcome::Spared);
    };
    // Until it is recorded as unwanted nobody can begin to use it.
    let alone = if is_shared(&row) {
        camp.users.alone(id, camp.clock.now())?
    } else {
        None
    };
    let Some(why) = why(&row, alone.is_some(), &*camp.clock, &camp.policy) else {
        return Ok(Outcome::Spared);
    };
    // The lease is extended by whoever likes, without the lock.
    let is_unwanted = match why {
        Why::LeaseEnded => camp.expire(&row).await?,
        Why::Abandoned | Why::Unused | Why::Unfinished => {
            camp.commit(Op::WantGone(row.id.clone())).await? == Answer::Done
        }
    };
    drop(alone);
    if !is_unwanted {
        return Ok(Outcome::Spared);
    }
    match camp.take(id, held, verb, events).await {
        Ok(session) => Ok(Outcome::Ended(why, down::dispose_of(session).await?)),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(Outcome::Spared),
        Err(error) => Err(error),
    }
}
