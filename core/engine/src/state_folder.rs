//! The state folder: who this controller is, its store, its locks.

use std::fs;
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use encamp_core::{Error, ErrorKind, Result};

use crate::clock::Clock;
use crate::entropy::{Entropy, controller_id};
use crate::identity::Controller;
use crate::journal::ControllerFile;

/// An open state folder.
#[derive(Debug)]
pub struct StateFolder {
    path: PathBuf,
    controller: Controller,
    store_was_lost: bool,
}

fn failed(path: &Path, what: &str) -> impl FnOnce(io::Error) -> Error {
    let text = format!("{} cannot be {what}", path.display());
    move |e| {
        Error::new(ErrorKind::Unavailable, text)
            .caused_by(e)
            .next_step("choose another folder with --state")
    }
}

impl StateFolder {
    /// Opens the folder, and makes it, its controller's id and its owner key where they are not there yet.
    pub fn open(path: &Path, clock: &dyn Clock, entropy: &dyn Entropy) -> Result<Self> {
        fs::DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(path)
            .map_err(failed(path, "made"))?;
        let path = path.canonicalize().map_err(failed(path, "opened"))?;
        let mode = fs::metadata(&path)
            .map_err(failed(&path, "opened"))?
            .permissions()
            .mode();
        if mode & 0o077 != 0 {
            refuse_foreign(&path)?;
            fs::set_permissions(&path, fs::Permissions::from_mode(0o700)).map_err(failed(&path, "made private"))?;
        }
        for folder in ["locks", "environments"] {
            let folder = path.join(folder);
            fs::DirBuilder::new()
                .recursive(true)
                .mode(0o700)
                .create(&folder)
                .map_err(failed(&folder, "made"))?;
        }
        let store = path.join("store.db");
        // The store is made before the controller is.
        let store_was_lost = path.join("controller.json").exists() && clear_lost(&path, &store)?;
        private_file(&store)?;
        let file = path.join("controller.json");
        let text = made_once(&file, || {
            let made = ControllerFile {
                id: controller_id(entropy)?,
                created: clock.now(),
            };
            serde_json::to_vec(&made)
                .map_err(|e| Error::new(ErrorKind::Internal, "a controller cannot be written").caused_by(e))
        })?;
        let known: ControllerFile = serde_json::from_slice(&text).map_err(|e| {
            Error::new(
                ErrorKind::Invalid,
                format!("{} cannot be read as a controller", file.display()),
            )
            .caused_by(e)
        })?;
        let file = path.join("owner.key");
        let bytes = made_once(&file, || {
            let mut key = vec![0; 32];
            entropy.fill(&mut key)?;
            Ok(key)
        })?;
        let key: [u8; 32] = bytes.try_into().map_err(|_| {
            Error::new(
                ErrorKind::Invalid,
                format!("{} is no owner key: it must have 32 bytes", file.display()),
            )
        })?;
        Ok(Self {
            path,
            controller: Controller::new(known.id, key),
            store_was_lost,
        })
    }

    /// The controller.
    pub fn controller(&self) -> &Controller {
        &self.controller
    }

    /// Whether the store was not there although the controller was.
    pub fn store_was_lost(&self) -> bool {
        self.store_was_lost
    }

    /// The folder itself.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The store's file.
    pub fn store(&self) -> PathBuf {
        self.path.join("store.db")
    }

    /// The folder of those who wait for places.
    pub fn queue(&self) -> PathBuf {
        self.path.join("queue")
    }

    /// The folder of locks.
    pub fn locks(&self) -> PathBuf {
        self.path.join("locks")
    }
}

/// Whether the store is not there. What `SQLite` had put beside it belongs to the one that is lost, which a living process
/// may still have open: beside a new store it would be taken for that one's.
fn clear_lost(folder: &Path, store: &Path) -> Result<bool> {
    let lock = folder.join("locks").join("store");
    let locked = fs::File::create(&lock).and_then(|file| file.lock().map(|()| file));
    // Of several processes one clears and makes it.
    let _alone = locked.map_err(failed(&lock, "locked"))?;
    if store.exists() {
        return Ok(false);
    }
    for beside in ["store.db-wal", "store.db-shm"] {
        let beside = folder.join(beside);
        match fs::remove_file(&beside) {
            Err(e) if e.kind() != io::ErrorKind::NotFound => return Err(failed(&beside, "removed")(e)),
            _ => {}
        }
    }
    private_file(store)?;
    Ok(true)
}

/// Makes a file that is private, or makes it so; what `SQLite` puts beside its own is as private as that is.
fn private_file(path: &Path) -> Result<()> {
    let made = fs::OpenOptions::new()
        .create(true)
        .append(true)
        .mode(0o600)
        .open(path)
        .and_then(|file| file.set_permissions(fs::Permissions::from_mode(0o600)));
    made.map_err(failed(path, "made private"))
}

/// A folder that others can read and that holds other things is not made private: it is somebody's for something else.
fn refuse_foreign(path: &Path) -> Result<()> {
    let mut entries = fs::read_dir(path).map_err(failed(path, "read"))?;
    if entries.next().is_none() || path.join("controller.json").exists() {
        return Ok(());
    }
    Err(Error::new(
        ErrorKind::Invalid,
        format!("{} is no state folder: it holds other files", path.display()),
    )
    .next_step("name a folder of its own with --state"))
}

/// The contents of a file that the first of several processes makes, whole and private, and nobody ever changes.
fn made_once(path: &Path, make: impl FnOnce() -> Result<Vec<u8>>) -> Result<Vec<u8>> {
    match fs::read(path) {
        Ok(bytes) => return Ok(bytes),
        Err(e) if e.kind() == io::ErrorKind::NotFound => {}
        Err(e) => return Err(failed(path, "read")(e)),
    }
    let bytes = make()?;
    let writing = || {
        // Whole before it has its name, and only one process's draft gets it.
        let mut draft = tempfile::NamedTempFile::new_in(path.parent().unwrap_or(path))?;
        draft.write_all(&bytes)?;
        draft.as_file().sync_all()?;
        match draft.persist_noclobber(path) {
            Err(e) if e.error.kind() != io::ErrorKind::AlreadyExists => Err(e.error),
            _ => Ok(()),
        }
    };
    writing().map_err(failed(path, "written"))?;
    fs::read(path).map_err(failed(path, "read"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::SystemClock;
    use crate::entropy::SystemEntropy;

    #[test]
    fn a_folder_is_private_and_stays_who_it_is() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("state");
        let first = StateFolder::open(&path, &SystemClock, &SystemEntropy).unwrap();
        let again = StateFolder::open(&path, &SystemClock, &SystemEntropy).unwrap();
        assert_eq!(first.controller().id(), again.controller().id());
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!(mode(&path), 0o700);
        assert_eq!(mode(&path.join("owner.key")), 0o600);
        assert_eq!(mode(&first.store()), 0o600);
    }

    #[test]
    fn somebody_elses_folder_is_left_alone() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("thesis.txt"), "").unwrap();
        fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o755)).unwrap();
        let error = StateFolder::open(folder.path(), &SystemClock, &SystemEntropy).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Invalid, "{error}");
        assert_eq!(fs::metadata(folder.path()).unwrap().permissions().mode() & 0o777, 0o755);
    }

    #[test]
    fn many_at_once_agree() {
        let folder = tempfile::tempdir().unwrap();
        let ids: std::collections::BTreeSet<_> = std::thread::scope(|scope| {
            let open =
                || StateFolder::open(folder.path(), &SystemClock, &SystemEntropy).map(|f| f.controller().id().clone());
            let threads: Vec<_> = (0..8).map(|_| scope.spawn(open)).collect();
            threads
                .into_iter()
                .map(|thread| thread.join().unwrap().unwrap())
                .collect()
        });
        assert_eq!(ids.len(), 1);
    }
}
