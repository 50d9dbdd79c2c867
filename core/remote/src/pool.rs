//! Connections to one host for one purpose: a bounded number of sessions on each, then a further one.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use encamp_core::{Cx, Result};
use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore};

use crate::error;
use crate::host::Dialer;
use crate::login::{Login, Waiting};
use crate::transport::Connection;
use crate::within::within;

/// Sessions on one connection; sshd's own limit is 10.
const SESSIONS_MAX: usize = 8;
/// Connections of one pool with several sessions each. Who wants more waits.
const CONNECTIONS_MAX: usize = 8;
/// Connections of one pool with a session each.
const SINGLES_MAX: usize = 32;
/// How long a connection stands that nobody uses.
const IDLE_MAX: Duration = Duration::from_mins(1);

/// Connections for one purpose. Nobody waits with its lock held.
#[derive(Debug)]
pub(crate) struct Pool {
    dialer: Arc<Dialer>,
    slots: Arc<Mutex<Slots>>,
    sessions_max: usize,
    connections_max: usize,
}

#[derive(Debug, Default)]
struct Slots {
    standing: Vec<Slot>,
    logins: Vec<Login>,
    /// Told when there may be room that was not there before.
    room: Arc<Notify>,
    /// Somebody lets go of connections that nobody uses.
    is_watched: bool,
}

#[derive(Debug)]
struct Slot {
    connection: Arc<dyn Connection>,
    free: Arc<Semaphore>,
    /// How many sessions it takes; less than the maximum where the host said so.
    takes: usize,
    /// Nobody has had a session on it.
    is_fresh: bool,
}

/// The right to one session of a connection.
#[derive(Debug)]
pub(crate) struct Lease {
    pub(crate) connection: Arc<dyn Connection>,
    /// Nobody had a session on it before.
    pub(crate) fresh: bool,
    permit: OwnedSemaphorePermit,
    /// Behind the permit, which is given back first.
    _room: TellRoom,
}

/// Tells those who wait that they may look again.
#[derive(Debug)]
struct TellRoom(Arc<Notify>);

impl Drop for TellRoom {
    fn drop(&mut self) {
        self.0.notify_waiters();
    }
}

/// How somebody comes to a session.
enum Way {
    Have(Lease),
    Login(Waiting),
    /// There is no room.
    Full,
}

impl Slots {
    fn a_free_one(&mut self) -> Option<Lease> {
        let room = &self.room;
        self.standing.iter_mut().find_map(|slot| {
            let permit = Arc::clone(&slot.free).try_acquire_owned().ok()?;
            Some(Lease {
                connection: Arc::clone(&slot.connection),
                fresh: std::mem::replace(&mut slot.is_fresh, false),
                permit,
                _room: TellRoom(Arc::clone(room)),
            })
        })
    }
}

fn lock(slots: &Mutex<Slots>) -> MutexGuard<'_, Slots> {
    let mut slots = slots.lock().unwrap_or_else(PoisonError::into_inner);
    slots.standing.retain(|slot| slot.connection.stands());
    slots.logins.retain(Login::is_under_way);
    slots
}

impl Pool {
    /// Of connections that several share.
    pub(crate) fn shared(dialer: Arc<Dialer>) -> Self {
        Self {
            dialer,
            slots: Arc::default(),
            sessions_max: SESSIONS_MAX,
            connections_max: CONNECTIONS_MAX,
        }
    }

    /// Of connections that each have one user at a time.
    pub(crate) fn of_singles(dialer: Arc<Dialer>) -> Self {
        Self {
            dialer,
            slots: Arc::default(),
            sessions_max: 1,
            connections_max: SINGLES_MAX,
        }
    }

    /// Whether each session has its connection for itself.
    pub(crate) fn is_of_singles(&self) -> bool {
        self.sessions_max == 1
    }

    /// Sees to it that there is a connection, however many sessions it has already.
    pub(crate) async fn reach(&self, cx: &Cx) -> Result<()> {
        let waiting = {
            let mut slots = lock(&self.slots);
            if !slots.standing.is_empty() {
                return Ok(());
            }
            let under_way = slots.logins.iter().find_map(Login::watch);
            under_way.unwrap_or_else(|| self.log_in(&mut slots).watched())
        };
        waiting.until_done(cx, self.dialer.access()).await
    }

    /// A session, on a connection that stands or on a new one.
    pub(crate) async fn lease(&self, cx: &Cx) -> Result<Lease> {
        let room = Arc::clone(&lock(&self.slots).room);
        loop {
            // From now on: what becomes free after the look is not missed.
            let told = room.notified();
            match self.way() {
                Way::Have(lease) => return Ok(lease),
                Way::Login(waiting) => waiting.until_done(cx, self.dialer.access()).await?,
                Way::Full => {
                    let told = async {
                        told.await;
                        Ok(())
                    };
                    within(cx, told, || error::busy(self.dialer.access(), self.sessions_max)).await?;
                }
            }
        }
    }

    fn way(&self) -> Way {
        let mut slots = lock(&self.slots);
        if let Some(lease) = slots.a_free_one() {
            return Way::Have(lease);
        }
        // Most of those who come while somebody logs in find room on that connection.
        if let Some(waiting) = slots.logins.iter().find_map(|login| login.join(self.sessions_max)) {
            return Way::Login(waiting);
        }
        if slots.standing.len() + slots.logins.len() < self.connections_max {
            return Way::Login(self.log_in(&mut slots));
        }
        Way::Full
    }

    /// Makes a further connection, which goes on for as long as anybody waits for it.
    fn log_in(&self, slots: &mut Slots) -> Waiting {
        let (dialer, all, sessions_max) = (Arc::clone(&self.dialer), Arc::clone(&self.slots), self.sessions_max);
        let (login, waiting) = Login::begin(dialer, move |connected, tell| {
            let mut slots = lock(&all);
            let _room = TellRoom(Arc::clone(&slots.room));
            // With the lock held, so that nobody sees both the login and the connection, or neither.
            tell(connected.map(|connection| {
                slots.standing.push(Slot {
                    connection,
                    free: Arc::new(Semaphore::new(sessions_max)),
                    takes: sessions_max,
                    is_fresh: true,
                });
                if !std::mem::replace(&mut slots.is_watched, true) {
                    close_when_idle(&all);
                }
            }));
        });
        slots.logins.push(login);
        waiting
    }

    /// The host gave no session for this right: the connection has as many as it takes. Says whether that is none at all
    /// on a new connection, so that another one helps nobody.
    pub(crate) fn is_full(&self, lease: Lease) -> bool {
        let mut slots = lock(&self.slots);
        let ours = |slot: &Slot| Arc::ptr_eq(&slot.connection, &lease.connection);
        let Some(at) = slots.standing.iter().position(ours) else {
            return false;
        };
        let slot = &mut slots.standing[at];
        let free = slot.free.forget_permits(self.sessions_max);
        slot.takes = slot.takes.saturating_sub(free + 1);
        lease.permit.forget();
        let takes_none = slot.takes == 0;
        if takes_none {
            // In its place there may be another one.
            slots.standing.remove(at);
        }
        takes_none && lease.fresh
    }
}

/// Lets go of connections that nobody uses, and ends when there is none.
fn close_when_idle(slots: &Arc<Mutex<Slots>>) {
    let slots = Arc::downgrade(slots);
    tokio::spawn(async move {
        let mut idle: Vec<Arc<dyn Connection>> = Vec::new();
        loop {
            tokio::time::sleep(IDLE_MAX / 2).await;
            let Some(slots) = slots.upgrade() else { return };
            let mut slots = lock(&slots);
            let was_idle = |slot: &Slot| idle.iter().any(|connection| Arc::ptr_eq(connection, &slot.connection));
            let is_idle = |slot: &Slot| slot.free.available_permits() >= slot.takes;
            slots.standing.retain(|slot| !(is_idle(slot) && was_idle(slot)));
            idle = slots
                .standing
                .iter()
                .filter(|slot| is_idle(slot))
                .map(|slot| Arc::clone(&slot.connection))
                .collect();
            if slots.standing.is_empty() {
                slots.is_watched = false;
                return;
            }
        }
    });
}
