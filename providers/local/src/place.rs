//! The folder of a machine: what lies where, and how it is written so that a crash leaves the old or the new.

use std::fs::{self, File, OpenOptions, Permissions};
use std::io::{self, Write};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

use encamp_core::Value;
use rustix::fs::FlockOperation;
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::convert::Record;
use crate::process::pause;

/// The folder of one machine.
#[derive(Debug, Clone)]
pub(crate) struct Place {
    pub(crate) folder: PathBuf,
}

impl Place {
    pub(crate) fn new(folder: impl Into<PathBuf>) -> Self {
        Self { folder: folder.into() }
    }

    /// What was asked for, and how it is caged; never rewritten.
    pub(crate) fn machine(&self) -> PathBuf {
        self.folder.join("machine.json")
    }

    /// The same, read; nothing where there is none.
    pub(crate) fn record(&self) -> io::Result<Option<Record>> {
        let value = read_json::<Value>(&self.machine())?;
        let invalid = |text| io::Error::new(io::ErrorKind::InvalidData, text);
        value.map(|value| Record::read(value).map_err(invalid)).transpose()
    }

    /// Which processes stand for it.
    pub(crate) fn run(&self) -> PathBuf {
        self.folder.join("run.json")
    }

    /// How far its life came: written by the shim, and by who stops one whose shim was killed.
    pub(crate) fn life(&self) -> PathBuf {
        self.folder.join("life.json")
    }

    /// When it is to end by itself.
    pub(crate) fn expires(&self) -> PathBuf {
        self.folder.join("expires.json")
    }

    /// Held by the shim and by everything that it started.
    pub(crate) fn lock(&self) -> PathBuf {
        self.folder.join("lock")
    }

    /// It is being destroyed: no shim begins any more.
    pub(crate) fn dying(&self) -> PathBuf {
        self.folder.join("dying")
    }

    /// It is being stopped on purpose.
    pub(crate) fn stopping(&self) -> PathBuf {
        self.folder.join("stopping")
    }

    /// What its command has said.
    pub(crate) fn log(&self) -> PathBuf {
        self.folder.join("log/main")
    }

    /// What the shim itself has to say.
    pub(crate) fn shim_log(&self) -> PathBuf {
        self.folder.join("log/shim")
    }

    /// What the shim is asked for.
    pub(crate) fn request(&self) -> PathBuf {
        self.folder.join("shim.json")
    }

    /// What the first process of the machine is asked for.
    pub(crate) fn first_request(&self) -> PathBuf {
        self.folder.join("first.json")
    }

    /// The machine's home.
    pub(crate) fn home(&self) -> PathBuf {
        self.folder.join("home")
    }

    /// Its temporary folder.
    pub(crate) fn tmp(&self) -> PathBuf {
        self.folder.join("tmp")
    }

    /// The one that is not emptied when a host is started.
    pub(crate) fn var_tmp(&self) -> PathBuf {
        self.folder.join("var-tmp")
    }

    /// Its `/run`.
    pub(crate) fn run_folder(&self) -> PathBuf {
        self.folder.join("run")
    }

    /// What is the machine's own where it sees this host's files as they are.
    pub(crate) fn own(&self) -> Vec<PathBuf> {
        vec![self.home(), self.tmp(), self.var_tmp(), self.run_folder()]
    }

    /// Makes all folders that are missing.
    pub(crate) fn furnish(&self) -> io::Result<()> {
        for name in [
            "home", "tmp", "var-tmp", "run", "run/lock", "log", "upper", "work", "view",
        ] {
            fs::create_dir_all(self.folder.join(name))?;
        }
        fs::set_permissions(self.home(), Permissions::from_mode(0o700))?;
        for folder in [self.tmp(), self.var_tmp()] {
            fs::set_permissions(folder, Permissions::from_mode(0o1777))?;
        }
        for name in ["run", "run/lock", "upper", "view"] {
            fs::set_permissions(self.folder.join(name), Permissions::from_mode(0o755))?;
        }
        Ok(())
    }

    /// Whether a process of the machine lives: somebody holds the lock.
    pub(crate) fn is_held(&self) -> io::Result<bool> {
        let file = match File::open(self.lock()) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
            Err(error) => return Err(error),
        };
        match rustix::fs::flock(&file, FlockOperation::NonBlockingLockShared) {
            Ok(()) => Ok(false),
            Err(rustix::io::Errno::WOULDBLOCK) => Ok(true),
            Err(error) => Err(error.into()),
        }
    }

    /// Takes the lock, also where somebody looks at it just now; nothing where `lost` says that it is held in earnest, or
    /// it is for longer than a look takes. Waits on the calling thread.
    pub(crate) fn take_soon(&self, mut lost: impl FnMut() -> io::Result<bool>) -> io::Result<Option<File>> {
        for _ in 0..LOCK_LOOKS {
            if let Some(lock) = self.take()? {
                return Ok(Some(lock));
            }
            if lost()? {
                return Ok(None);
            }
            pause(LOCK_PAUSE);
        }
        Ok(None)
    }

    /// Takes the lock; nothing where somebody holds it.
    pub(crate) fn take(&self) -> io::Result<Option<File>> {
        let file = private()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .open(self.lock())?;
        match rustix::fs::flock(&file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => Ok(Some(file)),
            Err(rustix::io::Errno::WOULDBLOCK) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }
}

/// How long a lock may be held by somebody who only looks.
const LOCK_LOOKS: u32 = 1500;
const LOCK_PAUSE: Duration = Duration::from_millis(10);

/// Options for a file that nobody else may read.
pub(crate) fn private() -> OpenOptions {
    let mut options = OpenOptions::new();
    options.mode(0o600);
    options
}

/// Makes a folder that nobody else may enter, with its parents.
pub(crate) fn private_folder(path: &Path) -> io::Result<()> {
    use std::os::unix::fs::DirBuilderExt;
    fs::DirBuilder::new().recursive(true).mode(0o700).create(path)
}

/// Writes a file anew, and has it on the disk when it returns.
pub(crate) fn write(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(format!(".{}", std::process::id()));
    let fresh = path.with_file_name(name);
    let mut file = private().write(true).create(true).truncate(true).open(&fresh)?;
    file.write_all(bytes)?;
    file.sync_all()?;
    fs::rename(&fresh, path)?;
    sync_parent(path)
}

/// The same with a value as JSON.
pub(crate) fn write_json(path: &Path, value: &impl Serialize) -> io::Result<()> {
    write(path, &serde_json::to_vec(value)?)
}

/// Has what a folder lists on the disk.
pub(crate) fn sync_parent(path: &Path) -> io::Result<()> {
    match path.parent() {
        Some(parent) => File::open(parent)?.sync_all(),
        None => Ok(()),
    }
}

/// A value that was written as JSON; nothing where there is no such file.
pub(crate) fn read_json<T: DeserializeOwned>(path: &Path) -> io::Result<Option<T>> {
    match fs::read(path) {
        Ok(bytes) => Ok(Some(serde_json::from_slice(&bytes)?)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

/// Removes a tree whatever the modes of its folders are, as overlays leave some that nobody may enter.
pub(crate) fn remove_tree(path: &Path) -> io::Result<()> {
    let seen = match fs::symlink_metadata(path) {
        Ok(seen) => seen,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(error),
    };
    let gone = |removed: io::Result<()>| match removed {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        other => other,
    };
    if !seen.is_dir() {
        return gone(fs::remove_file(path));
    }
    if seen.permissions().mode() & 0o700 != 0o700 {
        gone(fs::set_permissions(path, Permissions::from_mode(0o700)))?;
    }
    let entries = match fs::read_dir(path) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(error),
    };
    for entry in entries {
        remove_tree(&entry?.path())?;
    }
    gone(fs::remove_dir(path))
}

/// A name that was never used before.
pub(crate) fn fresh_name() -> io::Result<String> {
    let uuid = fs::read_to_string("/proc/sys/kernel/random/uuid")?;
    Ok(uuid.trim().replace('-', ""))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lock_is_seen_by_whoever_does_not_hold_it() {
        let folder = tempfile::tempdir().unwrap();
        let place = Place::new(folder.path());
        assert!(!place.is_held().unwrap());
        let held = place.take().unwrap();
        assert!(held.is_some() && place.is_held().unwrap() && place.take().unwrap().is_none());
        drop(held);
        assert!(!place.is_held().unwrap());
    }

    #[test]
    fn a_look_at_a_lock_is_no_hold() {
        let folder = tempfile::tempdir().unwrap();
        let place = Place::new(folder.path());
        drop(place.take().unwrap());
        let looked_at = File::open(place.lock()).unwrap();
        rustix::fs::flock(&looked_at, FlockOperation::LockShared).unwrap();
        let mut looks = 0;
        let lost = place.take_soon(|| {
            looks += 1;
            Ok(looks == 3)
        });
        assert!(lost.unwrap().is_none() && looks == 3);
        let mut looked_at = Some(looked_at);
        let taken = place.take_soon(|| {
            looks += 1;
            if looks == 6 {
                looked_at = None;
            }
            Ok(false)
        });
        assert!(taken.unwrap().is_some());
    }

    #[test]
    fn a_tree_goes_whatever_its_modes() {
        let folder = tempfile::tempdir().unwrap();
        let tree = folder.path().join("tree");
        fs::create_dir_all(tree.join("work/inner")).unwrap();
        fs::write(tree.join("work/inner/file"), "x").unwrap();
        std::os::unix::fs::symlink("/etc", tree.join("link")).unwrap();
        fs::set_permissions(tree.join("work"), Permissions::from_mode(0o000)).unwrap();
        remove_tree(&tree).unwrap();
        assert!(!tree.exists() && Path::new("/etc").exists());
        remove_tree(&tree).unwrap();
    }

    #[test]
    fn what_is_written_is_read() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("life.json");
        assert_eq!(read_json::<u32>(&path).unwrap(), None);
        write_json(&path, &7).unwrap();
        assert_eq!(read_json::<u32>(&path).unwrap(), Some(7));
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    }
}
