//! The keeper's own life.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use encamp_core::{EnvId, Error, ErrorKind, Report, Result, Time};

use super::duty::{Duty, Holder, LEASE_ENDED, duty};
use super::log::{self, Log};
use super::reserve::Reserve;
use super::seat::Seat;
use super::{Request, VERB};
use crate::camp::Camp;
use crate::clock::monotonic_now as now;
use crate::events::Events;
use crate::execute::{dispose, due, renew};
use crate::journal::{EnvironmentRow, IntentRow, IntentState, Op};
use crate::session::Session;
use crate::settle::{Settled, settle};
use crate::tenure::Held;
use crate::verbs::down::end;

/// How often it looks.
const GLANCE: Duration = Duration::from_millis(200);
/// The first and the longest pause after something that failed.
const PAUSE: (Duration, Duration) = (Duration::from_millis(500), Duration::from_secs(30));

/// Watches over the environment of a request until it is gone. Returns at once where it has a keeper already.
pub(crate) async fn watch(camp: &Arc<Camp>, request: &Request) -> Result<()> {
    let seat = Seat::of(&request.state, &request.environment);
    let Some(_taken) = seat.take().await? else {
        return Ok(());
    };
    let folder = request.state.join("environments").join(request.environment.as_str());
    let mut keeper = Keeper {
        camp,
        environment: &request.environment,
        state: &request.state,
        log: Log::new(
            log::open(&request.state, &request.environment)?,
            Arc::clone(&camp.clock),
        ),
        reserve: Reserve::put_aside(&folder),
        request: folder.join("keeper.json"),
        told: None,
    };
    keeper.log.say("watching");
    keeper.watch().await;
    Ok(())
}

/// Stands for a lock that nobody can take any more.
#[derive(Debug)]
struct Orphaned;
impl Held for Orphaned {}

struct Keeper<'a> {
    camp: &'a Arc<Camp>,
    environment: &'a EnvId,
    state: &'a Path,
    log: Log,
    reserve: Reserve,
    request: PathBuf,
    /// Until when machines think that they are wanted.
    told: Option<Time>,
}

impl Keeper<'_> {
    async fn watch(&mut self) {
        let mut pause = PAUSE.0;
        loop {
            match self.look().await {
                Ok(true) => break,
                Ok(false) => {
                    pause = PAUSE.0;
                    tokio::time::sleep(GLANCE).await;
                }
                Err(error) => {
                    if self.reserve.is_needed() && self.reserve.give_free() {
                        self.log
                            .say("the disk of the state folder is full; what was put aside for that is free now");
                        continue;
                    }
                    self.log.say(&format!("not done yet: {}", Report(&error)));
                    tokio::time::sleep(pause).await;
                    pause = (pause * 2).min(PAUSE.1);
                }
            }
        }
        self.log.say("the environment is gone");
        if let Err(error) = std::fs::remove_file(&self.request) {
            tracing::debug!(%error, "a request is left");
        }
    }

    /// Does what there is to do now; true once the environment is gone.
    async fn look(&mut self) -> Result<bool> {
        let row = self.camp.journal.environment(self.environment).await?;
        let orphaned = !self.state.exists();
        let holder = if orphaned {
            Holder::Nobody
        } else {
            self.holder(row.as_ref())?
        };
        let duty = duty(row.as_ref(), holder, &*self.camp.clock, &self.camp.policy);
        match (duty, row) {
            (Duty::Leave, _) | (_, None) => return Ok(true),
            (Duty::Rest, Some(row)) if holder == Holder::Nobody => self.renew(&row).await?,
            (Duty::Rest, _) => {}
            (Duty::Dispose(_), Some(row)) if orphaned => self.end_orphan(&row).await?,
            (Duty::Dispose(why), Some(row)) => self.dispose(&row, why).await?,
            (Duty::Settle, Some(row)) => self.settle(&row).await?,
        }
        Ok(false)
    }

    /// Whether whoever is recorded as the holder lives. The lock is only tried where somebody is recorded, so that no
    /// command meets it taken for no reason.
    fn holder(&self, row: Option<&EnvironmentRow>) -> Result<Holder> {
        if row.is_none_or(|row| row.holder.is_none()) {
            return Ok(Holder::Nobody);
        }
        let free = self.camp.locks.try_hold(self.environment)?.is_some();
        Ok(if free { Holder::Dead } else { Holder::Alive })
    }

    async fn dispose(&mut self, row: &EnvironmentRow, why: &str) -> Result<()> {
        // Somebody may have extended it since.
        if why == LEASE_ENDED && !self.camp.expire(row).await? {
            return Ok(());
        }
        self.log.say(&format!("disposing of {}: {why}", row.name));
        let disposal = end(self.camp, row, VERB, Events::none()).await?;
        if disposal.is_clean() {
            return Ok(());
        }
        let left: Vec<String> = disposal
            .left
            .iter()
            .map(|left| format!("{}: {}", left.object, left.why))
            .collect();
        Err(Error::new(
            ErrorKind::Unavailable,
            format!("something is left: {}", left.join("; ")),
        ))
    }

    /// Ends an environment whose state folder is not there any more: nobody else knows of it, and nobody can hold it.
    async fn end_orphan(&self, row: &EnvironmentRow) -> Result<()> {
        let session = self
            .camp
            .take(&row.id, Box::new(Orphaned), VERB, Events::none())
            .await?;
        let disposal = dispose(&session).await?;
        if disposal.is_clean() {
            return Ok(());
        }
        Err(Error::new(ErrorKind::Unavailable, "something is left"))
    }

    /// Tells machines that end by themselves of a longer lease, where whoever committed that has died before it could.
    async fn renew(&mut self, row: &EnvironmentRow) -> Result<()> {
        let ends = row.lease.ends;
        if self.told == Some(ends) {
            return Ok(());
        }
        let rows = self.camp.journal.intents(self.environment).await?;
        if due(&rows, ends).next().is_some() {
            let Some(held) = self.camp.locks.try_hold(self.environment)? else {
                return Ok(());
            };
            let session = self.camp.take(self.environment, held, VERB, Events::none()).await?;
            let told = renew(&session, ends).await;
            session.release().await?;
            if let Some(error) = told?.into_iter().find_map(|told| told.error) {
                return Err(error);
            }
            self.log
                .say(&format!("machines were told that the lease ends at {ends}"));
        }
        self.told = Some(ends);
        Ok(())
    }

    /// Finds out what became of what a dead command had sent; what was made stays until the lease ends.
    async fn settle(&mut self, row: &EnvironmentRow) -> Result<()> {
        let Some(held) = self.camp.locks.try_hold(self.environment)? else {
            return Ok(());
        };
        let who = row.holder.as_ref().map_or_else(String::new, |holder| {
            format!(" (`encamp {}`, process {})", holder.verb, holder.pid)
        });
        self.log.say(&format!("a command has died{who}; settling what it sent"));
        let session = self.camp.take(self.environment, held, VERB, Events::none()).await?;
        let settled = settle_all(&session).await;
        let rows = self.camp.journal.intents(self.environment).await?;
        if settled.is_ok() && rows.iter().all(|row| row.state == IntentState::Gone) {
            // Nothing came of it, so there is nothing to keep.
            session.record(Op::Dispose(session.epoch.clone())).await?;
            return Ok(());
        }
        session.release().await?;
        settled
    }
}

async fn settle_all(session: &Session) -> Result<()> {
    let began = now();
    let rows = session.camp.journal.intents(&session.row.id).await?;
    for row in rows {
        let (epoch, intent) = (session.epoch.clone(), row.reference());
        match row.state {
            // Nothing has been sent.
            IntentState::Planned => {
                let evidence = "never sent".into();
                session
                    .record(Op::Bury {
                        epoch,
                        intent,
                        evidence,
                    })
                    .await?;
            }
            IntentState::Sent | IntentState::Unknown => {
                session.record(Op::Lose { epoch, intent }).await?;
                settle_one(session, row, began).await?;
            }
            IntentState::Seen | IntentState::Ready | IntentState::Dying | IntentState::Gone => {}
        }
    }
    Ok(())
}

async fn settle_one(session: &Session, mut row: IntentRow, began: tokio::time::Instant) -> Result<()> {
    row.state = IntentState::Unknown;
    let provider = session.camp.provider_of(&row).await?;
    let mut pause = session.camp.policy.pause.0;
    loop {
        let (epoch, intent) = (session.epoch.clone(), row.reference());
        match settle(session, &*provider, &row).await? {
            Settled::Present(opened) => {
                let (id, data) = (opened.id, opened.data);
                return session
                    .record(Op::See {
                        epoch,
                        intent,
                        id,
                        data,
                    })
                    .await;
            }
            Settled::Absent => {
                let evidence = "a complete listing does not show it".into();
                return session
                    .record(Op::Bury {
                        epoch,
                        intent,
                        evidence,
                    })
                    .await;
            }
            Settled::NotYet(error) if began.elapsed() + pause > session.camp.policy.down => return Err(error),
            Settled::NotYet(_) => tokio::time::sleep(pause).await,
        }
        pause = (pause * 2).min(session.camp.policy.pause.1);
    }
}
