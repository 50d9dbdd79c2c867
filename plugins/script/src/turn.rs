//! The turn of one machine's changes: one after the other, also where another process of encamp began one and is gone.

use std::fs::{self, File, OpenOptions};
use std::os::fd::OwnedFd;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

use encamp_core::{Ambient, Cx, Error, ErrorKind, Key, Result, Retry};
use rustix::fs::{CWD, FileType, FlockOperation, Mode, OFlags};
use rustix::io::Errno;

/// How often it is looked whose turn it is.
const LOOK: Duration = Duration::from_millis(20);

/// Where turns are taken: a private folder.
///
/// A turn is a lock of this process on `KEY.lock`. It goes with the process, and the command does not: that reads its
/// request from the pipe `KEY.pipe`, so as long as that has a reader the command of somebody who is gone is at work.
/// The pipe has a name and no content on any disk, since requests have secrets in them.
#[derive(Debug)]
pub(crate) struct Turns(PathBuf);

/// A turn of one machine; it ends when this is dropped.
#[derive(Debug)]
pub(crate) struct Turn {
    _lock: File,
    lock: PathBuf,
    pipe: PathBuf,
}

impl Turns {
    /// Below the state folder, which all who change a machine share.
    pub(crate) fn new(ambient: &Ambient) -> Self {
        Self(match ambient.state() {
            Some(state) => state.join("scripts"),
            None => {
                let user = rustix::process::geteuid().as_raw();
                let temporary = ambient.variable("TMPDIR").unwrap_or("/tmp");
                Path::new(temporary).join(format!("encamp-scripts-{user}"))
            }
        })
    }

    /// Takes the turn of a machine, once nobody else has it and no command of an earlier one is left.
    pub(crate) async fn take(&self, cx: &Cx, key: &Key) -> Result<Turn> {
        let fits = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
        let key = key.as_str();
        if key.is_empty() || key.starts_with('.') || !key.bytes().all(fits) {
            return Err(Error::new(ErrorKind::Invalid, format!("`{key}` is no key")));
        }
        self.make()?;
        let path = |end: &str| self.0.join(format!("{key}.{end}"));
        let (lock, pipe) = (path("lock"), path("pipe"));
        let mut mine = None;
        loop {
            if cx.is_cancelled() {
                return Err(Error::new(
                    ErrorKind::Cancelled,
                    "it was cancelled before its command was started",
                ));
            }
            if mine.is_none() {
                mine = locked(&lock).map_err(failed(&lock))?;
            }
            let busy = match &mine {
                None => "another process of encamp changes this machine just now",
                Some(_) if is_read(&pipe).map_err(failed(&pipe))? => {
                    "a command that a process of encamp has left is still at work on this machine"
                }
                Some(_) if cx.remaining().is_zero() => "there is no time left to start its command",
                Some(_) => break,
            };
            if cx.remaining().is_zero() {
                // Nothing was sent.
                return Err(Error::new(ErrorKind::Unavailable, busy)
                    .retry(Retry::Safe)
                    .with("key", key));
            }
            tokio::time::sleep(LOOK.min(cx.remaining())).await;
        }
        let mine = mine.ok_or_else(|| Error::new(ErrorKind::Internal, "a turn has no lock"))?;
        Ok(Turn {
            _lock: mine,
            lock,
            pipe,
        })
    }

    fn make(&self) -> Result<()> {
        let made = fs::DirBuilder::new().recursive(true).mode(0o700).create(&self.0);
        made.map_err(failed(&self.0))?;
        let seen = fs::symlink_metadata(&self.0).map_err(failed(&self.0))?;
        if seen.is_dir() && seen.uid() == rustix::process::geteuid().as_raw() && seen.mode() & 0o022 == 0 {
            return Ok(());
        }
        Err(
            Error::new(ErrorKind::Invalid, "others can write to the folder of a script's turns")
                .with("folder", self.0.display())
                .with("owner", seen.uid()),
        )
    }
}

impl Turn {
    /// The ends of a new pipe: what its command reads its request from, and what it is written to.
    pub(crate) fn pipe(&self) -> Result<(OwnedFd, OwnedFd)> {
        let made = || {
            remove(&self.pipe)?;
            rustix::fs::mknodat(CWD, &self.pipe, FileType::Fifo, Mode::RUSR | Mode::WUSR, 0)?;
            let open = |flags| rustix::fs::open(&self.pipe, flags | OFlags::NONBLOCK | OFlags::CLOEXEC, Mode::empty());
            let (theirs, ours) = (open(OFlags::RDONLY)?, open(OFlags::WRONLY)?);
            // They wait for what is not written yet.
            rustix::io::ioctl_fionbio(&theirs, false)?;
            Ok::<_, std::io::Error>((theirs, ours))
        };
        made().map_err(failed(&self.pipe))
    }

    /// Its command is over; what holds the pipe on is to stay.
    pub(crate) fn over(&self) {
        if let Err(error) = remove(&self.pipe) {
            tracing::debug!(%error, pipe = %self.pipe.display(), "a pipe stays");
        }
    }

    /// The machine is gone: nobody needs its turns any more.
    pub(crate) fn last(self) {
        if let Err(error) = remove(&self.lock) {
            tracing::debug!(%error, lock = %self.lock.display(), "a lock stays");
        }
    }
}

/// The lock, where nobody else has it.
fn locked(path: &Path) -> std::io::Result<Option<File>> {
    let file = OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o600)
        .open(path)?;
    match rustix::fs::flock(&file, FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => {}
        Err(Errno::WOULDBLOCK) => return Ok(None),
        Err(error) => return Err(error.into()),
    }
    // Whoever had it may have removed it: then it locks nobody out.
    let same = |there: fs::Metadata| Ok::<_, std::io::Error>(there.ino() == file.metadata()?.ino());
    match fs::symlink_metadata(path) {
        Ok(there) => Ok(same(there)?.then_some(file)),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

/// Whether somebody reads from a pipe, or may do so.
fn is_read(pipe: &Path) -> std::io::Result<bool> {
    let flags = OFlags::WRONLY | OFlags::NONBLOCK | OFlags::CLOEXEC | OFlags::NOFOLLOW;
    match rustix::fs::open(pipe, flags, Mode::empty()) {
        Ok(_) => Ok(true),
        Err(Errno::NXIO | Errno::NOENT) => Ok(false),
        Err(error) => Err(error.into()),
    }
}

fn remove(path: &Path) -> std::io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

fn failed<E: Into<std::io::Error>>(path: &Path) -> impl FnOnce(E) -> Error {
    let path = path.to_owned();
    move |error| {
        Error::new(ErrorKind::Unavailable, format!("{} cannot be used", path.display()))
            .retry(Retry::Safe)
            .caused_by(error.into())
    }
}
