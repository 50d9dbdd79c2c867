//! The end of a lease, for whoever holds the environment then.

use encamp_core::{Error, ErrorKind, Report, Time};

use crate::session::Session;

/// Completes when the lease has ended, which others may extend while it runs; says when that was. From then on nobody can.
pub(crate) async fn lease_ended(session: &Session) -> Time {
    let camp = &session.camp;
    let mut row = session.row.clone();
    loop {
        if let Some(left) = row.lease.remaining(&*camp.clock) {
            tokio::time::sleep(left).await;
        } else {
            match camp.expire(&row).await {
                Ok(true) => return row.lease.ends,
                Ok(false) => {}
                Err(error) => {
                    tracing::warn!(error = %Report(&error), "the end of its lease cannot be recorded yet");
                    tokio::time::sleep(camp.policy.watch).await;
                }
            }
        }
        if let Ok(Some(now)) = camp.journal.environment(&session.row.id).await {
            row = now;
        }
    }
}

pub(crate) fn overdue(session: &Session, ended: Time) -> Error {
    Error::new(
        ErrorKind::Cancelled,
        format!("its lease ended at {ended}, while it ran"),
    )
    .of_environment(&session.row.name)
    .next_step("a longer `ttl` in the file, or `encamp extend` while it runs")
}
