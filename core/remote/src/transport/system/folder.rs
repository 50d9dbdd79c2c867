//! The folder of one program for what belongs to its connections, and those that programs left which were killed.

use std::fs::{self, File, Permissions};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

use encamp_core::{Ambient, Error, ErrorKind, Result};

/// A socket's path must fit into 108 bytes, and ssh puts 17 behind it while it makes one.
const FOLDER_BYTES_MAX: usize = 70;
const PREFIX: &str = "encamp-ssh-";
/// The file in it that its program holds locked. It is called so only once it is locked.
const LOCK: &str = "lock";

/// A folder with a short path that nobody else can look into.
#[derive(Debug)]
pub(super) struct Folder {
    path: tempfile::TempDir,
    _lock: File,
}

impl Folder {
    /// Makes one; and removes those beside it whose programs are gone.
    pub(super) fn new(ambient: &Ambient) -> Result<Self> {
        let runtime = ambient.variable("XDG_RUNTIME_DIR").map(PathBuf::from);
        let candidates = runtime.into_iter().chain([PathBuf::from("/tmp")]);
        let mut refused = None;
        for parent in candidates.filter(|parent| parent.is_absolute() && parent.as_os_str().len() < FOLDER_BYTES_MAX) {
            match Self::below(&parent) {
                Ok(folder) => {
                    folder.sweep(&parent);
                    return Ok(folder);
                }
                Err(native) => refused = Some((parent, native)),
            }
        }
        let (parent, native) = refused.unwrap_or_else(|| ("/tmp".into(), std::io::ErrorKind::NotFound.into()));
        Err(Error::new(
            ErrorKind::Unavailable,
            format!("no folder for the sockets of ssh can be made in {}", parent.display()),
        )
        .caused_by(native))
    }

    pub(super) fn path(&self) -> &Path {
        self.path.path()
    }

    fn below(parent: &Path) -> std::io::Result<Self> {
        let mut builder = tempfile::Builder::new();
        let path = builder
            .prefix(PREFIX)
            .permissions(Permissions::from_mode(0o700))
            .tempdir_in(parent)?;
        let unlocked = path.path().join("unlocked");
        let lock = File::create(&unlocked)?;
        lock.lock()?;
        fs::rename(unlocked, path.path().join(LOCK))?;
        Ok(Self { path, _lock: lock })
    }

    /// The kernel lets go of a lock when its program ends, whatever ended it.
    fn sweep(&self, parent: &Path) {
        let Ok(own) = fs::metadata(self.path()) else { return };
        for entry in fs::read_dir(parent).into_iter().flatten().flatten() {
            let is_ours = entry.file_name().to_string_lossy().starts_with(PREFIX)
                && entry.metadata().is_ok_and(|it| it.is_dir() && it.uid() == own.uid());
            if is_ours
                && let Ok(lock) = File::open(entry.path().join(LOCK))
                && lock.try_lock().is_ok()
                && let Err(native) = fs::remove_dir_all(entry.path())
            {
                tracing::debug!(folder = %entry.path().display(), %native, "what a program left stays behind");
            }
        }
    }
}
