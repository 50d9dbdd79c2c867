//! Who uses an environment that several processes share.
//!
//! A file beside the tenure's lock says what the environment stays for, and is locked: shared by each process that uses
//! it, alone by whoever ends it once nobody does. A process that dies leaves no lock.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io;
use std::path::PathBuf;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use encamp_core::{EnvId, Error, ErrorKind, Result, Time};
use serde::{Deserialize, Serialize};

/// How often it is tried to get a lock that somebody may have for a moment, to see whether it is held.
const GLANCES: u32 = 100;
const GLANCE: Duration = Duration::from_millis(10);

/// What a shared environment stays for: as long as it was used a while ago at most, and others may come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Terms {
    /// How long it stays at most once nobody uses it.
    pub(crate) linger: Duration,
    /// The process whose children use it: once that has ended nobody comes any more.
    pub(crate) leader: Option<Leader>,
}

/// A process, by its number and when it began: a number is given to another one later.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Leader {
    pid: u32,
    /// In ticks since the boot.
    began: u64,
}

impl Leader {
    /// The process with that number, where this system can tell.
    pub(crate) fn of(pid: u32) -> Option<Self> {
        let began = began(pid)?;
        Some(Self { pid, began })
    }

    fn is_alive(self) -> bool {
        began(self.pid) == Some(self.began)
    }
}

/// The 22nd field of proc(5)'s `stat`, for a process that is no zombie.
fn began(pid: u32) -> Option<u64> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The name, which stands second and in parentheses, may hold anything.
    let (_, rest) = stat.rsplit_once(") ")?;
    let mut fields = rest.split(' ');
    if fields.next()? == "Z" {
        return None;
    }
    fields.nth(18)?.parse().ok()
}

/// The locks of one installation.
#[derive(Debug, Clone)]
pub struct Users(Option<PathBuf>);

/// Uses an environment as long as it lives.
#[derive(Debug)]
pub(crate) struct Use(File);

impl Use {
    /// From now on this process uses it no more; it lingers from here.
    pub(crate) fn end(self, now: Time) {
        touch(&self.0, now);
    }
}

/// Nobody uses the environment, and nobody can begin to, as long as this lives.
#[derive(Debug)]
pub(crate) struct Alone(File);

impl Users {
    /// Nothing is shared: for simulations.
    pub fn none() -> Self {
        Self(None)
    }

    pub(crate) fn new(locks: PathBuf) -> Self {
        Self(Some(locks))
    }

    fn path(&self, environment: &EnvId) -> Result<PathBuf> {
        let locks = self
            .0
            .as_ref()
            .ok_or_else(|| Error::new(ErrorKind::Unsupported, "nothing is shared here"))?;
        Ok(locks.join(format!("{environment}.users")))
    }

    /// Says what an environment stays for, and uses it.
    pub(crate) async fn found(&self, environment: &EnvId, terms: Terms, now: Time) -> Result<Use> {
        let path = self.path(environment)?;
        let text = serde_json::to_vec(&terms)
            .map_err(|e| Error::new(ErrorKind::Internal, "the terms cannot be written").caused_by(e))?;
        fs::write(&path, text).map_err(|e| failed(&path, e))?;
        let used = self.join(environment, now).await?;
        used.ok_or_else(|| failed(&path, io::ErrorKind::ResourceBusy.into()))
    }

    /// Uses an environment; `None` where somebody is about to end it, or nobody has said what it stays for.
    pub(crate) async fn join(&self, environment: &EnvId, now: Time) -> Result<Option<Use>> {
        for _ in 0..GLANCES {
            if let Some(used) = self.try_join(environment, now)? {
                return Ok(Some(used));
            }
            tokio::time::sleep(GLANCE).await;
        }
        Ok(None)
    }

    fn try_join(&self, environment: &EnvId, now: Time) -> Result<Option<Use>> {
        let path = self.path(environment)?;
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .open(&path)
            .map_err(|e| failed(&path, e))?;
        match file.try_lock_shared() {
            Ok(()) => {
                touch(&file, now);
                Ok(Some(Use(file)))
            }
            Err(TryLockError::WouldBlock) => Ok(None),
            Err(TryLockError::Error(error)) => Err(failed(&path, error)),
        }
    }

    /// The right to end an environment that nobody uses and that has lingered for long enough; `None` where it is not
    /// so. Without its terms it is nobody's.
    pub(crate) fn alone(&self, environment: &EnvId, now: Time) -> Result<Option<Alone>> {
        let Some((alone, terms)) = self.nobody_else(environment)? else {
            return Ok(None);
        };
        let stays = terms.is_some_and(|terms| {
            now.since(touched(&alone.0)) < terms.linger && terms.leader.is_none_or(Leader::is_alive)
        });
        Ok((!stays).then_some(alone))
    }

    /// Whether nobody uses it at this moment, whatever it stays for.
    pub(crate) fn is_idle(&self, environment: &EnvId) -> Result<bool> {
        Ok(self.nobody_else(environment)?.is_some())
    }

    /// The file alone, and what it says.
    fn nobody_else(&self, environment: &EnvId) -> Result<Option<(Alone, Option<Terms>)>> {
        let path = self.path(environment)?;
        let file = OpenOptions::new()
            .create(true)
            .truncate(false)
            .read(true)
            .write(true)
            .open(&path)
            .map_err(|e| failed(&path, e))?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Ok(None),
            Err(TryLockError::Error(error)) => return Err(failed(&path, error)),
        }
        let terms = fs::read(&path).ok().and_then(|text| serde_json::from_slice(&text).ok());
        Ok(Some((Alone(file), terms)))
    }

    /// Removes what is left of an environment that is gone.
    pub(crate) fn forget(&self, environment: &EnvId) {
        let gone = self
            .path(environment)
            .and_then(|path| fs::remove_file(&path).map_err(|e| failed(&path, e)));
        if let Err(error) = gone {
            tracing::debug!(%environment, %error, "nobody shared it");
        }
    }
}

fn touch(file: &File, now: Time) {
    let millis = u64::try_from(now.unix_millis()).unwrap_or_default();
    if let Err(error) = file.set_modified(UNIX_EPOCH + Duration::from_millis(millis)) {
        tracing::warn!(%error, "when it was used last cannot be kept");
    }
}

/// When it was used last.
fn touched(file: &File) -> Time {
    let modified = file.metadata().and_then(|metadata| metadata.modified());
    let since = modified.unwrap_or(SystemTime::UNIX_EPOCH).duration_since(UNIX_EPOCH);
    let millis = since.unwrap_or_default().as_millis();
    Time::from_unix_millis(i64::try_from(millis).unwrap_or(i64::MAX))
}

fn failed(path: &std::path::Path, error: io::Error) -> Error {
    Error::new(ErrorKind::Internal, format!("{} cannot be locked", path.display())).caused_by(error)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn it_stays_while_it_is_used_and_a_while_after() {
        let folder = tempfile::tempdir().unwrap();
        let users = Users::new(folder.path().to_owned());
        let id = EnvId::new("0123456789").unwrap();
        let at = Time::from_unix_millis;
        let terms = Terms {
            linger: Duration::from_secs(10),
            leader: None,
        };
        let first = users.found(&id, terms, at(0)).await.unwrap();
        let second = users.join(&id, at(1_000)).await.unwrap().unwrap();
        first.end(at(2_000));
        assert!(users.alone(&id, at(60_000)).unwrap().is_none() && !users.is_idle(&id).unwrap());
        second.end(at(20_000));
        assert!(users.is_idle(&id).unwrap());
        assert!(users.alone(&id, at(29_999)).unwrap().is_none());
        let alone = users.alone(&id, at(30_000)).unwrap().unwrap();
        assert!(users.try_join(&id, at(30_000)).unwrap().is_none());
        drop(alone);
        assert!(users.join(&id, at(30_001)).await.unwrap().is_some());
    }

    /// Somebody may look at it in the very moment in which it is founded.
    #[tokio::test]
    async fn a_glance_keeps_nobody_out() {
        let folder = tempfile::tempdir().unwrap();
        let users = Users::new(folder.path().to_owned());
        let id = EnvId::new("0123456789").unwrap();
        let at = Time::from_unix_millis(0);
        let glance = users.alone(&id, at).unwrap().unwrap();
        let terms = Terms {
            linger: Duration::ZERO,
            leader: None,
        };
        let (used, ()) = tokio::join!(users.found(&id, terms, at), async {
            tokio::time::sleep(Duration::from_millis(30)).await;
            drop(glance);
        });
        assert!(used.is_ok());
    }

    #[tokio::test]
    async fn it_stays_no_longer_than_its_leader() {
        let folder = tempfile::tempdir().unwrap();
        let users = Users::new(folder.path().to_owned());
        let id = EnvId::new("0123456789").unwrap();
        let mut child = std::process::Command::new("sleep").arg("60").spawn().unwrap();
        let leader = Leader::of(child.id());
        assert!(leader.is_some());
        let terms = Terms {
            linger: Duration::from_secs(10),
            leader,
        };
        drop(users.found(&id, terms, Time::from_unix_millis(0)).await.unwrap());
        let alone = |millis| users.alone(&id, Time::from_unix_millis(millis)).unwrap();
        assert!(alone(9_999).is_none());
        // Its leader may be a shell that stays for days.
        assert!(alone(10_000).is_some());
        child.kill().unwrap();
        child.wait().unwrap();
        assert!(alone(1).is_some());
    }
}
