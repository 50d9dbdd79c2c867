//! `down` of some machines: they go early, and the rest of their environment stays.

use std::collections::BTreeSet;
use std::sync::Arc;

use encamp_core::{Class, Error, ErrorKind, Result};
use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;

use crate::camp::Camp;
use crate::clock::monotonic_now as now;
use crate::events::Events;
use crate::execute::{lower_one, what_is_left};
use crate::journal::{EnvironmentRow, IntentRow, IntentState};
use crate::machine::State;
use crate::report::{Disposal, Left};
use crate::session::{Once, Session};

/// Takes some machines of an environment down, and what is theirs alone. The next `up` makes them again.
pub(crate) async fn release(
    camp: &Arc<Camp>,
    name: &str,
    machines: &BTreeSet<String>,
    events: Events,
) -> Result<Disposal> {
    let row = living(camp, name).await?;
    check(camp, &row, machines).await?;
    let session = camp.hold(&row, "down", events).await?;
    let secrets = Arc::clone(&session.secrets);
    let redactor = secrets.redactor();
    let lowered = lower(&session, machines).await;
    session.release().await?;
    let mut disposal = redactor.guard(lowered)?;
    disposal.redact(redactor);
    Ok(disposal)
}

/// The living environment of that name.
pub(crate) async fn living(camp: &Camp, name: &str) -> Result<EnvironmentRow> {
    camp.find(name).await?.ok_or_else(|| {
        Error::new(ErrorKind::NotFound, format!("no environment is called `{name}`")).next_step("encamp ls")
    })
}

/// Refuses a name that no machine has, before anything is touched.
pub(crate) async fn check(camp: &Camp, row: &EnvironmentRow, machines: &BTreeSet<String>) -> Result<Vec<IntentRow>> {
    let rows = of(camp.journal.intents(&row.id).await?, machines);
    let unknown = machines
        .iter()
        .find(|name| !rows.iter().any(|row| row.object == **name));
    match unknown {
        Some(name) => Err(Error::new(
            ErrorKind::NotFound,
            format!("`{}` has no machine called `{name}`", row.name),
        )
        .of_environment(&row.name)
        .next_step(format!("encamp show -e {}", row.name))),
        None => Ok(rows),
    }
}

/// The rows of those machines that may be there.
fn of(rows: Vec<IntentRow>, machines: &BTreeSet<String>) -> Vec<IntentRow> {
    let wanted = |row: &IntentRow| {
        row.class == Class::Machine && row.state != IntentState::Gone && machines.contains(&row.object)
    };
    rows.into_iter().filter(wanted).collect()
}

async fn lower(session: &Session, machines: &BTreeSet<String>) -> Result<Disposal> {
    let began = now();
    let rows = session.camp.journal.intents(&session.row.id).await?;
    let items: Vec<IntentRow> = rows
        .iter()
        .filter(|row| row.class == Class::Scope && row.state != IntentState::Gone)
        .filter(|row| owner(&row.object).is_some_and(|owner| machines.contains(owner)))
        .cloned()
        .collect();
    let mut left = Vec::new();
    let machines = lower_all(session, of(rows, machines), began, &mut left).await?;
    // A volume is in use as long as its machine is there.
    let items = if left.is_empty() {
        lower_all(session, items, began, &mut left).await?
    } else {
        0
    };
    Ok(Disposal {
        environment: session.row.name.clone(),
        machines,
        items,
        left,
        millis: u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX),
    })
}

/// The member whose own a scope item is: `docker/vol-data/web-0`.
fn owner(object: &str) -> Option<&str> {
    object.splitn(3, '/').nth(2)
}

async fn lower_all(
    session: &Session,
    rows: Vec<IntentRow>,
    began: tokio::time::Instant,
    left: &mut Vec<Left>,
) -> Result<usize> {
    let reached = Once::new();
    let mut lives: FuturesUnordered<_> = rows
        .into_iter()
        .map(|row| Box::pin(lower_one(session, &reached, row, began)))
        .collect();
    let mut gone = 0;
    while let Some(lived) = lives.next().await {
        let lived = lived?;
        if lived.state == State::Gone {
            gone += 1;
        } else {
            left.push(what_is_left(&lived.row, lived.failure.as_ref()));
        }
    }
    Ok(gone)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_one_machine_uses_is_its_own() {
        assert_eq!(owner("docker/vol-data/web-0"), Some("web-0"));
        assert_eq!(owner("docker/vol-data"), None);
        assert_eq!(owner("docker/net"), None);
    }
}
