//! Files of the controller as the tar stream that a machine unpacks.

use std::fs::{self, File};
use std::io::{self, Read, Seek};
use std::path::{Component, Path, PathBuf};

use encamp_core::{BoxRead, Error, ErrorKind, Result};
use tar::{Builder, EntryType, Header};

use super::act::unreadable;

/// Entries of an archive that are taken at most.
const ENTRIES: usize = 100_000;
/// Bytes that an archive may unpack to.
const UNPACKED: u64 = 8 << 30;

/// The mode of files.
#[derive(Debug, Clone, Copy)]
pub(super) enum Mode {
    /// Theirs, as far as the x-bit: 0755 or 0644.
    Kept,
    Fixed(u32),
}

/// Whose they are; root's where none is given.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Ids {
    pub(super) uid: u64,
    pub(super) gid: u64,
}

impl Mode {
    fn of(self, executable: bool) -> u32 {
        match self {
            Self::Fixed(mode) => mode,
            Self::Kept if executable => 0o755,
            Self::Kept => 0o644,
        }
    }
}

struct Packing {
    tar: Builder<File>,
    mode: Mode,
    ids: Option<Ids>,
    entries: usize,
    /// Of what comes next, in seconds since 1970.
    mtime: u64,
}

/// One file under a name.
pub(super) async fn of_path(path: &Path, name: &str, mode: Mode, ids: Option<Ids>) -> Result<BoxRead> {
    let (path, name) = (path.to_owned(), name.to_owned());
    packed(mode, ids, move |packing| {
        let file = File::open(&path).map_err(unreadable(&path))?;
        let metadata = file.metadata().map_err(unreadable(&path))?;
        packing.mtime = mtime(&metadata);
        packing.file(Path::new(&name), file, metadata.len(), is_executable(&metadata))
    })
    .await
}

/// A text under a name; the x-bit is that of `like`.
pub(super) async fn of_text(text: String, name: &str, like: &Path, mode: Mode, ids: Option<Ids>) -> Result<BoxRead> {
    let (name, like) = (name.to_owned(), like.to_owned());
    packed(mode, ids, move |packing| {
        let like = fs::metadata(&like);
        let executable = like.as_ref().is_ok_and(is_executable);
        packing.mtime = like.as_ref().map_or(0, mtime);
        packing.file(Path::new(&name), text.as_bytes(), text.len() as u64, executable)
    })
    .await
}

/// What is in a folder, links as links.
pub(super) async fn of_folder(folder: &Path, mode: Mode, ids: Option<Ids>) -> Result<BoxRead> {
    let folder = folder.to_owned();
    packed(mode, ids, move |packing| packing.folder(&folder, Path::new(""))).await
}

/// Chosen files of a folder.
pub(super) async fn of_files(folder: &Path, files: Vec<PathBuf>) -> Result<BoxRead> {
    let folder = folder.to_owned();
    packed(Mode::Kept, None, move |packing| {
        files.iter().try_for_each(|file| packing.path(&folder.join(file), file))
    })
    .await
}

/// What is in an archive that came from somewhere: no links, no devices, nothing outside.
pub(super) async fn of_archive(archive: &Path, url: &str, mode: Mode, ids: Option<Ids>) -> Result<BoxRead> {
    let (archive, url) = (archive.to_owned(), url.to_owned());
    packed(mode, ids, move |packing| packing.archive(&archive, &url)).await
}

async fn packed(
    mode: Mode,
    ids: Option<Ids>,
    pack: impl FnOnce(&mut Packing) -> Result<()> + Send + 'static,
) -> Result<BoxRead> {
    let packing = tokio::task::spawn_blocking(move || {
        let spool = tempfile::tempfile().map_err(spooling)?;
        let mut packing = Packing {
            tar: Builder::new(spool),
            mode,
            ids,
            entries: 0,
            mtime: 0,
        };
        pack(&mut packing)?;
        let mut spool = packing.tar.into_inner().map_err(spooling)?;
        spool.rewind().map_err(spooling)?;
        Ok::<_, Error>(spool)
    });
    match packing.await {
        Ok(spool) => Ok(Box::pin(tokio::fs::File::from_std(spool?))),
        Err(error) => Err(Error::new(ErrorKind::Internal, "the files could not be packed").caused_by(error)),
    }
}

fn spooling(error: io::Error) -> Error {
    Error::new(
        ErrorKind::Unavailable,
        "the files cannot be packed in this host's folder for temporary files",
    )
    .caused_by(error)
}

fn is_executable(metadata: &fs::Metadata) -> bool {
    use std::os::unix::fs::PermissionsExt;
    metadata.permissions().mode() & 0o111 != 0
}

fn mtime(metadata: &fs::Metadata) -> u64 {
    use std::os::unix::fs::MetadataExt;
    u64::try_from(metadata.mtime()).unwrap_or(0)
}

impl Packing {
    fn header(&mut self, kind: EntryType, size: u64, mode: u32) -> Result<Header> {
        self.entries += 1;
        if self.entries > ENTRIES {
            return Err(Error::new(
                ErrorKind::Quota,
                format!("there are more than {ENTRIES} files"),
            ));
        }
        let mut header = Header::new_gnu();
        header.set_entry_type(kind);
        header.set_size(size);
        header.set_mode(mode);
        let ids = self.ids.unwrap_or(Ids { uid: 0, gid: 0 });
        header.set_mtime(self.mtime);
        header.set_uid(ids.uid);
        header.set_gid(ids.gid);
        Ok(header)
    }

    fn file(&mut self, name: &Path, content: impl Read, size: u64, executable: bool) -> Result<()> {
        let mut header = self.header(EntryType::Regular, size, self.mode.of(executable))?;
        // A file that grows meanwhile is cut, so that the stream stays an archive.
        self.tar
            .append_data(&mut header, name, content.take(size))
            .map_err(spooling)
    }

    fn path(&mut self, path: &Path, name: &Path) -> Result<()> {
        let metadata = fs::symlink_metadata(path).map_err(unreadable(path))?;
        self.mtime = mtime(&metadata);
        if metadata.is_dir() {
            let mut header = self.header(EntryType::Directory, 0, 0o755)?;
            self.tar.append_data(&mut header, name, io::empty()).map_err(spooling)?;
            return self.folder(path, name);
        }
        if metadata.is_symlink() {
            let target = fs::read_link(path).map_err(unreadable(path))?;
            let mut header = self.header(EntryType::Symlink, 0, 0o777)?;
            return self.tar.append_link(&mut header, name, target).map_err(spooling);
        }
        if !metadata.is_file() {
            return Err(Error::new(
                ErrorKind::Invalid,
                format!("{} is neither file nor folder nor link", path.display()),
            ));
        }
        let file = File::open(path).map_err(unreadable(path))?;
        self.file(name, file, metadata.len(), is_executable(&metadata))
    }

    fn folder(&mut self, folder: &Path, below: &Path) -> Result<()> {
        let mut entries: Vec<_> = fs::read_dir(folder)
            .and_then(Iterator::collect::<io::Result<Vec<_>>>)
            .map_err(unreadable(folder))?
            .into_iter()
            .map(|entry| entry.file_name())
            .collect();
        entries.sort();
        entries
            .iter()
            .try_for_each(|name| self.path(&folder.join(name), &below.join(name)))
    }

    fn archive(&mut self, path: &Path, url: &str) -> Result<()> {
        let mut file = File::open(path).map_err(unreadable(path))?;
        let mut magic = [0; 6];
        let read = file.read(&mut magic).map_err(unreadable(path))?;
        file.rewind().map_err(unreadable(path))?;
        match &magic[..read] {
            #[cfg(feature = "fetch")]
            [0x1f, 0x8b, ..] => self.entries_of(flate2::read::MultiGzDecoder::new(file), url),
            #[cfg(not(feature = "fetch"))]
            [0x1f, 0x8b, ..] => Err(Error::new(
                ErrorKind::Unsupported,
                format!("{url} cannot be unpacked: this build knows nothing of gzip"),
            )
            .next_step("build `encamp` with its feature `fetch`")),
            [0xfd, b'7', b'z', b'X', ..] | [0x28, 0xb5, 0x2f, 0xfd, ..] | [b'B', b'Z', b'h', ..] | [b'P', b'K', ..] => {
                Err(
                    Error::new(ErrorKind::Unsupported, format!("{url} is no tar or tar.gz archive"))
                        .next_step("fetch it without `unpack`, and unpack it by a `run` step on the machine"),
                )
            }
            _ => self.entries_of(file, url),
        }
    }

    fn entries_of(&mut self, archive: impl Read, url: &str) -> Result<()> {
        let broken = |e: io::Error| Error::new(ErrorKind::Invalid, format!("{url} is a broken archive")).caused_by(e);
        let mut left = UNPACKED;
        let mut archive = tar::Archive::new(archive);
        for entry in archive.entries().map_err(broken)? {
            let mut entry = entry.map_err(broken)?;
            let name = entry.path().map_err(broken)?.into_owned();
            let outside = |part: Component<'_>| !matches!(part, Component::Normal(_) | Component::CurDir);
            if name.components().any(outside) {
                return Err(Error::new(
                    ErrorKind::Invalid,
                    format!("{url} holds a file outside its folder: {}", name.display()),
                ));
            }
            let (kind, size) = (entry.header().entry_type(), entry.size());
            left = left
                .checked_sub(size)
                .ok_or_else(|| Error::new(ErrorKind::Quota, format!("{url} unpacks to more than {UNPACKED} bytes")))?;
            self.mtime = entry.header().mtime().unwrap_or(0);
            let executable = entry.header().mode().is_ok_and(|mode| mode & 0o111 != 0);
            if kind.is_dir() {
                let mut header = self.header(EntryType::Directory, 0, 0o755)?;
                self.tar
                    .append_data(&mut header, &name, io::empty())
                    .map_err(spooling)?;
            } else if kind.is_file() {
                self.file(&name, &mut entry, size, executable)?;
            } else if kind.is_symlink() || kind.is_hard_link() {
                self.link(&mut entry, &name, url)?;
            }
        }
        Ok(())
    }

    /// A link stays where it leads to another entry of the archive.
    fn link(&mut self, entry: &mut tar::Entry<'_, impl Read>, name: &Path, url: &str) -> Result<()> {
        let target = entry.link_name().ok().flatten().map(std::borrow::Cow::into_owned);
        let kind = entry.header().entry_type();
        let inside = target.as_ref().is_some_and(|target| {
            let from = if kind.is_symlink() { name.parent() } else { None };
            stays_inside(from.unwrap_or(Path::new("")), target)
        });
        let Some(target) = target.filter(|_| inside) else {
            return Err(Error::new(
                ErrorKind::Invalid,
                format!("{url} holds a link that leads outside: {}", name.display()),
            ));
        };
        let mut header = self.header(kind, 0, 0o777)?;
        self.tar.append_link(&mut header, name, target).map_err(spooling)
    }
}

fn stays_inside(from: &Path, target: &Path) -> bool {
    let mut depth = from
        .components()
        .filter(|part| matches!(part, Component::Normal(_)))
        .count();
    for part in target.components() {
        match part {
            Component::Normal(_) => depth += 1,
            Component::CurDir => {}
            Component::ParentDir if depth > 0 => depth -= 1,
            _ => return false,
        }
    }
    true
}

#[cfg(test)]
mod tests {
    use tokio::io::AsyncReadExt;

    use super::*;

    async fn names(packed: BoxRead) -> Vec<(String, u32, u64)> {
        let mut packed = packed;
        let mut bytes = Vec::new();
        packed.read_to_end(&mut bytes).await.unwrap();
        let mut archive = tar::Archive::new(bytes.as_slice());
        let entries = archive.entries().unwrap().map(Result::unwrap);
        entries
            .map(|entry| {
                let header = entry.header();
                let name = entry.path().unwrap().display().to_string();
                (name, header.mode().unwrap(), header.uid().unwrap())
            })
            .collect()
    }

    #[tokio::test]
    async fn a_folders_contents_keep_their_x_bit() {
        use std::os::unix::fs::PermissionsExt;
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir(folder.path().join("bin")).unwrap();
        fs::write(folder.path().join("bin/go"), "#!/bin/sh").unwrap();
        fs::set_permissions(folder.path().join("bin/go"), fs::Permissions::from_mode(0o700)).unwrap();
        fs::write(folder.path().join("a.conf"), "a").unwrap();
        let ids = Some(Ids { uid: 70, gid: 70 });
        let packed = of_folder(folder.path(), Mode::Kept, ids).await.unwrap();
        assert_eq!(
            names(packed).await,
            [
                ("a.conf".into(), 0o644, 70),
                ("bin".into(), 0o755, 70),
                ("bin/go".into(), 0o755, 70)
            ]
        );
    }

    fn hostile(kind: EntryType, name: &str, link: &str) -> tempfile::NamedTempFile {
        let file = tempfile::NamedTempFile::new().unwrap();
        let mut tar = Builder::new(file.reopen().unwrap());
        let mut header = Header::new_gnu();
        header.set_entry_type(kind);
        header.set_size(0);
        header.set_mode(0o644);
        header.as_gnu_mut().unwrap().name[..name.len()].copy_from_slice(name.as_bytes());
        header.as_gnu_mut().unwrap().linkname[..link.len()].copy_from_slice(link.as_bytes());
        header.set_cksum();
        tar.append(&header, io::empty()).unwrap();
        tar.finish().unwrap();
        file
    }

    #[tokio::test]
    async fn a_fetched_archive_leads_nowhere_else() {
        for (kind, name, link) in [
            (EntryType::Regular, "../evil", ""),
            (EntryType::Regular, "/etc/evil", ""),
            (EntryType::Symlink, "a", "/etc/passwd"),
            (EntryType::Symlink, "a/b", "../../x"),
            (EntryType::Link, "a", "../x"),
        ] {
            let file = hostile(kind, name, link);
            let refused = of_archive(file.path(), "http://x", Mode::Kept, None).await;
            assert!(refused.is_err(), "{name} -> {link}");
        }
        let device = hostile(EntryType::Char, "dev", "");
        let packed = of_archive(device.path(), "http://x", Mode::Kept, None).await.unwrap();
        assert!(names(packed).await.is_empty());
        let inner = hostile(EntryType::Symlink, "lib/a.so", "../lib/a.so.1");
        assert!(of_archive(inner.path(), "http://x", Mode::Kept, None).await.is_ok());
    }
}
