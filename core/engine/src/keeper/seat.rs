//! The seat of a keeper: a lock that says that there is one, and a file that says who.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, Write};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use encamp_core::{EnvId, Error, ErrorKind, Result};

/// Somebody may have the lock for a moment, to see whether it is held.
const GLANCES: u32 = 50;
const GLANCE: Duration = Duration::from_millis(10);

/// Where the keeper of one environment sits.
#[derive(Debug)]
pub(crate) struct Seat {
    file: PathBuf,
    store: PathBuf,
}

/// Held as long as this lives.
#[derive(Debug)]
#[expect(dead_code, reason = "the lock is held by the open file")]
pub(crate) struct Taken(File);

impl Seat {
    pub(crate) fn of(state: &Path, environment: &EnvId) -> Self {
        Self {
            file: state.join("locks").join(format!("{environment}.keeper")),
            store: state.join("store.db"),
        }
    }

    /// Sits down, or gives `None` where somebody sits there.
    pub(crate) async fn take(&self) -> Result<Option<Taken>> {
        for _ in 0..GLANCES {
            let file = self.open()?;
            match file.try_lock() {
                Ok(()) => return self.sign(file).map(Some).map_err(|e| self.failed(e)),
                Err(TryLockError::Error(error)) => return Err(self.failed(error)),
                Err(TryLockError::WouldBlock) => tokio::time::sleep(GLANCE).await,
            }
        }
        Ok(None)
    }

    /// Who sits there.
    pub(crate) fn keeper(&self) -> Result<Option<u32>> {
        Ok(self.signed()?.map(|(pid, _)| pid))
    }

    /// Whether whoever sits there works by the store that lies in the state folder now, and not by one that was lost.
    pub(super) fn knows_the_store(&self) -> Result<bool> {
        Ok(self.signed()?.is_some_and(|(_, store)| store == self.store_number()))
    }

    /// The process that sits there, and the number of its store's file.
    fn signed(&self) -> Result<Option<(u32, u64)>> {
        let Ok(file) = File::open(&self.file) else {
            return Ok(None);
        };
        match file.try_lock_shared() {
            Err(TryLockError::WouldBlock) => {}
            Err(TryLockError::Error(error)) => return Err(self.failed(error)),
            Ok(()) => return Ok(None),
        }
        // It signs right after it has sat down.
        let text = fs::read_to_string(&self.file).unwrap_or_default();
        let mut words = text.split_whitespace();
        let pid = words.next().and_then(|word| word.parse().ok());
        let store = words.next().and_then(|word| word.parse().ok());
        Ok(pid.zip(store))
    }

    fn store_number(&self) -> u64 {
        fs::metadata(&self.store).map_or(0, |store| store.ino())
    }

    fn sign(&self, mut file: File) -> io::Result<Taken> {
        file.set_len(0)?;
        writeln!(file, "{} {}", std::process::id(), self.store_number())?;
        Ok(Taken(file))
    }

    /// Removes it, once nothing speaks of its environment any more.
    pub(super) fn remove(&self) -> io::Result<()> {
        fs::remove_file(&self.file)
    }

    /// Whether a process has the seat's file open. The number in it may be that of a keeper before this one, which signs
    /// only after it has sat down.
    pub(super) fn is_open_in(&self, pid: u32) -> bool {
        let open = fs::read_dir(format!("/proc/{pid}/fd")).into_iter().flatten().flatten();
        open.filter_map(|entry| fs::read_link(entry.path()).ok())
            .any(|file| file == self.file)
    }

    fn open(&self) -> Result<File> {
        let file = OpenOptions::new()
            .create(true)
            .truncate(false)
            .write(true)
            .open(&self.file);
        file.map_err(|e| self.failed(e))
    }

    fn failed(&self, error: io::Error) -> Error {
        Error::new(
            ErrorKind::Unavailable,
            format!("{} cannot be locked", self.file.display()),
        )
        .caused_by(error)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn one_sits_there_at_a_time() {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir(folder.path().join("locks")).unwrap();
        let seat = Seat::of(folder.path(), &EnvId::new("0123456789").unwrap());
        assert_eq!(seat.keeper().unwrap(), None);
        fs::write(folder.path().join("store.db"), "").unwrap();
        let taken = seat.take().await.unwrap().unwrap();
        assert_eq!(seat.keeper().unwrap(), Some(std::process::id()));
        assert!(seat.is_open_in(std::process::id()) && !seat.is_open_in(1));
        assert!(seat.take().await.unwrap().is_none());
        assert!(seat.knows_the_store().unwrap());
        fs::rename(folder.path().join("store.db"), folder.path().join("lost.db")).unwrap();
        fs::write(folder.path().join("store.db"), "").unwrap();
        assert!(!seat.knows_the_store().unwrap());
        drop(taken);
        assert_eq!(seat.keeper().unwrap(), None);
        assert!(seat.take().await.unwrap().is_some());
    }
}
