//! Takes an environment down: settles what is unknown, destroys, closes, and believes only complete listings.

use std::collections::BTreeSet;
use std::sync::Arc;

use encamp_core::{
    Class, Error, ErrorKind, Found, InstanceName, List, Provider, Report, Result, Site, Target, Ticket, Verb,
};
use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use tokio::time::Instant;

use super::life::{Goal, Life, Lived};
use super::places::give_back_left;
use crate::clock::monotonic_now as now;
use crate::events::Event;
use crate::journal::{IntentRow, IntentState, Op};
use crate::machine::State;
use crate::report::{Disposal, Left};
use crate::session::{Change, Once, Session};
use crate::settle;

/// A provider for each site, connected once; a failure counts for all objects there.
pub(crate) type Reached = Once<(Site, InstanceName), Arc<dyn Provider>>;

/// Takes everything of the session's environment down. What could not be disposed of is in the answer, and the
/// environment stays recorded then. An error means that the journal refused or is broken.
pub(crate) async fn dispose(session: &Session) -> Result<Disposal> {
    let began = now();
    session
        .events
        .tell(Event::Disposing {
            environment: session.row.name.clone(),
        })
        .await;
    let reached = Reached::new();
    let rows = session.camp.journal.intents(&session.row.id).await?;
    let sites: BTreeSet<(Site, InstanceName)> = rows
        .iter()
        .filter(|row| row.last_sent.is_some())
        .map(|row| (row.site.clone(), row.instance.clone()))
        .collect();
    let (machines, items): (Vec<_>, Vec<_>) = rows
        .into_iter()
        .filter(|row| row.state != IntentState::Gone)
        .partition(|row| row.class == Class::Machine);

    let mut left = Vec::new();
    let machines = lower(session, &reached, machines, began, &mut left).await?;
    // Networks and volumes are in use as long as a machine is there.
    let items = lower(session, &reached, items, began, &mut left).await?;
    for (site, instance) in sites {
        confirm(session, &reached, &site, &instance, began, &mut left).await?;
    }
    give_back_left(session, &reached).await;
    if left.is_empty() {
        session.record(Op::Dispose(session.epoch.clone())).await?;
    }
    let millis = u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX);
    let disposal = Disposal {
        environment: session.row.name.clone(),
        machines,
        items,
        left,
        millis,
    };
    session.events.tell(Event::Disposed(disposal.clone())).await;
    Ok(disposal)
}

/// Brings all `rows` down at the same time; the provider's limit layer bounds how many.
async fn lower(
    session: &Session,
    reached: &Reached,
    rows: Vec<IntentRow>,
    began: Instant,
    left: &mut Vec<Left>,
) -> Result<usize> {
    let mut lives: FuturesUnordered<_> = rows
        .into_iter()
        .map(|row| Box::pin(lower_one(session, reached, row, began)))
        .collect();
    let mut gone = 0;
    while let Some(lived) = lives.next().await {
        match lived? {
            Lived { state: State::Gone, .. } => gone += 1,
            Lived { row, failure, .. } => left.push(what_is_left(&row, failure.as_ref())),
        }
    }
    Ok(gone)
}

/// Brings one object down, within the patience that began to run at `began`.
pub(crate) async fn lower_one(session: &Session, reached: &Reached, row: IntentRow, began: Instant) -> Result<Lived> {
    // What was never sent needs no provider to be gone.
    if row.state == IntentState::Planned {
        let (epoch, intent) = (session.epoch.clone(), row.reference());
        session
            .record(Op::Bury {
                epoch,
                intent,
                evidence: "never sent".into(),
            })
            .await?;
        return Ok(Lived {
            state: State::Gone,
            row,
            failure: None,
        });
    }
    let camp = &session.camp;
    let provider = reached
        .get((row.site.clone(), row.instance.clone()), || {
            camp.provider_at(&row.site, &row.instance)
        })
        .await;
    match provider {
        Ok(provider) => {
            Life::since(began, session, provider, None, row, Goal::Down)
                .live()
                .await
        }
        Err(error) => {
            // The destroyer's claim is durable even where its provider is out of reach.
            let (epoch, intent) = (session.epoch.clone(), row.reference());
            session.record(Op::Doom { epoch, intent }).await?;
            Ok(Lived {
                state: State::recorded(&row),
                row,
                failure: Some(error),
            })
        }
    }
}

pub(crate) fn what_is_left(row: &IntentRow, failure: Option<&Error>) -> Left {
    Left {
        object: row.object.clone(),
        instance: Some(row.instance.clone()),
        key: row.key().to_string(),
        why: failure.map_or_else(
            || "it is still on its way".to_owned(),
            |error| Report(error).to_string(),
        ),
        help: failure.and_then(Error::hint).map(str::to_owned),
    }
}

/// Lists one site until nothing of the environment is there, and destroys what is: a late machine, or one that came back.
async fn confirm(
    session: &Session,
    reached: &Reached,
    site: &Site,
    instance: &InstanceName,
    began: Instant,
    left: &mut Vec<Left>,
) -> Result<()> {
    let camp = &session.camp;
    let unlisted = |error: &Error| Left {
        object: "listing".into(),
        instance: Some(instance.clone()),
        key: site.to_string(),
        why: Report(error).to_string(),
        help: error.hint().map(str::to_owned),
    };
    let provider = match reached
        .get((site.clone(), instance.clone()), || camp.provider_at(site, instance))
        .await
    {
        Ok(provider) => provider,
        Err(error) => {
            // Objects there have told it already.
            if !left.iter().any(|left| left.instance.as_ref() == Some(instance)) {
                left.push(unlisted(&error));
            }
            return Ok(());
        }
    };
    let known: BTreeSet<String> = left.iter().map(|left| left.key.clone()).collect();
    let mut pause = camp.policy.pause.0;
    loop {
        let list = List::new(camp.controller.prefix())
            .of(session.row.id.clone())
            .at(site.clone());
        let problem = match provider.list(&camp.read_cx(), list).await {
            Ok(listing) => {
                let keeps = provider.capabilities().keeps;
                let ours: Vec<&Found> = listing
                    .found
                    .iter()
                    .filter(|found| found.class != Class::Image && !known.contains(&found.key))
                    .filter(|found| settle::is_of_environment(session, found, keeps))
                    .collect();
                if ours.is_empty() && listing.covers(site) {
                    return Ok(());
                }
                // Machines first: what they share cannot go before them.
                let (machines, items): (Vec<&Found>, Vec<&Found>) =
                    ours.iter().partition(|found| found.class == Class::Machine);
                for found in if machines.is_empty() { items } else { machines } {
                    destroy_found(session, &*provider, found).await?;
                }
                Error::new(
                    ErrorKind::Unavailable,
                    match ours.first() {
                        Some(found) => format!("a listing still shows {}", found.key),
                        None => format!("{site} could not be listed completely"),
                    },
                )
            }
            Err(error) => error,
        };
        if began.elapsed() + pause > camp.policy.down {
            left.push(unlisted(&problem));
            return Ok(());
        }
        tokio::time::sleep(pause).await;
        pause = (pause * 2).min(camp.policy.pause.1);
    }
}

/// Destroys something that proves to be of this environment. The intent to is committed: the environment goes, and its
/// rows are tombstones.
pub(crate) async fn destroy_found(session: &Session, provider: &dyn Provider, found: &Found) -> Result<()> {
    let stamp = encamp_core::Stamp::new(
        encamp_core::Key::new(found.key.clone()),
        encamp_core::Token::new(found.token.clone().unwrap_or_default()),
        found.labels.clone(),
    );
    let target = Target::new(stamp.clone(), found.site.clone(), Some(found.id.clone()));
    let verb = if found.class == Class::Scope {
        Verb::CloseScope
    } else {
        Verb::Destroy
    };
    let change = Change {
        verb,
        object: stamp.object().to_owned(),
        key: stamp.key,
    };
    let answer = session
        .send(
            change,
            session.camp.policy.change,
            None,
            |cx, ticket: Ticket| async move {
                match verb {
                    Verb::CloseScope => provider.close_scope(&cx, &ticket, target).await,
                    _ => provider.destroy(&cx, &ticket, target).await,
                }
            },
        )
        .await?;
    if let Err(error) = answer {
        tracing::debug!(key = found.key, error = %Report(&error), "a late object could not be destroyed yet");
    }
    Ok(())
}
