//! Connections to one host for one purpose: a bounded number of sessions on each, then a further one.

use std::sync::Arc;
use std::time::Duration;

use encamp_core::{Cx, Error, ErrorKind, Result};
use tokio::sync::{Mutex, OwnedSemaphorePermit, Semaphore};

use crate::error;
use crate::host::Dialer;
use crate::transport::Connection;

/// Sessions on one connection; sshd's own limit is 10.
const SESSIONS_MAX: usize = 8;
/// Connections of one pool with several sessions each. Who wants more waits.
const CONNECTIONS_MAX: usize = 8;
/// Connections of one pool with a session each.
const SINGLES_MAX: usize = 32;
/// How long a connection stands that nobody uses.
const IDLE_MAX: Duration = Duration::from_mins(1);

/// Connections for one purpose.
#[derive(Debug)]
pub(crate) struct Pool {
    dialer: Arc<Dialer>,
    slots: Arc<Mutex<Vec<Slot>>>,
    sessions_max: usize,
    connections_max: usize,
}

#[derive(Debug)]
struct Slot {
    connection: Arc<dyn Connection>,
    free: Arc<Semaphore>,
    /// How many sessions it takes; less than the maximum where the host said so.
    takes: usize,
}

/// The right to one session of a connection.
#[derive(Debug)]
pub(crate) struct Lease {
    pub(crate) connection: Arc<dyn Connection>,
    /// Nobody had a session on it before.
    pub(crate) fresh: bool,
    permit: OwnedSemaphorePermit,
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

    /// A session, on a connection that stands or on a new one.
    pub(crate) async fn lease(&self, cx: &Cx) -> Result<Lease> {
        let waits_for = {
            let mut slots = self.slots.lock().await;
            slots.retain(|slot| slot.connection.stands());
            for slot in slots.iter() {
                if let Ok(permit) = Arc::clone(&slot.free).try_acquire_owned() {
                    return Ok(Lease {
                        connection: Arc::clone(&slot.connection),
                        fresh: false,
                        permit,
                    });
                }
            }
            if slots.len() < self.connections_max {
                // The others wait for this one: most of them find room on it.
                let connection = self.dialer.connect(cx).await?;
                let free = Arc::new(Semaphore::new(self.sessions_max));
                let permit = Arc::clone(&free).try_acquire_owned().map_err(closed)?;
                slots.push(Slot {
                    connection: Arc::clone(&connection),
                    free,
                    takes: self.sessions_max,
                });
                if slots.len() == 1 {
                    close_when_idle(&self.slots);
                }
                return Ok(Lease {
                    connection,
                    fresh: true,
                    permit,
                });
            }
            let most = slots.iter().max_by_key(|slot| slot.takes);
            most.map(|slot| (Arc::clone(&slot.connection), Arc::clone(&slot.free)))
        };
        let Some((connection, free)) = waits_for else {
            return Err(Error::new(ErrorKind::Internal, "a full pool of connections is empty"));
        };
        let permit = tokio::time::timeout(cx.remaining(), free.acquire_owned()).await;
        let permit = permit
            .map_err(|_| error::no_sessions(self.dialer.access()))?
            .map_err(closed)?;
        Ok(Lease {
            connection,
            fresh: false,
            permit,
        })
    }

    /// The host gave no session for this right: the connection has as many as it takes. Says whether that is none at all
    /// on a new connection, so that another one helps nobody.
    pub(crate) async fn is_full(&self, lease: Lease) -> bool {
        let mut slots = self.slots.lock().await;
        let ours = |slot: &Slot| Arc::ptr_eq(&slot.connection, &lease.connection);
        let Some(at) = slots.iter().position(ours) else {
            return false;
        };
        let slot = &mut slots[at];
        let free = slot.free.forget_permits(self.sessions_max);
        slot.takes = slot.takes.saturating_sub(free + 1);
        lease.permit.forget();
        let takes_none = slot.takes == 0;
        if takes_none {
            slots.remove(at);
        }
        takes_none && lease.fresh
    }
}

fn closed(_: impl std::fmt::Debug) -> Error {
    Error::new(
        ErrorKind::Internal,
        "the sessions of a connection cannot be counted any more",
    )
}

/// Lets go of connections that nobody uses, and ends when there is none.
fn close_when_idle(slots: &Arc<Mutex<Vec<Slot>>>) {
    let slots = Arc::downgrade(slots);
    tokio::spawn(async move {
        let mut idle: Vec<Arc<dyn Connection>> = Vec::new();
        loop {
            tokio::time::sleep(IDLE_MAX / 2).await;
            let Some(slots) = slots.upgrade() else { return };
            let mut slots = slots.lock().await;
            let was_idle = |slot: &Slot| idle.iter().any(|connection| Arc::ptr_eq(connection, &slot.connection));
            let is_idle = |slot: &Slot| slot.free.available_permits() >= slot.takes;
            slots.retain(|slot| slot.connection.stands() && !(is_idle(slot) && was_idle(slot)));
            idle = slots
                .iter()
                .filter(|slot| is_idle(slot))
                .map(|slot| Arc::clone(&slot.connection))
                .collect();
            if slots.is_empty() {
                return;
            }
        }
    });
}
