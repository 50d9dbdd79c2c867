//! The keeper's own life.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use encamp_core::{EnvId, Error, ErrorKind, Report, Result, Time};

use super::duty::{Duty, Holder, duty};
use super::log::{self, Log};
use super::reserve::Reserve;
use super::seat::Seat;
use super::{Request, VERB, folder};
use crate::camp::Camp;
use crate::due::{self, Outcome, Why};
use crate::events::Events;
use crate::execute::{due as due_for_renewal, renew};
use crate::journal::{EnvironmentRow, IntentState, Op, Purpose, Wanted};
use crate::report::Disposal;
use crate::session::Session;
use crate::settle::{is_open, settle_open};
use crate::tenure::Held;
use crate::verbs::down;

/// How often it looks.
const GLANCE: Duration = Duration::from_millis(200);
/// The first and the longest pause after something that failed.
const PAUSE: (Duration, Duration) = (Duration::from_millis(500), Duration::from_secs(30));
/// How long after the end of its lease an environment is given up whose state folder is gone, where it cannot be ended.
const GIVE_UP: Duration = Duration::from_hours(1);

/// Watches over the environment of a request until it is gone. Returns at once where it has a keeper already.
pub(crate) async fn watch(camp: &Arc<Camp>, request: &Request) -> Result<()> {
    let seat = Seat::of(&request.state, &request.environment);
    let Some(_taken) = seat.take().await? else {
        return Ok(());
    };
    let folder = folder(&request.state, &request.environment);
    let mut keeper = Keeper {
        camp,
        environment: &request.environment,
        locks: request.state.join("locks"),
        log: Log::new(
            log::open(&request.state, &request.environment)?,
            Arc::clone(&camp.clock),
        ),
        reserve: Reserve::put_aside(&folder),
        request: folder.join("keeper.json"),
        settled: None,
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
    locks: PathBuf,
    log: Log,
    reserve: Reserve,
    request: PathBuf,
    /// The epoch up to which nothing is on its way.
    settled: Option<u64>,
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
        self.log.say("nothing is left to do");
        if let Err(error) = std::fs::remove_file(&self.request) {
            tracing::debug!(%error, "a request is left");
        }
    }

    /// Does what there is to do now; true once there will be nothing any more.
    async fn look(&mut self) -> Result<bool> {
        let row = self.camp.journal.environment(self.environment).await?;
        if !self.locks.exists() {
            return self.end_orphan(row).await;
        }
        let holder = self.holder(row.as_ref())?;
        let unused = match &row {
            Some(row) => due::is_unused(row, self.camp)?,
            None => false,
        };
        let (clock, policy) = (&*self.camp.clock, &self.camp.policy);
        let duty = duty(row.as_ref(), holder, unused, self.settled, clock, policy);
        match (duty, row) {
            (Duty::Leave, _) | (_, None) => return Ok(true),
            (Duty::Rest, Some(row)) if holder == Holder::Nobody => self.renew(&row).await?,
            (Duty::Rest, _) => {}
            (Duty::Dispose(why), Some(row)) => self.dispose(&row, holder, why).await?,
            (Duty::Settle, Some(row)) => self.settle(&row).await?,
        }
        Ok(false)
    }

    /// Whether somebody holds it. The lock is tried only where that may be a dead one's, so that no command meets it
    /// taken for no reason.
    fn holder(&self, row: Option<&EnvironmentRow>) -> Result<Holder> {
        let may_be_dead = |row: &EnvironmentRow| row.holder.is_some() || (row.purpose == Purpose::Run && !row.keep);
        if !row.is_some_and(may_be_dead) {
            return Ok(Holder::Nobody);
        }
        let free = self.camp.locks.try_hold(self.environment)?.is_some();
        Ok(if free { Holder::Nobody } else { Holder::Alive })
    }

    async fn dispose(&mut self, row: &EnvironmentRow, holder: Holder, why: Why) -> Result<()> {
        self.log.say(&format!("disposing of {}: {why}", row.name));
        let disposal = match holder {
            Holder::Nobody => match due::end_if_due(self.camp, self.environment, VERB, Events::none()).await? {
                Outcome::Ended(_, disposal) => disposal,
                Outcome::Spared | Outcome::Held => return Ok(()),
            },
            // It is told to yield, unless somebody has extended the lease since.
            Holder::Alive if self.camp.expire(row).await? => down::end(self.camp, row, VERB, Events::none()).await?,
            Holder::Alive => return Ok(()),
        };
        must_be_clean(&disposal)
    }

    /// Ends an environment whose state folder is not there any more, once it is unwanted or its lease is over: nobody else
    /// knows of it, and nobody can hold it. What cannot be ended, because it lay in that folder, is given up in the end.
    async fn end_orphan(&self, row: Option<EnvironmentRow>) -> Result<bool> {
        let Some(row) = row.filter(|row| row.disposed.is_none()) else {
            return Ok(true);
        };
        let is_over = |grace| row.lease.over(grace, &*self.camp.clock);
        if row.wanted == Wanted::Present && !is_over(self.camp.policy.grace) {
            return Ok(false);
        }
        let session = self
            .camp
            .take(&row.id, Box::new(Orphaned), VERB, Events::none())
            .await?;
        let disposed = down::dispose_of(session).await.and_then(|it| must_be_clean(&it));
        match disposed {
            Err(error) if !is_over(GIVE_UP) => Err(error),
            Ok(()) | Err(_) => Ok(true),
        }
    }

    /// Tells machines that end by themselves of a longer lease, where whoever committed that has died before it could.
    async fn renew(&mut self, row: &EnvironmentRow) -> Result<()> {
        let ends = row.lease.ends;
        if self.told == Some(ends) {
            return Ok(());
        }
        let rows = self.camp.journal.intents(self.environment).await?;
        if due_for_renewal(&rows, ends).next().is_some() {
            let Some(held) = self.camp.locks.try_hold(self.environment)? else {
                return Ok(());
            };
            let session = self.camp.take(self.environment, held, VERB, Events::none()).await?;
            let secrets = Arc::clone(&session.secrets);
            let told = renew(&session, ends).await;
            session.release().await?;
            let failed = told.map(|told| told.into_iter().find_map(|told| told.error));
            secrets
                .redactor()
                .guard(failed.and_then(|failed| failed.map_or(Ok(()), Err)))?;
            self.log
                .say(&format!("machines were told that the lease ends at {ends}"));
        }
        self.told = Some(ends);
        Ok(())
    }

    /// Finds out what became of what was on its way; what was made stays until the lease ends. Where that is not known
    /// yet the tenure is not given back: the next look finds it as this one did.
    async fn settle(&mut self, row: &EnvironmentRow) -> Result<()> {
        let rows = self.camp.journal.intents(self.environment).await?;
        if row.holder.is_none() && !is_open(&rows) {
            self.settled = Some(row.epoch);
            return Ok(());
        }
        let Some(held) = self.camp.locks.try_hold(self.environment)? else {
            return Ok(());
        };
        // Its own name stands there where it could not settle before.
        let died = row.holder.is_some();
        if let Some(holder) = row.holder.as_ref().filter(|holder| holder.verb != VERB) {
            self.log.say(&format!(
                "a command has died (`encamp {}`, process {}); settling what it sent",
                holder.verb, holder.pid
            ));
        }
        let session = self.camp.take(self.environment, held, VERB, Events::none()).await?;
        let settled = settle_open(&session, self.camp.policy.down).await?;
        session.secrets.redactor().guard(settled)?;
        let epoch = session.epoch.number;
        if died && self.came_to_nothing(&session).await? {
            return Ok(());
        }
        session.release().await?;
        self.settled = Some(epoch);
        Ok(())
    }

    /// An environment of which nothing was made is nothing to keep.
    async fn came_to_nothing(&self, session: &Session) -> Result<bool> {
        let rows = self.camp.journal.intents(self.environment).await?;
        let nothing = rows.iter().all(|row| row.state == IntentState::Gone);
        if nothing {
            session.record(Op::Dispose(session.epoch.clone())).await?;
        }
        Ok(nothing)
    }
}

fn must_be_clean(disposal: &Disposal) -> Result<()> {
    if disposal.is_clean() {
        return Ok(());
    }
    let left = disposal
        .left
        .iter()
        .map(|left| format!("{}: {}", left.object, left.why));
    let left: Vec<String> = left.collect();
    Err(Error::new(
        ErrorKind::Unavailable,
        format!("something is left: {}", left.join("; ")),
    ))
}
