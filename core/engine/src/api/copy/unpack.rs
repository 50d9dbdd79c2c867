//! An archive of a machine into a place of this host. Code in the machine decides what it holds, so it is hostile: it is
//! unpacked into a fresh folder, links are made last and none leads out, and only then does it go where it is wanted.

use std::fs::{self, File};
use std::io::{self, Read};
use std::os::unix::fs::PermissionsExt;
use std::path::{Component, Path, PathBuf};

use encamp_core::{Error, ErrorKind, Result};
use tar::EntryType;

use super::{Copied, too_large};
use crate::hostile::{self, Allowance, broken};

/// Things left out that are named.
const NAMED: usize = 20;

fn disk(path: &Path) -> impl FnOnce(io::Error) -> Error {
    let text = format!("{} cannot be written", path.display());
    move |e| Error::new(ErrorKind::Invalid, text).caused_by(e)
}

/// Unpacks what was packed of one path, so that it becomes `target`; `contents` alone where that is a folder's.
pub(super) fn into(packed: File, target: &Path, contents: bool, limit: u64) -> Result<Copied> {
    let parent = match target.parent() {
        _ if contents && target.is_dir() => target,
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    // Beside the target, so that it needs only be renamed; fresh, so that nothing of anybody's is in the way.
    let fresh = tempfile::Builder::new()
        .prefix(".encamp-copy-")
        .tempdir_in(parent)
        .map_err(disk(parent))?;
    let item = fresh.path().join("item");
    let mut unpacking = Unpacking {
        item: item.clone(),
        allowance: Allowance::of(limit),
        limit,
        links: Vec::new(),
        copied: Copied::default(),
    };
    unpacking.all(packed)?;
    unpacking.make_links()?;
    if !item.exists() && fs::symlink_metadata(&item).is_err() {
        return Err(
            Error::new(ErrorKind::NotFound, "there was nothing in it that can be copied")
                .with("left out", unpacking.copied.skipped.join("; ")),
        );
    }
    settle(&item, target)?;
    Ok(unpacking.copied)
}

struct Unpacking {
    item: PathBuf,
    allowance: Allowance,
    limit: u64,
    links: Vec<(PathBuf, PathBuf)>,
    copied: Copied,
}

impl Unpacking {
    fn all(&mut self, packed: File) -> Result<()> {
        hostile::each(packed, |path, entry| {
            let relative = below(&path);
            let mode = entry.header().mode().unwrap_or(0o644);
            match entry.header().entry_type() {
                EntryType::Regular | EntryType::Continuous => self.file(&relative, mode, entry)?,
                EntryType::Directory => self.folder(&relative)?,
                EntryType::Symlink => {
                    let target = entry.link_name().map_err(broken)?.unwrap_or_default().into_owned();
                    self.links.push((relative, target));
                }
                EntryType::Link => {
                    let first = hostile::plain(&entry.link_name().map_err(broken)?.unwrap_or_default())?;
                    self.hard_link(&relative, &below(&first), mode)?;
                }
                _ => self.skip(&relative, "neither a file, a folder nor a link"),
            }
            Ok(())
        })
    }

    fn skip(&mut self, relative: &Path, why: &str) {
        if self.copied.skipped.len() < NAMED {
            self.copied.skipped.push(format!("{}: {why}", relative.display()));
        }
    }

    /// No link has been made yet, so what is joined here stays in the fresh folder.
    fn at(&self, relative: &Path) -> PathBuf {
        if relative.as_os_str().is_empty() {
            self.item.clone()
        } else {
            self.item.join(relative)
        }
    }

    fn folder(&mut self, relative: &Path) -> Result<()> {
        let path = self.at(relative);
        fs::create_dir_all(&path).map_err(disk(&path))
    }

    fn file(&mut self, relative: &Path, mode: u32, from: &mut impl Read) -> Result<()> {
        let path = self.at(relative);
        let written = self.allowance.write(from, &path).map_err(disk(&path))?;
        let written = written.ok_or_else(|| too_large(self.limit))?;
        self.copied.files += 1;
        self.copied.bytes += written;
        permit(&path, mode)
    }

    /// Another name of a file becomes a file of its own.
    fn hard_link(&mut self, relative: &Path, first: &Path, mode: u32) -> Result<()> {
        let first = self.at(first);
        if !first.is_file() {
            self.skip(relative, "a name of a file that is not in the archive");
            return Ok(());
        }
        let mut from = File::open(&first).map_err(disk(&first))?;
        self.file(relative, mode, &mut from)
    }

    /// After everything else, so that nothing is ever written through one.
    fn make_links(&mut self) -> Result<()> {
        for (relative, target) in std::mem::take(&mut self.links) {
            let path = self.at(&relative);
            if !stays_inside(&relative, &target) {
                self.skip(&relative, "a link that leads out of the folder");
                continue;
            }
            if fs::symlink_metadata(&path).is_ok() {
                self.skip(&relative, "something else has its name");
                continue;
            }
            if let Some(parent) = path.parent() {
                // A folder that is reached through a link made just now is refused with it.
                if !is_plain_way(&self.item, parent) {
                    self.skip(&relative, "its folder is a link");
                    continue;
                }
                fs::create_dir_all(parent).map_err(disk(parent))?;
            }
            std::os::unix::fs::symlink(&target, &path).map_err(disk(&path))?;
        }
        Ok(())
    }
}

/// The path without its first part, which is the name of what was packed.
fn below(path: &Path) -> PathBuf {
    path.components().skip(1).collect()
}

/// Whether a link at `relative` that says `target` leads to something below the folder.
fn stays_inside(relative: &Path, target: &Path) -> bool {
    let Some(parent) = relative.parent() else { return false };
    let mut depth = parent.components().count();
    for part in target.components() {
        match part {
            Component::Normal(_) => depth += 1,
            Component::CurDir => {}
            Component::ParentDir if depth > 0 => depth -= 1,
            Component::ParentDir | Component::RootDir | Component::Prefix(_) => return false,
        }
    }
    true
}

/// Whether no part between `root` and `at` is a link.
fn is_plain_way(root: &Path, at: &Path) -> bool {
    at.ancestors()
        .take_while(|path| path.starts_with(root))
        .all(|path| !fs::symlink_metadata(path).is_ok_and(|kind| kind.is_symlink()))
}

/// Read, write and execute alone: nothing that a machine sends runs as somebody else.
fn permit(path: &Path, mode: u32) -> Result<()> {
    let permissions = fs::Permissions::from_mode(mode & 0o777 | 0o600);
    fs::set_permissions(path, permissions).map_err(disk(path))
}

/// Puts what was unpacked where it is wanted; a folder that is there is filled up, and never through a link in it.
fn settle(from: &Path, to: &Path) -> Result<()> {
    let kind = fs::symlink_metadata(from).map_err(disk(from))?;
    if !kind.is_dir() {
        if to.is_dir() {
            return Err(in_the_way(to, "a folder"));
        }
        return fs::rename(from, to).map_err(disk(to));
    }
    match fs::metadata(to) {
        Err(_) => return fs::rename(from, to).map_err(disk(to)),
        Ok(there) if !there.is_dir() => return Err(in_the_way(to, "no folder")),
        Ok(_) => {}
    }
    for entry in fs::read_dir(from).map_err(disk(from))? {
        let entry = entry.map_err(disk(from))?;
        let target = to.join(entry.file_name());
        let is_link = fs::symlink_metadata(&target).is_ok_and(|kind| kind.is_symlink());
        if is_link && entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            return Err(in_the_way(&target, "a link"));
        }
        settle(&entry.path(), &target)?;
    }
    Ok(())
}

fn in_the_way(path: &Path, what: &str) -> Error {
    Error::new(
        ErrorKind::Conflict,
        format!("{} is there, and is {what}", path.display()),
    )
}

#[cfg(test)]
mod tests {
    use std::io::Seek;

    use super::*;

    struct Entry<'a>(&'a str, EntryType, &'a str, u32);

    fn archive(entries: &[Entry<'_>]) -> File {
        let mut builder = tar::Builder::new(tempfile::tempfile().unwrap());
        for Entry(path, kind, body, mode) in entries {
            let mut header = tar::Header::new_gnu();
            header.set_entry_type(*kind);
            header.set_mode(*mode);
            header.as_gnu_mut().unwrap().name[..path.len()].copy_from_slice(path.as_bytes());
            let is_link = matches!(kind, EntryType::Symlink | EntryType::Link);
            if is_link {
                header.as_gnu_mut().unwrap().linkname[..body.len()].copy_from_slice(body.as_bytes());
            }
            let body = if is_link { "" } else { body };
            header.set_size(body.len() as u64);
            header.set_cksum();
            builder.append(&header, body.as_bytes()).unwrap();
        }
        let mut file = builder.into_inner().unwrap();
        file.rewind().unwrap();
        file
    }

    const FILE: EntryType = EntryType::Regular;
    const LINK: EntryType = EntryType::Symlink;

    #[test]
    fn a_folder_becomes_the_target_with_its_links_and_modes() {
        let host = tempfile::tempdir().unwrap();
        let target = host.path().join("new");
        let packed = archive(&[
            Entry("conf", EntryType::Directory, "", 0o755),
            Entry("conf/run.sh", FILE, "echo", 0o4755),
            Entry("conf/deep/a", FILE, "a", 0o000),
            Entry("conf/again", EntryType::Link, "conf/deep/a", 0o644),
            Entry("conf/deep/link", LINK, "../run.sh", 0o777),
        ]);
        let copied = into(packed, &target, false, 100).unwrap();
        assert_eq!((copied.files, copied.bytes), (3, 6), "{copied:?}");
        assert_eq!(fs::read_to_string(target.join("deep/link")).unwrap(), "echo");
        assert_eq!(fs::read_to_string(target.join("again")).unwrap(), "a");
        let mode = fs::metadata(target.join("run.sh")).unwrap().permissions().mode();
        assert_eq!(mode & 0o7777, 0o755, "no setuid");
        let names: Vec<_> = fs::read_dir(host.path())
            .unwrap()
            .map(|e| e.unwrap().file_name())
            .collect();
        assert_eq!(names, ["new"], "the fresh folder is gone");
    }

    #[test]
    fn a_file_becomes_the_target_and_a_folder_that_is_there_is_filled_up() {
        let host = tempfile::tempdir().unwrap();
        let target = host.path().join("there");
        fs::create_dir(&target).unwrap();
        fs::write(target.join("mine"), "mine").unwrap();
        let packed = || archive(&[Entry("conf/a", FILE, "new", 0o644)]);
        into(packed(), &target, false, 100).unwrap();
        assert_eq!(fs::read_to_string(target.join("a")).unwrap(), "new");
        assert_eq!(fs::read_to_string(target.join("mine")).unwrap(), "mine");
        let one = archive(&[Entry("hosts", FILE, "x", 0o644)]);
        into(one, &host.path().join("file"), false, 100).unwrap();
        assert_eq!(fs::read_to_string(host.path().join("file")).unwrap(), "x");
        let one = archive(&[Entry("hosts", FILE, "x", 0o644)]);
        assert_eq!(into(one, &target, false, 100).unwrap_err().kind(), ErrorKind::Conflict);
    }

    #[test]
    fn nothing_is_written_outside() {
        let host = tempfile::tempdir().unwrap();
        let target = host.path().join("target");
        let outside = host.path().join("outside");
        fs::create_dir(&outside).unwrap();
        let secret = outside.display().to_string();
        for climbing in ["conf/../../evil", "/etc/evil", "../evil"] {
            let packed = archive(&[Entry(climbing, FILE, "x", 0o644)]);
            assert!(into(packed, &target, false, 100).is_err(), "{climbing}");
        }
        // A link to the outside, and a file through it.
        for link in [secret.as_str(), "../outside", "deep/../../outside"] {
            let packed = archive(&[
                Entry("conf/door", LINK, link, 0o777),
                Entry("conf/door/evil", FILE, "x", 0o644),
            ]);
            let copied = into(packed, &target, false, 100);
            assert_eq!(fs::read_dir(&outside).unwrap().count(), 0, "{copied:?}");
            let _ = fs::remove_dir_all(&target);
        }
        // A link to a link.
        let packed = archive(&[
            Entry("conf/a", EntryType::Directory, "", 0o755),
            Entry("conf/up", LINK, "a", 0o777),
            Entry("conf/up/out", LINK, "../../outside", 0o777),
        ]);
        let copied = into(packed, &target, false, 100).unwrap();
        assert_eq!(copied.skipped.len(), 1, "{copied:?}");
        assert!(fs::symlink_metadata(target.join("a/out")).is_err());
        assert!(!host.path().join("evil").exists());
    }

    #[test]
    fn a_link_that_is_there_is_not_written_through() {
        let host = tempfile::tempdir().unwrap();
        let (target, outside) = (host.path().join("target"), host.path().join("outside"));
        fs::create_dir(&target).unwrap();
        fs::create_dir(&outside).unwrap();
        std::os::unix::fs::symlink(&outside, target.join("door")).unwrap();
        let packed = archive(&[Entry("conf/door/evil", FILE, "x", 0o644)]);
        assert_eq!(
            into(packed, &target, false, 100).unwrap_err().kind(),
            ErrorKind::Conflict
        );
        assert_eq!(fs::read_dir(&outside).unwrap().count(), 0);
    }

    #[test]
    fn limits_hold_and_devices_are_left_out() {
        let host = tempfile::tempdir().unwrap();
        let target = host.path().join("target");
        let packed = archive(&[Entry("conf/a", FILE, &"x".repeat(200), 0o644)]);
        assert_eq!(into(packed, &target, false, 100).unwrap_err().kind(), ErrorKind::Quota);
        // Another name counts again: the bytes are on the disk again.
        let packed = archive(&[
            Entry("conf/a", FILE, &"x".repeat(60), 0o644),
            Entry("conf/b", EntryType::Link, "conf/a", 0o644),
        ]);
        assert_eq!(into(packed, &target, false, 100).unwrap_err().kind(), ErrorKind::Quota);
        let packed = archive(&[
            Entry("conf/null", EntryType::Char, "", 0o666),
            Entry("conf/pipe", EntryType::Fifo, "", 0o666),
            Entry("conf/a", FILE, "a", 0o644),
        ]);
        let copied = into(packed, &target, false, 100).unwrap();
        assert_eq!((copied.files, copied.skipped.len()), (1, 2), "{copied:?}");
        assert!(!target.join("null").exists() && !target.join("pipe").exists());
    }
}
