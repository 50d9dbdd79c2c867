//! What a changing command does for others first: runs whose process has died and leases that have ended.

use std::sync::Arc;

use encamp_core::{Report, Result};

use crate::camp::Camp;
use crate::clock::monotonic_now as now;
use crate::due::{self, Outcome};
use crate::events::Events;

/// Disposes of what is due for a short while, and says what it had to leave.
pub(crate) async fn tidy(camp: &Arc<Camp>, events: &Events) -> Result<()> {
    forget_secrets(camp).await?;
    let rows = camp.journal.environments().await?;
    let until = now() + camp.policy.tidy;
    let mut left = Vec::new();
    for row in rows {
        let unused = due::is_unused(&row, camp)?;
        if due::why(&row, unused, &*camp.clock, &camp.policy).is_none() {
            continue;
        }
        let patience = until.saturating_duration_since(now());
        let ending = due::end_if_due(camp, &row.id, "tidy", Events::none());
        match tokio::time::timeout(patience, ending).await {
            Ok(Ok(Outcome::Ended(why, disposal))) if disposal.is_clean() => {
                events.note(format!("disposed of {}: {why}", row.name)).await;
            }
            // A run at work is its own command's, and what a keeper ends is the keeper's.
            Ok(Ok(Outcome::Spared | Outcome::Held)) => {}
            _ => left.push(row.name.clone()),
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

/// Removes the secrets of environments that no living row speaks of, and the keys of those that are disposed of: their
/// disposal was not finished here.
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
    // A key without a row may be the only way into machines that a lost store knew: that one stays.
    let rows = camp.journal.environments().await?;
    for row in rows.iter().filter(|row| row.disposed.is_some()) {
        camp.forget_login(&row.id);
    }
    Ok(())
}
