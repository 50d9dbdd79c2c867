//! A little of the disk that a keeper has put aside: where the disk is full, it gives it free and can still write down
//! what it does.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

/// What is put aside, in bytes: room for a few hundred transactions.
const SIZE: u64 = 1 << 20;
/// Below so many free bytes the disk counts as full.
const LOW: u64 = 256 << 10;

/// What is put aside.
#[derive(Debug)]
pub(super) struct Reserve(PathBuf);

impl Reserve {
    /// Puts it aside; where there is no room now, there is none.
    pub(super) fn put_aside(folder: &Path) -> Self {
        let path = folder.join("reserve");
        let made = OpenOptions::new()
            .create(true)
            .truncate(false)
            .write(true)
            .mode(0o600)
            .open(&path);
        let filled = made.and_then(|file| fill(&file));
        if let Err(error) = filled {
            tracing::info!(%error, "nothing is put aside for a full disk");
        }
        Self(path)
    }

    /// Whether the disk is full.
    pub(super) fn is_needed(&self) -> bool {
        let folder = self.0.parent().unwrap_or(&self.0);
        rustix::fs::statvfs(folder).is_ok_and(|disk| disk.f_bavail.saturating_mul(disk.f_frsize) < LOW)
    }

    /// Gives it free; whether there was anything.
    pub(super) fn give_free(&self) -> bool {
        std::fs::remove_file(&self.0).is_ok()
    }
}

impl Drop for Reserve {
    fn drop(&mut self) {
        self.give_free();
    }
}

fn fill(file: &File) -> io::Result<()> {
    // Blocks that are only promised are not put aside.
    rustix::fs::fallocate(file, rustix::fs::FallocateFlags::empty(), 0, SIZE)?;
    Ok(())
}
