//! What a changing command does for others first: runs whose process has died and leases that have ended.

use std::sync::Arc;

use encamp_core::{Report, Result};

use super::down::end;
use crate::camp::Camp;
use crate::clock::monotonic_now as now;
use crate::events::Events;
use crate::journal::{EnvironmentRow, Purpose, Wanted};

/// Disposes of what is due for a short while, and says what it had to leave.
pub(crate) async fn tidy(camp: &Arc<Camp>, events: &Events) -> Result<()> {
    forget_secrets(camp).await?;
    let due = due(camp).await?;
    if due.is_empty() {
        return Ok(());
    }
    let until = now() + camp.policy.tidy;
    let mut left = Vec::new();
    for (row, why) in due {
        if why == LEASE_ENDED && !camp.expire(&row).await? {
            continue;
        }
        let patience = until.saturating_duration_since(now());
        let ended = tokio::time::timeout(patience, end(camp, &row, "tidy", Events::none())).await;
        match ended {
            Ok(Ok(disposal)) if disposal.is_clean() => events.note(format!("disposed of {}: {why}", row.name)).await,
            _ => left.push(row.name),
        }
    }
    if !left.is_empty() {
        events
            .note(format!(
                "due, and still to be disposed of: {}; encamp gc",
                left.join(", ")
            ))
            .await;
    }
    Ok(())
}

/// Removes the secrets of environments that no living row speaks of: their disposal was not finished here.
pub(crate) async fn forget_secrets(camp: &Camp) -> Result<()> {
    // What lies there first, the store second: whoever puts a file has written its environment down before.
    let there = camp.secret_folder.environments().unwrap_or_else(|error| {
        tracing::warn!(error = %Report(&error), "the folder of secrets cannot be read");
        Vec::new()
    });
    for id in there {
        let row = camp.journal.environment(&id).await?;
        if row.is_some_and(|row| row.disposed.is_none()) {
            continue;
        }
        if let Err(error) = camp.secret_folder.forget(&id) {
            tracing::warn!(environment = %id, error = %Report(&error), "secrets are still in memory");
        }
    }
    Ok(())
}

const LEASE_ENDED: &str = "its lease has ended";

/// Environments that nobody holds and nobody wants, and why.
async fn due(camp: &Camp) -> Result<Vec<(EnvironmentRow, &'static str)>> {
    let mut due = Vec::new();
    for row in camp
        .journal
        .environments()
        .await?
        .into_iter()
        .filter(|row| row.disposed.is_none())
    {
        let why = if row.purpose == Purpose::Run && !row.keep {
            "its process has died"
        } else if row.lease.over(camp.policy.grace, &*camp.clock) {
            LEASE_ENDED
        } else if row.wanted == Wanted::Gone {
            "its disposal was not finished"
        } else {
            continue;
        };
        if camp.locks.try_hold(&row.id)?.is_some() {
            due.push((row, why));
        }
    }
    Ok(due)
}
