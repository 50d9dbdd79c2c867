//! The rules of the protocol, as transactions over rows.

use std::collections::BTreeSet;

use encamp_core::{Result, Time};
use encamp_file::text::Numbers;

use super::Tables;
use super::op::{Answer, Op, Refusal};
use super::rows::{EnvironmentRow, Epoch, IntentRef, IntentRow, IntentState, Took, Wanted};

/// Applies one operation. The caller commits where this gives anything but an error.
pub fn apply(tables: &mut dyn Tables, op: &Op, now: Time) -> Result<Answer> {
    match op {
        Op::Found(row) => found(tables, row),
        Op::Take { environment, holder } => {
            let Some(mut row) = tables.environment(environment)?.filter(|row| row.disposed.is_none()) else {
                return Ok(Answer::Refused(Refusal::NoEnvironment));
            };
            row.epoch += 1;
            row.holder = Some(holder.clone());
            tables.put_environment(&row)?;
            let epoch = Epoch {
                environment: environment.clone(),
                number: row.epoch,
            };
            Ok(Answer::Taken(epoch, Box::new(row)))
        }
        Op::Release(epoch) => under(tables, epoch, |row| row.holder = None),
        Op::WantGone(_) | Op::Expire { .. } | Op::Extend { .. } => wish(tables, op),
        Op::Keep(epoch) => under(tables, epoch, |row| row.keep = true),
        Op::Describe {
            epoch,
            outputs,
            machines,
            file,
            given,
            took,
        } => under(tables, epoch, |row| {
            row.outputs.clone_from(outputs);
            row.machines = *machines;
            row.file.clone_from(file);
            row.given.clone_from(given);
            row.took.extend(*took);
            row.took.drain(..row.took.len().saturating_sub(Took::KEPT));
        }),
        Op::Allot { epoch, numbers } => allot(tables, epoch, numbers),
        Op::Dispose(epoch) => under(tables, epoch, |row| {
            row.disposed = Some(now);
            row.holder = None;
        }),
        Op::Site(row) => {
            let first_used = tables.site(&row.site)?.map_or(row.first_used, |known| known.first_used);
            let mut row = row.as_ref().clone();
            row.first_used = first_used;
            tables.put_site(&row)?;
            Ok(Answer::Done)
        }
        Op::Plan { epoch, row } => plan(tables, epoch, row),
        Op::Recover { environment, row } => {
            match tables.environment(&environment.id)? {
                None => tables.put_environment(environment)?,
                // What was found says different ends: the labels of some are older.
                Some(mut known)
                    if known.recovered && known.disposed.is_none() && environment.lease.is_after(&known.lease) =>
                {
                    known.lease = environment.lease.clone();
                    tables.put_environment(&known)?;
                }
                Some(_) => {}
            }
            if tables.intent(&row.reference())?.is_none() {
                tables.put_intent(row)?;
            }
            Ok(Answer::Done)
        }
        Op::Sight(row) => {
            if !tables
                .sightings()?
                .iter()
                .any(|known| known.site == row.site && known.key == row.key)
            {
                tables.put_sighting(row)?;
            }
            Ok(Answer::Done)
        }
        Op::Unsight { site, key } => tables.remove_sighting(site, key).map(|()| Answer::Done),
        Op::Forget(id) => tables.remove_environment(id).map(|()| Answer::Done),
        Op::ForgetSite(site) => tables.remove_site(site).map(|()| Answer::Done),
        Op::Send { .. }
        | Op::Touch { .. }
        | Op::Lose { .. }
        | Op::See { .. }
        | Op::SetUp { .. }
        | Op::Ready { .. }
        | Op::Renewed { .. }
        | Op::Fail { .. }
        | Op::Doom { .. }
        | Op::SendDestroy { .. }
        | Op::Settle { .. }
        | Op::Bury { .. } => advance(tables, op, now),
    }
}

fn found(tables: &mut dyn Tables, row: &EnvironmentRow) -> Result<Answer> {
    let taken = tables
        .environments()?
        .into_iter()
        .find(|known| known.name == row.name && known.disposed.is_none());
    if let Some(taken) = taken {
        return Ok(Answer::Refused(Refusal::NameTaken(Box::new(taken))));
    }
    tables.put_environment(row)?;
    Ok(Answer::Done)
}

/// Whether, and until when, an environment is wanted: said without a tenure, since it is for the holder to hear.
fn wish(tables: &mut dyn Tables, op: &Op) -> Result<Answer> {
    let (Op::WantGone(id) | Op::Expire { environment: id, .. } | Op::Extend { environment: id, .. }) = op else {
        return Ok(Answer::Done);
    };
    let Some(mut row) = tables.environment(id)?.filter(|row| row.disposed.is_none()) else {
        return Ok(Answer::Refused(Refusal::NoEnvironment));
    };
    match op {
        Op::Expire { lease, .. } if row.lease != *lease => return Ok(Answer::Refused(Refusal::Extended)),
        Op::Extend { .. } if row.wanted == Wanted::Gone => return Ok(Answer::Refused(Refusal::Yield)),
        Op::Extend { lease, .. } if lease.is_after(&row.lease) => row.lease = lease.clone(),
        Op::Extend { .. } => {}
        _ => row.wanted = Wanted::Gone,
    }
    tables.put_environment(&row)?;
    Ok(Answer::Done)
}

/// The environment of a tenure, or why the tenure does not count any more.
fn held(tables: &dyn Tables, epoch: &Epoch) -> Result<Result<EnvironmentRow, Refusal>> {
    Ok(match tables.environment(&epoch.environment)? {
        None => Err(Refusal::NoEnvironment),
        Some(row) if row.disposed.is_some() => Err(Refusal::NoEnvironment),
        Some(row) if row.epoch != epoch.number => Err(Refusal::Fenced { newer: row.epoch }),
        Some(row) => Ok(row),
    })
}

fn under(tables: &mut dyn Tables, epoch: &Epoch, change: impl FnOnce(&mut EnvironmentRow)) -> Result<Answer> {
    match held(tables, epoch)? {
        Err(refusal) => Ok(Answer::Refused(refusal)),
        Ok(mut row) => {
            change(&mut row);
            tables.put_environment(&row)?;
            Ok(Answer::Done)
        }
    }
}

fn allot(tables: &mut dyn Tables, epoch: &Epoch, numbers: &Numbers) -> Result<Answer> {
    let wanted: BTreeSet<u16> = numbers.values().flat_map(|given| given.values().copied()).collect();
    for other in tables.environments()? {
        if other.id == epoch.environment || other.disposed.is_some() {
            continue;
        }
        let mut theirs = other.numbers.values().flat_map(|given| given.values());
        if let Some(number) = theirs.find(|number| wanted.contains(number)).copied() {
            return Ok(Answer::Refused(Refusal::NumberTaken { number, by: other.name }));
        }
    }
    under(tables, epoch, |row| row.numbers.clone_from(numbers))
}

fn plan(tables: &mut dyn Tables, epoch: &Epoch, row: &IntentRow) -> Result<Answer> {
    match held(tables, epoch)? {
        Err(refusal) => return Ok(Answer::Refused(refusal)),
        Ok(environment) if environment.wanted == Wanted::Gone => return Ok(Answer::Refused(Refusal::Yield)),
        Ok(_) => {}
    }
    // One living generation of an object at a time: the one before must be proved gone.
    if let Some(newest) = tables.newest_generation(&row.reference())?
        && (newest.state != IntentState::Gone || newest.generation >= row.generation)
    {
        return Ok(Answer::Refused(Refusal::State(Some(newest.state))));
    }
    tables.put_intent(row)?;
    Ok(Answer::Done)
}

fn of(op: &Op) -> Option<(&Epoch, &IntentRef)> {
    match op {
        Op::Send { epoch, intent }
        | Op::Touch { epoch, intent, .. }
        | Op::Lose { epoch, intent }
        | Op::See { epoch, intent, .. }
        | Op::SetUp { epoch, intent, .. }
        | Op::Ready { epoch, intent, .. }
        | Op::Renewed { epoch, intent, .. }
        | Op::Fail { epoch, intent, .. }
        | Op::Doom { epoch, intent }
        | Op::SendDestroy { epoch, intent }
        | Op::Settle { epoch, intent, .. }
        | Op::Bury { epoch, intent, .. } => Some((epoch, intent)),
        _ => None,
    }
}

/// Moves one intent along; each arm names the states from which it may happen.
fn advance(tables: &mut dyn Tables, op: &Op, now: Time) -> Result<Answer> {
    use IntentState::{Dying, Gone, Planned, Ready, Seen, Sent, Unknown};
    let Some((epoch, reference)) = of(op) else {
        return Ok(Answer::Done);
    };
    let environment = match held(tables, epoch)? {
        Err(refusal) => return Ok(Answer::Refused(refusal)),
        Ok(environment) => environment,
    };
    let Some(mut row) = tables.intent(reference)? else {
        return Ok(Answer::Refused(Refusal::State(None)));
    };
    let state = row.state;
    let refused = Ok(Answer::Refused(Refusal::State(Some(state))));
    match op {
        // R7: state, epoch and wish are checked by the very transaction that writes `last sent`.
        Op::Send { .. } | Op::Touch { .. } if environment.wanted == Wanted::Gone => {
            return Ok(Answer::Refused(Refusal::Yield));
        }
        Op::Send { .. } => match state {
            Planned | Sent | Unknown => (row.state, row.last_sent) = (Sent, Some(now)),
            Seen | Ready | Dying | Gone => return refused,
        },
        Op::Touch { stopped, .. } => match state {
            Seen | Ready => {
                row.last_sent = Some(now);
                row.stopped = stopped.unwrap_or(row.stopped);
            }
            Planned | Sent | Unknown | Dying | Gone => return refused,
        },
        Op::Lose { .. } => match state {
            Sent | Unknown => row.state = Unknown,
            Planned | Seen | Ready | Dying | Gone => return refused,
        },
        Op::See { id, data, .. } => match state {
            Sent | Unknown | Seen => {
                (row.state, row.id, row.data) = (Seen, Some(id.clone()), data.clone());
            }
            Planned | Ready | Dying | Gone => return refused,
        },
        Op::SetUp { set_up, .. } => match state {
            Seen => row.set_up.clone_from(set_up),
            Planned | Sent | Unknown | Ready | Dying | Gone => return refused,
        },
        Op::Ready { addrs, ports, .. } => match state {
            Seen | Ready => {
                row.state = Ready;
                row.addrs.clone_from(addrs);
                row.ports.clone_from(ports);
                row.failure = None;
            }
            Planned | Sent | Unknown | Dying | Gone => return refused,
        },
        Op::Renewed { expires, .. } => match state {
            Seen | Ready => row.expires = Some(*expires),
            Planned | Sent | Unknown | Dying | Gone => return refused,
        },
        Op::Fail { failure, .. } => match state {
            Planned | Sent | Unknown | Seen => row.failure = Some(failure.clone()),
            Ready => (row.state, row.failure) = (Seen, Some(failure.clone())),
            Dying | Gone => return refused,
        },
        Op::Doom { .. } => match state {
            // R6: destroy wins. What was sent without an answer is settled by the destroyer.
            Sent | Unknown => (row.state, row.unsettled) = (Dying, true),
            Planned | Seen | Ready | Dying => row.state = Dying,
            Gone => return refused,
        },
        Op::SendDestroy { .. } => match state {
            Dying => row.last_sent = Some(now).filter(|_| !row.unsettled).or(row.last_sent),
            Planned | Sent | Unknown | Seen | Ready | Gone => return refused,
        },
        Op::Settle { id, .. } => match state {
            Dying => {
                row.unsettled = false;
                row.id = id.clone().or(row.id);
            }
            Planned | Sent | Unknown | Seen | Ready | Gone => return refused,
        },
        Op::Bury { evidence, .. } => match state {
            // A create that was answered with a definite no leaves nothing; so does one that was never sent.
            Planned | Sent | Dying => (row.state, row.evidence, row.unsettled) = (Gone, Some(evidence.clone()), false),
            Unknown => (row.state, row.evidence) = (Gone, Some(evidence.clone())),
            Gone => return Ok(Answer::Done),
            Seen | Ready => return refused,
        },
        _ => return Ok(Answer::Done),
    }
    row.updated = now;
    row.epoch = epoch.number;
    tables.put_intent(&row)?;
    Ok(Answer::Done)
}
