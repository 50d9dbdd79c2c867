//! What a changing command does for others first: runs whose process has died are disposed of.

use std::sync::Arc;

use encamp_core::Result;

use super::down::end;
use crate::camp::Camp;
use crate::clock::monotonic_now as now;
use crate::events::Events;
use crate::journal::{EnvironmentRow, Purpose, Wanted};

/// Disposes of dead runs for a short while, and says what it had to leave.
pub(crate) async fn dead_runs(camp: &Arc<Camp>, events: &Events) -> Result<()> {
    let dead = dead(camp).await?;
    if dead.is_empty() {
        return Ok(());
    }
    let until = now() + camp.policy.tidy;
    let mut left = Vec::new();
    for row in dead {
        let patience = until.saturating_duration_since(now());
        let ended = tokio::time::timeout(patience, end(camp, &row, "tidy", Events::none())).await;
        match ended {
            Ok(Ok(disposal)) if disposal.is_clean() => {
                events
                    .note(format!("disposed of {}, whose process has died", row.name))
                    .await;
            }
            _ => left.push(row.name),
        }
    }
    if !left.is_empty() {
        events
            .note(format!("left by dead runs: {}; encamp gc", left.join(", ")))
            .await;
    }
    Ok(())
}

/// Runs that nobody holds and nobody keeps.
async fn dead(camp: &Camp) -> Result<Vec<EnvironmentRow>> {
    let rows = camp.journal.environments().await?;
    let mut dead = Vec::new();
    for row in rows {
        let unwanted =
            row.disposed.is_none() && row.purpose == Purpose::Run && (!row.keep || row.wanted == Wanted::Gone);
        if unwanted && camp.locks.try_hold(&row.id)?.is_some() {
            dead.push(row);
        }
    }
    Ok(dead)
}
