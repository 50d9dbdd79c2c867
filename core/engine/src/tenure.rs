//! The right to change one environment, held by one process at a time.
//!
//! A tenure is an epoch in the store and a lock on a file: a dead holder is seen at once, without waiting for a clock.

use std::collections::BTreeSet;
use std::fmt::Debug;
use std::fs::{File, OpenOptions};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use encamp_core::{EnvId, Error, ErrorKind, Result};

/// Held as long as this lives.
pub trait Held: Debug + Send + Sync {}

/// Locks by environment.
pub trait Locks: Debug + Send + Sync + 'static {
    /// Takes the lock of an environment, or gives `None` where somebody else holds it.
    fn try_hold(&self, environment: &EnvId) -> Result<Option<Box<dyn Held>>>;
}

/// `flock` on files of a folder. The files stay: unlinking a lock that somebody waits for would make two of it.
#[derive(Debug)]
pub struct FileLocks(pub PathBuf);

#[derive(Debug)]
#[expect(dead_code, reason = "the lock is held by the open file")]
struct LockedFile(File);
impl Held for LockedFile {}

impl Locks for FileLocks {
    fn try_hold(&self, environment: &EnvId) -> Result<Option<Box<dyn Held>>> {
        let path = self.0.join(environment.as_str());
        let failed = |e: std::io::Error| {
            Error::new(ErrorKind::Internal, format!("{} cannot be locked", path.display())).caused_by(e)
        };
        let file = OpenOptions::new()
            .create(true)
            .truncate(false)
            .write(true)
            .open(&path)
            .map_err(failed)?;
        match file.try_lock() {
            Ok(()) => Ok(Some(Box::new(LockedFile(file)))),
            Err(std::fs::TryLockError::WouldBlock) => Ok(None),
            Err(std::fs::TryLockError::Error(error)) => Err(failed(error)),
        }
    }
}

/// Locks in memory, for simulations: dropping the holder, as a crash does, frees them.
#[derive(Debug, Default, Clone)]
pub struct MemoryLocks(Arc<Mutex<BTreeSet<EnvId>>>);

#[derive(Debug)]
struct MemoryHeld(Arc<Mutex<BTreeSet<EnvId>>>, EnvId);
impl Held for MemoryHeld {}

impl Drop for MemoryHeld {
    fn drop(&mut self) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).remove(&self.1);
    }
}

impl Locks for MemoryLocks {
    fn try_hold(&self, environment: &EnvId) -> Result<Option<Box<dyn Held>>> {
        let free = self
            .0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .insert(environment.clone());
        Ok(free.then(|| Box::new(MemoryHeld(Arc::clone(&self.0), environment.clone())) as Box<dyn Held>))
    }
}
