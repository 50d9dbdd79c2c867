//! Machines that end by themselves are told when their environment is wanted longer.

use std::convert::Infallible;

use encamp_core::{Class, Error, Renew, Report, Result, Target, Time, Verb};
use futures_util::future::try_join_all;
use serde::Serialize;

use crate::journal::{Answer, IntentRow, IntentState, Op, Refusal};
use crate::session::{Change, Session};

/// What came of telling one machine.
#[derive(Debug, Clone, Serialize)]
#[non_exhaustive]
pub struct Renewal {
    /// Its name.
    pub machine: String,
    /// Why it still ends when it would have ended.
    pub error: Option<Error>,
}

/// The machines that are there and would end by themselves before `ends`.
pub(crate) fn due(rows: &[IntentRow], ends: Time) -> impl Iterator<Item = &IntentRow> {
    let is_there =
        |row: &&IntentRow| row.class == Class::Machine && matches!(row.state, IntentState::Seen | IntentState::Ready);
    let would_end = move |row: &&IntentRow| row.expires.is_some_and(|expires| expires < ends);
    rows.iter().filter(is_there).filter(would_end)
}

/// Tells every machine that would end by itself before `ends`. What is told is recorded once its provider has confirmed
/// it, so that whoever comes after a crash tells the others. The outer error is the journal's, or that the tenure is
/// lost.
pub(crate) async fn renew(session: &Session, ends: Time) -> Result<Vec<Renewal>> {
    // Two parts of a command may come to it at once.
    let _alone = session.renewing.lock().await;
    let rows = session.camp.journal.intents(&session.row.id).await?;
    let told = try_join_all(due(&rows, ends).map(|row| tell(session, row, ends))).await?;
    Ok(told.into_iter().flatten().collect())
}

/// Tells one machine; nothing where it is going by now.
async fn tell(session: &Session, row: &IntentRow, ends: Time) -> Result<Option<Renewal>> {
    let camp = &session.camp;
    let told = |error: Option<Error>| {
        Some(Renewal {
            machine: row.object.clone(),
            error: error.map(|error| {
                error
                    .at(Verb::Renew)
                    .of_provider(&row.instance)
                    .of_machine(&row.object)
                    .of_environment(&session.row.name)
            }),
        })
    };
    let provider = match camp.provider_of(row).await {
        Ok(provider) if !provider.capabilities().offers(Verb::Renew) => {
            return Ok(told(Some(Error::unsupported(Verb::Renew))));
        }
        Ok(provider) => provider,
        Err(error) => return Ok(told(Some(error))),
    };
    let _turn = session.turn(&row.instance, &*provider).await;
    let (epoch, intent) = (session.epoch.clone(), row.reference());
    let touch = Op::Touch {
        epoch: epoch.clone(),
        intent: intent.clone(),
        stopped: None,
    };
    // Not through `record`, for which every refusal ends the executor: this very command may have begun to destroy it.
    match camp.commit(touch).await? {
        Answer::Refused(Refusal::State(_)) => return Ok(None),
        Answer::Refused(refusal) => return Err(session.refused(&refusal, "touch", &row.object)),
        Answer::Done | Answer::Taken(..) => {}
    }
    let change = Change {
        verb: Verb::Renew,
        object: row.object.clone(),
        key: row.key().clone(),
    };
    let target = Target::new(row.stamp.clone(), row.site.clone(), row.id.clone());
    let answer = session
        .send(change, camp.policy.check, None, |cx, ticket| async move {
            provider.renew(&cx, &ticket, Renew::new(target, ends)).await
        })
        .await?;
    if let Err(error) = answer {
        return Ok(told(Some(error)));
    }
    let renewed = Op::Renewed {
        epoch,
        intent,
        expires: ends,
    };
    // Refused where it is on its way out by now.
    camp.commit(renewed).await?;
    Ok(told(None))
}

/// Tells machines of each longer lease that other commands commit while this one holds the environment; also those that
/// are made afterwards by what was planned before.
pub(crate) async fn follow(session: &Session) -> Infallible {
    loop {
        tokio::time::sleep(session.camp.policy.watch).await;
        let Ok(Some(now)) = session.camp.journal.environment(&session.row.id).await else {
            continue;
        };
        if now.lease.ends <= session.row.lease.ends {
            continue;
        }
        match renew(session, now.lease.ends).await {
            Ok(told) => {
                if let Some(error) = told.into_iter().find_map(|told| told.error) {
                    tracing::warn!(error = %Report(&error), "not renewed yet");
                }
            }
            Err(error) => tracing::debug!(error = %Report(&error), "not renewed"),
        }
    }
}
