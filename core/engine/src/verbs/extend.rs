//! `extend`: an environment is wanted longer.

use std::sync::Arc;
use std::time::Duration;

use encamp_core::{Class, Error, ErrorKind, Result, Retry, Time, Verb, label};
use serde::Serialize;

use super::release::living;
use crate::camp::Camp;
use crate::clock::{Lease, monotonic_now as now};
use crate::events::Events;
use crate::execute::{Renewal, due, renew};
use crate::journal::{Answer, EnvironmentRow, IntentRow, Op, Refusal};

/// What came of it.
#[derive(Debug, Clone, Serialize)]
#[non_exhaustive]
pub struct Extended {
    /// The environment's name.
    pub environment: String,
    /// Its id.
    pub id: String,
    /// When its lease ended before.
    pub was: Time,
    /// When it ends now; as before where that is later than what was asked for.
    pub ends: Time,
    /// The machines that end by themselves and had to be told.
    pub machines: Vec<Renewal>,
    /// The end that stands on machines which nothing ends by itself, where that is an earlier one: it counts again if the
    /// store is lost.
    pub labelled: Option<Time>,
}

/// Lets an environment be wanted for at least `span` from now. Needs no tenure, so that a run can be extended while it
/// runs; its holder follows the new end.
pub(crate) async fn extend(camp: &Arc<Camp>, name: &str, span: Duration) -> Result<Extended> {
    let row = living(camp, name).await?;
    let op = Op::Extend {
        environment: row.id.clone(),
        lease: Lease::of(span, &*camp.clock),
    };
    if let Answer::Refused(refusal) = camp.commit(op).await? {
        return Err(refused(&row, &refusal));
    }
    let extended = camp.journal.environment(&row.id).await?;
    let ends = extended.map_or(row.lease.ends, |row| row.lease.ends);
    let machines = tell(camp, &row, ends).await?;
    let rows = camp.journal.intents(&row.id).await?;
    Ok(Extended {
        environment: row.name.clone(),
        id: row.id.to_string(),
        was: row.lease.ends,
        ends,
        machines,
        labelled: rows
            .iter()
            .filter_map(labelled)
            .min()
            .filter(|labelled| *labelled < ends),
    })
}

fn refused(row: &EnvironmentRow, refusal: &Refusal) -> Error {
    let error = match refusal {
        Refusal::Yield => Error::new(ErrorKind::Conflict, format!("`{}` is being taken down", row.name)),
        _ => Error::new(
            ErrorKind::NotFound,
            format!("`{}` has been disposed of meanwhile", row.name),
        ),
    };
    error.of_environment(&row.name).next_step("encamp ls")
}

/// What a machine that nothing ends by itself carries as its end.
fn labelled(row: &IntentRow) -> Option<Time> {
    let stays = row.class == Class::Machine && row.state.may_exist() && row.expires.is_none();
    let text = row.stamp.labels.get(label::EXPIRES).filter(|_| stays)?;
    Time::parse(text)
}

/// Tells machines that end by themselves: under a tenure of its own where nobody holds the environment, else whoever
/// holds it does so.
async fn tell(camp: &Arc<Camp>, row: &EnvironmentRow, ends: Time) -> Result<Vec<Renewal>> {
    let began = now();
    let mut told = Vec::new();
    loop {
        let rows = camp.journal.intents(&row.id).await?;
        let waiting: Vec<String> = due(&rows, ends).map(|row| row.object.clone()).collect();
        told.extend(
            waiting
                .iter()
                .filter(|name| !told.contains(*name))
                .cloned()
                .collect::<Vec<_>>(),
        );
        if waiting.is_empty() {
            return Ok(told
                .into_iter()
                .map(|machine| Renewal { machine, error: None })
                .collect());
        }
        if let Some(held) = camp.locks.try_hold(&row.id)? {
            let session = camp.take(&row.id, held, "extend", Events::none()).await?;
            let renewed = renew(&session, ends).await;
            session.release().await?;
            return renewed;
        }
        if began.elapsed() >= camp.policy.check {
            let busy = camp.busy(row).await;
            let not_yet = |machine: String| {
                let error = Error::new(ErrorKind::Unavailable, format!("{machine} has not been told: {busy}"))
                    .retry(Retry::Safe)
                    .at(Verb::Renew)
                    .of_machine(&machine)
                    .of_environment(&row.name)
                    .next_step("the same command again");
                Renewal {
                    machine,
                    error: Some(error),
                }
            };
            return Ok(waiting.into_iter().map(not_yet).collect());
        }
        tokio::time::sleep(camp.policy.pause.0).await;
    }
}
