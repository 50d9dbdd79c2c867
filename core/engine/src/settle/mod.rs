//! Finding out what became of a create whose answer was lost. Names no provider: the capability says how.

mod open;

use std::time::Duration;

use encamp_core::{
    Class, Create, Error, ErrorKind, List, OpenScope, Opened, Provider, Removal, Result, Retry, Settle, Verb,
};

use crate::identity::Verdict;
use crate::journal::{IntentRow, IntentState, Op};
use crate::secrets;
use crate::session::{Change, Session};

pub(crate) use open::{is_open, settle_open};

/// What became of it.
#[derive(Debug)]
pub(crate) enum Settled {
    /// It exists.
    Present(Opened),
    /// It does not, and will not.
    Absent,
    /// Nobody knows yet; look again.
    NotYet(Error),
}

/// How long settling may have to wait at least, after the request was sent.
pub(crate) fn bounds(settle: Settle) -> Duration {
    match settle {
        Settle::Replay { .. } => Duration::ZERO,
        Settle::Lookup {
            request_life,
            visibility,
        } => request_life + visibility,
    }
}

pub(crate) fn how(provider: &dyn Provider, class: Class) -> Settle {
    match class {
        Class::Scope => provider.capabilities().unknown_scope,
        Class::Machine | Class::Image => provider.capabilities().unknown_machine,
    }
}

/// Settles one create. An error ends the executor; what the provider says is in [`Settled`].
pub(crate) async fn settle(session: &Session, provider: &dyn Provider, row: &IntentRow) -> Result<Settled> {
    match how(provider, row.class) {
        Settle::Replay { token_life } if !row.request.is_empty() && !too_old(session, row, token_life) => {
            replay(session, provider, row).await
        }
        Settle::Replay { .. } => look_up(session, provider, row, Duration::ZERO).await,
        Settle::Lookup {
            request_life,
            visibility,
        } => look_up(session, provider, row, request_life + visibility).await,
    }
}

/// A token that the carrier may have forgotten is never replayed: it could make a second machine.
fn too_old(session: &Session, row: &IntentRow, token_life: Option<Duration>) -> bool {
    let Some(life) = token_life else { return false };
    let sent = row.last_sent.unwrap_or(row.updated);
    session.camp.clock.now().since(sent) > life.min(session.camp.policy.token_age)
}

/// Sends the frozen request again: it gives the same object, and no later one can come of it.
async fn replay(session: &Session, provider: &dyn Provider, row: &IntentRow) -> Result<Settled> {
    match resend(session, provider, row).await? {
        Ok(opened) => Ok(Settled::Present(opened)),
        Err(error) if error.retryable() != Retry::Never => Ok(Settled::NotYet(error)),
        // Refused now says nothing about the first time.
        Err(_) => look_up(session, provider, row, Duration::ZERO).await,
    }
}

/// R7, then the create or the opening as it is stored.
pub(crate) async fn resend(session: &Session, provider: &dyn Provider, row: &IntentRow) -> Result<Result<Opened>> {
    let _turn = session.turn(&row.instance, provider).await;
    let (epoch, intent) = (session.epoch.clone(), row.reference());
    session
        .record(match row.state {
            IntentState::Dying => Op::SendDestroy { epoch, intent },
            _ => Op::Send { epoch, intent },
        })
        .await?;
    send_create(session, provider, row).await
}

/// Sends the stored request; SENT, or DYING with its settling, is committed.
pub(crate) async fn send_create(session: &Session, provider: &dyn Provider, row: &IntentRow) -> Result<Result<Opened>> {
    let unreadable = |e| Error::new(ErrorKind::Internal, "a frozen request cannot be read").caused_by(e);
    let policy = &session.camp.policy;
    let change = |verb| Change {
        verb,
        object: row.object.clone(),
        key: row.key().clone(),
    };
    let lost = (row.state != IntentState::Dying).then(|| Op::Lose {
        epoch: session.epoch.clone(),
        intent: row.reference(),
    });
    match row.class {
        Class::Scope => {
            let request: OpenScope = serde_json::from_str(&row.request).map_err(unreadable)?;
            session
                .send(change(Verb::OpenScope), policy.change, lost, |cx, ticket| async move {
                    provider.open_scope(&cx, &ticket, request).await
                })
                .await
        }
        Class::Machine | Class::Image => {
            let request: Create = serde_json::from_str(&row.request).map_err(unreadable)?;
            let request = match secrets::fill_create(request, &session.secrets.values()) {
                Ok(request) => request,
                Err(error) => return Ok(Err(error)),
            };
            session
                .send(change(Verb::Create), policy.create, lost, |cx, ticket| async move {
                    let created = provider.create(&cx, &ticket, request).await?;
                    Ok(Opened::new(created.id, encamp_core::Value::Null))
                })
                .await
        }
    }
}

/// Absence counts only in a complete listing, and only once the request can take no effect and hide no more.
async fn look_up(session: &Session, provider: &dyn Provider, row: &IntentRow, bounds: Duration) -> Result<Settled> {
    let camp = &session.camp;
    // Taken before the listing: what the listing misses must have been visible by then.
    let asked = camp.clock.now();
    let list = List::new(camp.controller.prefix())
        .of(row.environment.clone())
        .at(row.site.clone());
    let listing = match provider.list(&camp.read_cx(), list).await {
        Ok(listing) => listing,
        Err(error) => return Ok(Settled::NotYet(error)),
    };
    if let Some(found) = listing.find(&row.site, &row.stamp, provider.capabilities().keeps) {
        // An item that is going on to be used is opened again, which adopts it and tells what it offers.
        if row.class == Class::Scope && row.state != IntentState::Dying {
            return Ok(match resend(session, provider, row).await? {
                Ok(opened) => Settled::Present(opened),
                Err(error) => Settled::NotYet(error),
            });
        }
        return Ok(Settled::Present(Opened::new(
            found.id.clone(),
            encamp_core::Value::Null,
        )));
    }
    if !listing.covers(&row.site) {
        return Ok(Settled::NotYet(Error::new(
            ErrorKind::Unavailable,
            format!("{} could not be listed completely", row.site),
        )));
    }
    let sent = row.last_sent.unwrap_or(row.updated);
    if asked < sent.plus(bounds) {
        return Ok(Settled::NotYet(Error::new(
            ErrorKind::Unavailable,
            "what was sent may still take effect",
        )));
    }
    Ok(Settled::Absent)
}

/// Whether something found is the object of `row`, or another one of ours in the same environment.
pub(crate) fn is_of_environment(session: &Session, found: &encamp_core::Found, keeps: encamp_core::Keeps) -> bool {
    match session.camp.controller.verify(found, keeps) {
        Verdict::Ours(object) => object.environment == session.row.id,
        Verdict::OursByKey(key) => key
            .as_str()
            .starts_with(&session.camp.controller.prefix().of_environment(&session.row.id)),
        Verdict::Foreign(_) => false,
    }
}

/// Maps what a destroying verb achieved to a fact.
pub(crate) fn removal(removal: Removal) -> crate::machine::Event {
    match removal {
        Removal::Gone => crate::machine::Event::Removed,
        Removal::Pending => crate::machine::Event::Removing,
    }
}
