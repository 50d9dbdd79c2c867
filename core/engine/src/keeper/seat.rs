//! The seat of a keeper: a lock that says that there is one, and a file that says who.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

use encamp_core::{EnvId, Error, ErrorKind, Result};

/// Somebody may have the lock for a moment, to see whether it is held.
const GLANCES: u32 = 50;
const GLANCE: Duration = Duration::from_millis(10);

/// Where the keeper of one environment sits.
#[derive(Debug)]
pub(crate) struct Seat(PathBuf);

/// Held as long as this lives.
#[derive(Debug)]
#[expect(dead_code, reason = "the lock is held by the open file")]
pub(crate) struct Taken(File);

impl Seat {
    pub(crate) fn of(state: &Path, environment: &EnvId) -> Self {
        Self(state.join("locks").join(format!("{environment}.keeper")))
    }

    /// Sits down, or gives `None` where somebody sits there.
    pub(crate) async fn take(&self) -> Result<Option<Taken>> {
        for _ in 0..GLANCES {
            let file = self.open()?;
            match file.try_lock() {
                Ok(()) => return sign(file).map(Some).map_err(|e| self.failed(e)),
                Err(TryLockError::Error(error)) => return Err(self.failed(error)),
                Err(TryLockError::WouldBlock) => tokio::time::sleep(GLANCE).await,
            }
        }
        Ok(None)
    }

    /// Who sits there.
    pub(crate) fn keeper(&self) -> Result<Option<u32>> {
        let Ok(file) = File::open(&self.0) else {
            return Ok(None);
        };
        match file.try_lock_shared() {
            Err(TryLockError::WouldBlock) => {}
            Err(TryLockError::Error(error)) => return Err(self.failed(error)),
            Ok(()) => return Ok(None),
        }
        // It signs right after it has sat down.
        Ok(fs::read_to_string(&self.0)
            .ok()
            .and_then(|text| text.trim().parse().ok()))
    }

    /// Whether a process has the seat's file open. The number in it may be that of a keeper before this one, which signs
    /// only after it has sat down.
    pub(super) fn is_open_in(&self, pid: u32) -> bool {
        let open = fs::read_dir(format!("/proc/{pid}/fd")).into_iter().flatten().flatten();
        open.filter_map(|entry| fs::read_link(entry.path()).ok())
            .any(|file| file == self.0)
    }

    fn open(&self) -> Result<File> {
        let file = OpenOptions::new()
            .create(true)
            .truncate(false)
            .write(true)
            .open(&self.0);
        file.map_err(|e| self.failed(e))
    }

    fn failed(&self, error: io::Error) -> Error {
        Error::new(ErrorKind::Unavailable, format!("{} cannot be locked", self.0.display())).caused_by(error)
    }
}

fn sign(mut file: File) -> io::Result<Taken> {
    file.set_len(0)?;
    writeln!(file, "{}", std::process::id())?;
    Ok(Taken(file))
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
        let taken = seat.take().await.unwrap().unwrap();
        assert_eq!(seat.keeper().unwrap(), Some(std::process::id()));
        assert!(seat.is_open_in(std::process::id()) && !seat.is_open_in(1));
        assert!(seat.take().await.unwrap().is_none());
        drop(taken);
        assert_eq!(seat.keeper().unwrap(), None);
        assert!(seat.take().await.unwrap().is_some());
    }
}
