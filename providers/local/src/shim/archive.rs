//! Files in and out, as somebody inside the machine sees them.

use std::fs;
use std::io::{self, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::{Component, Path, PathBuf};
use std::process::ExitCode;

use rustix::fs::{AtFlags, CWD, Gid, Uid};

use super::complain;

/// What was asked for is not there.
pub(crate) const NOT_THERE: u8 = 3;
/// What was asked for leads out of the folders in which it must be.
pub(crate) const OUT_OF_BOUNDS: u8 = 4;
/// Anything else.
const FAILED: u8 = 1;

/// Unpacks standard input into a folder, which is made with its parents where it is missing.
pub(super) fn unpack(folder: &str, bounds: &[PathBuf]) -> ExitCode {
    // Nothing is made outside.
    if above(Path::new(folder)).is_ok_and(|real| !is_within(&real, bounds)) {
        return ExitCode::from(OUT_OF_BOUNDS);
    }
    let unpacked = || {
        fs::create_dir_all(folder)?;
        let folder = Path::new(folder).canonicalize()?;
        if !is_within(&folder, bounds) {
            return Err(io::Error::other("it leads out of the machine's own folders"));
        }
        let mut archive = tar::Archive::new(io::stdin().lock());
        archive.set_preserve_permissions(true);
        archive.set_preserve_mtime(true);
        archive.set_overwrite(true);
        let may_own = may_own()?;
        // Folders come last and from the inside out: what they allow must not stand in the way of what is in them.
        let mut folders = Vec::new();
        for entry in archive.entries()? {
            let entry = entry?;
            if entry.header().entry_type().is_dir() {
                folders.push(entry);
            } else {
                put(entry, &folder, may_own)?;
            }
        }
        folders.sort_by(|one, other| other.path_bytes().cmp(&one.path_bytes()));
        folders.into_iter().try_for_each(|entry| put(entry, &folder, may_own))
    };
    ended(unpacked(), folder)
}

/// One entry, with its owner where it has one that can be given. What would land outside is left out.
fn put<R: io::Read>(mut entry: tar::Entry<'_, R>, folder: &Path, may_own: bool) -> io::Result<()> {
    let header = entry.header();
    let id = |id: io::Result<u64>| id.ok().and_then(|id| u32::try_from(id).ok());
    let owner = id(header.uid()).zip(id(header.gid())).filter(|_| may_own);
    let (mode, is_link) = (header.mode()?, header.entry_type().is_symlink());
    let parts = entry.path()?.into_owned();
    if !entry.unpack_in(folder)? {
        return Ok(());
    }
    let Some((uid, gid)) = owner else { return Ok(()) };
    let normal = parts.components().filter(|part| matches!(part, Component::Normal(_)));
    let path = normal.fold(folder.to_owned(), |path, part| path.join(part));
    let (uid, gid) = (Uid::from_raw(uid), Gid::from_raw(gid));
    rustix::fs::chownat(CWD, &path, Some(uid), Some(gid), AtFlags::SYMLINK_NOFOLLOW)?;
    // A change of the owner takes the bits that lend his rights.
    if mode & 0o6000 != 0 && !is_link {
        fs::set_permissions(&path, fs::Permissions::from_mode(mode & 0o7777))?;
    }
    Ok(())
}

/// Packs a path to standard output; entries begin with its last part.
pub(super) fn pack(path: &str, bounds: &[PathBuf]) -> ExitCode {
    let real = match real(Path::new(path)) {
        Ok(real) => real,
        // Said below, by what it is that is not there.
        Err(_) => path.into(),
    };
    if !is_within(&real, bounds) {
        return ExitCode::from(OUT_OF_BOUNDS);
    }
    let real = &*real;
    if let Err(error) = fs::symlink_metadata(real)
        && matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory)
    {
        return ExitCode::from(NOT_THERE);
    }
    let packed = || {
        let name = match real.components().next_back() {
            Some(Component::Normal(name)) => Path::new(name),
            _ => Path::new("."),
        };
        let mut builder = tar::Builder::new(io::stdout().lock());
        builder.follow_symlinks(false);
        if fs::symlink_metadata(real)?.is_dir() {
            builder.append_dir_all(name, real)?;
        } else {
            builder.append_path_with_name(real, name)?;
        }
        builder.into_inner()?.flush()
    };
    ended(packed(), path)
}

/// A path whose folder has no link in it; the last part may be one, which is packed as such.
fn real(path: &Path) -> io::Result<PathBuf> {
    match (path.parent(), path.components().next_back()) {
        (Some(folder), Some(Component::Normal(name))) => Ok(folder.canonicalize()?.join(name)),
        _ => path.canonicalize(),
    }
}

/// What is there of a path, without a link in it.
fn above(path: &Path) -> io::Result<PathBuf> {
    let missing = |error: &io::Error| error.kind() == io::ErrorKind::NotFound;
    let mut known = path.ancestors().map(Path::canonicalize);
    let there = known.find(|known| !known.as_ref().is_err_and(missing));
    there.unwrap_or_else(|| Err(io::ErrorKind::NotFound.into()))
}

/// Where there are no bounds, everywhere is within.
fn is_within(path: &Path, bounds: &[PathBuf]) -> bool {
    bounds.is_empty() || bounds.iter().any(|bound| path.starts_with(bound))
}

fn ended(done: io::Result<()>, path: &str) -> ExitCode {
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let source = std::error::Error::source(&error).map_or_else(String::new, |source| format!(": {source}"));
            complain(&format!("{path}: {error}{source}"));
            ExitCode::from(FAILED)
        }
    }
}

/// Whether files can be given to others: root can, unless it is only root of a user name space of one user.
fn may_own() -> io::Result<bool> {
    let map = fs::read_to_string("/proc/self/uid_map")?;
    let whole = map.split_whitespace().nth(2).is_some_and(|count| count != "1");
    Ok(whole && rustix::process::geteuid().is_root())
}
