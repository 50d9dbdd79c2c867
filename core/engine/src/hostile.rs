//! Archives that machines send. Code in a machine decides what they hold, so nothing in them is trusted: how many entries,
//! where they lead, how large they say that they are.

use std::fs::{self, File};
use std::io::{self, Read};
use std::path::{Component, Path, PathBuf};

use encamp_core::{Error, ErrorKind, Result};

/// Entries of an archive that are looked at.
pub(crate) const ENTRIES: usize = 100_000;

/// An archive that breaks off, or is none.
pub(crate) fn broken(error: io::Error) -> Error {
    Error::new(ErrorKind::Invalid, "the machine sent a broken archive").caused_by(error)
}

/// Shows each entry with its path, which stays below the folder that was packed.
pub(crate) fn each(packed: File, mut show: impl FnMut(PathBuf, &mut tar::Entry<'_, File>) -> Result<()>) -> Result<()> {
    let mut archive = tar::Archive::new(packed);
    for (index, entry) in archive.entries().map_err(broken)?.enumerate() {
        let mut entry = entry.map_err(broken)?;
        if index >= ENTRIES {
            return Err(Error::new(
                ErrorKind::Quota,
                format!("the machine sent more than {ENTRIES} files"),
            ));
        }
        let path = plain(&entry.path().map_err(broken)?)?;
        show(path, &mut entry)?;
    }
    Ok(())
}

/// The path without what is only decoration; refused where a part of it leads elsewhere.
pub(crate) fn plain(path: &Path) -> Result<PathBuf> {
    let is_plain = |part: &Component<'_>| matches!(part, Component::Normal(_) | Component::CurDir);
    if path.components().any(|part| !is_plain(&part)) {
        return Err(Error::new(
            ErrorKind::Invalid,
            format!("the machine sent a file outside its folder: {}", path.display()),
        ));
    }
    Ok(path
        .components()
        .filter(|part| matches!(part, Component::Normal(_)))
        .collect())
}

/// How many bytes may still be kept.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Allowance {
    left: u64,
}

impl Allowance {
    pub(crate) fn of(bytes: u64) -> Self {
        Self { left: bytes }
    }

    /// Writes a file, and the folders above it; gives how large it is, or none where that is more than may be kept.
    /// Counted as it is written: what a header says is the machine's word.
    pub(crate) fn write(&mut self, from: &mut impl Read, to: &Path) -> io::Result<Option<u64>> {
        if let Some(parent) = to.parent() {
            fs::create_dir_all(parent)?;
        }
        let mut file = File::create(to)?;
        let written = io::copy(&mut from.take(self.left.saturating_add(1)), &mut file)?;
        let Some(left) = self.left.checked_sub(written) else {
            return Ok(None);
        };
        self.left = left;
        Ok(Some(written))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_that_leads_elsewhere_is_refused() {
        for bad in ["../x", "a/../../x", "/etc/passwd", "a/.."] {
            assert!(plain(Path::new(bad)).is_err(), "{bad}");
        }
        assert_eq!(plain(Path::new("./a/./b")).unwrap(), PathBuf::from("a/b"));
    }

    #[test]
    fn an_allowance_is_for_all_files_together() {
        let folder = tempfile::tempdir().unwrap();
        let mut allowance = Allowance::of(5);
        let mut write = |name: &str, bytes: &[u8]| allowance.write(&mut &*bytes, &folder.path().join(name)).unwrap();
        assert_eq!(write("deep/a", b"abc"), Some(3));
        assert_eq!(write("b", b"xyz"), None);
        assert_eq!(write("c", b"xy"), Some(2));
        assert_eq!(write("d", b"x"), None);
    }
}
