//! What a dead command left on its way, in an environment that stays.

use std::time::Duration;

use encamp_core::{Class, Error, Provider, Result};

use crate::clock::monotonic_now as now;
use crate::execute::{Reached, lower_one};
use crate::journal::{IntentRow, IntentState, Op};
use crate::session::Session;
use crate::settle::{Settled, settle};

/// Whether there is something that nobody knows the outcome of, or that was to go.
pub(crate) fn is_open(rows: &[IntentRow]) -> bool {
    let open = |row: &IntentRow| match row.state {
        IntentState::Planned | IntentState::Sent | IntentState::Unknown | IntentState::Dying => true,
        IntentState::Seen | IntentState::Ready | IntentState::Gone => false,
    };
    rows.iter().any(open)
}

/// Finds out what became of what was sent, and ends what was to go; asks for `patience` where that is not known yet. The
/// inner error is the first that a provider answered; whatever else could be settled is. An outer one is the journal's.
pub(crate) async fn settle_open(session: &Session, patience: Duration) -> Result<Result<()>> {
    let began = now();
    let reached = Reached::new();
    let mut rows = session.camp.journal.intents(&session.row.id).await?;
    // What machines share can go only after them.
    rows.sort_by_key(|row| row.class == Class::Scope);
    let mut first = Ok(());
    for row in rows {
        let settled = match row.state {
            // Nothing has been sent.
            IntentState::Planned => bury(session, &row, "never sent").await.map(Ok)?,
            IntentState::Sent | IntentState::Unknown => settle_one(session, row, began, patience).await?,
            IntentState::Dying => match lower_one(session, &reached, row, began).await?.failure {
                Some(error) => Err(error),
                None => Ok(()),
            },
            IntentState::Seen | IntentState::Ready | IntentState::Gone => Ok(()),
        };
        first = first.and(settled);
    }
    Ok(first)
}

async fn bury(session: &Session, row: &IntentRow, evidence: &str) -> Result<()> {
    let (epoch, intent) = (session.epoch.clone(), row.reference());
    let evidence = evidence.to_owned();
    session
        .record(Op::Bury {
            epoch,
            intent,
            evidence,
        })
        .await
}

async fn settle_one(
    session: &Session,
    mut row: IntentRow,
    began: tokio::time::Instant,
    patience: Duration,
) -> Result<Result<()>> {
    let provider = match session.camp.provider_of(&row).await {
        Ok(provider) => provider,
        Err(error) => return Ok(Err(error)),
    };
    let (epoch, intent) = (session.epoch.clone(), row.reference());
    session.record(Op::Lose { epoch, intent }).await?;
    row.state = IntentState::Unknown;
    let mut pause = session.camp.policy.pause.0;
    loop {
        match once(session, &*provider, &row).await? {
            Ok(()) => return Ok(Ok(())),
            Err(error) if began.elapsed() + pause > patience => return Ok(Err(error)),
            Err(_) => tokio::time::sleep(pause).await,
        }
        pause = (pause * 2).min(session.camp.policy.pause.1);
    }
}

/// Asks once, and records what is known then.
async fn once(session: &Session, provider: &dyn Provider, row: &IntentRow) -> Result<Result<(), Error>> {
    let (epoch, intent) = (session.epoch.clone(), row.reference());
    match settle(session, provider, row).await? {
        Settled::Present(opened) => {
            let (id, data) = (opened.id, opened.data);
            session
                .record(Op::See {
                    epoch,
                    intent,
                    id,
                    data,
                })
                .await?;
        }
        Settled::Absent => bury(session, row, "a complete listing does not show it").await?,
        Settled::NotYet(error) => return Ok(Err(error)),
    }
    Ok(Ok(()))
}
