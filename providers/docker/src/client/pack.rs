//! The context of a build: which files, their hash, and a tar stream of them.

use std::fs;
use std::io::{self, BufRead, BufReader, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use bytes::Bytes;
use encamp_core::{Error, ErrorKind, Result};
use futures_util::Stream;
use globset::{GlobBuilder, GlobMatcher};
use sha2::{Digest, Sha256};
use tokio::sync::mpsc;

use crate::table::Build;

/// Chunks between the packing thread and the connection.
const CHUNKS: usize = 16;

/// How much of the hash is a tag.
const HASH_LENGTH: usize = 32;

/// The files of a build.
#[derive(Debug)]
pub(super) struct Pack {
    /// Of the files, their modes, and how to build.
    pub(super) hash: String,
    root: PathBuf,
    files: Vec<PathBuf>,
}

/// Finds the files of a build that `.dockerignore` leaves, and hashes them.
pub(super) async fn gather(build: &Build, platform: &str) -> Result<Pack> {
    let (owned, platform) = (build.clone(), platform.to_owned());
    let gathered = tokio::task::spawn_blocking(move || gather_now(&owned, &platform)).await;
    let pack = gathered.unwrap_or_else(|panicked| Err(io::Error::other(panicked)));
    pack.map_err(|native| {
        let kind = match native.kind() {
            io::ErrorKind::NotFound => ErrorKind::NotFound,
            _ => ErrorKind::Invalid,
        };
        Error::new(kind, format!("the folder `{}` cannot be built from", build.context)).caused_by(native)
    })
}

/// How many files a build has, without reading them.
pub(super) fn count(build: &Build) -> io::Result<usize> {
    Ok(files_of(build)?.1.len())
}

fn files_of(build: &Build) -> io::Result<(PathBuf, Vec<PathBuf>)> {
    let root = std::path::absolute(&build.context)?;
    let ignored = Ignored::read(&root, build.dockerfile())?;
    let mut files = Vec::new();
    walk(&root, Path::new(""), &ignored, &mut files)?;
    if !files.iter().any(|file| file == Path::new(build.dockerfile())) {
        let text = format!("there is no `{}` in `{}`", build.dockerfile(), build.context);
        return Err(io::Error::new(io::ErrorKind::NotFound, text));
    }
    Ok((root, files))
}

fn gather_now(build: &Build, platform: &str) -> io::Result<Pack> {
    let (root, files) = files_of(build)?;
    let mut hasher = Sha256::new();
    let mut field = |text: &str| {
        hasher.update(text.len().to_le_bytes());
        hasher.update(text);
    };
    field(build.dockerfile());
    field(build.target.as_deref().unwrap_or_default());
    field(platform);
    for (name, value) in &build.args {
        field(name);
        field(value);
    }
    for file in &files {
        let path = root.join(file);
        let meta = fs::symlink_metadata(&path)?;
        let name = file.to_string_lossy();
        hasher.update(name.len().to_le_bytes());
        hasher.update(name.as_bytes());
        hasher.update((meta.permissions().mode() & 0o7777).to_le_bytes());
        if meta.is_symlink() {
            hasher.update(b"l");
            hasher.update(fs::read_link(&path)?.to_string_lossy().as_bytes());
        } else if meta.is_file() {
            hasher.update(b"f");
            hasher.update(meta.len().to_le_bytes());
            hash_file(&path, &mut hasher)?;
        } else {
            hasher.update(b"d");
        }
    }
    let digest = data_encoding::HEXLOWER.encode(&hasher.finalize());
    let hash = digest.get(..HASH_LENGTH).unwrap_or(&digest).to_owned();
    Ok(Pack { hash, root, files })
}

fn hash_file(path: &Path, hasher: &mut Sha256) -> io::Result<()> {
    let mut reader = BufReader::with_capacity(64 * 1024, fs::File::open(path)?);
    loop {
        let bytes = reader.fill_buf()?;
        if bytes.is_empty() {
            return Ok(());
        }
        hasher.update(bytes);
        let count = bytes.len();
        reader.consume(count);
    }
}

/// Folders before what is in them, in the order of their names; sockets and devices are left out.
fn walk(root: &Path, at: &Path, ignored: &Ignored, files: &mut Vec<PathBuf>) -> io::Result<()> {
    let mut entries = fs::read_dir(root.join(at))?.collect::<io::Result<Vec<_>>>()?;
    entries.sort_by_key(fs::DirEntry::file_name);
    for entry in entries {
        let path = at.join(entry.file_name());
        let kind = entry.file_type()?;
        let out = ignored.matches(&path);
        if kind.is_dir() {
            // A later `!pattern` may bring back something inside.
            if out && !ignored.has_exceptions {
                continue;
            }
            if !out {
                files.push(path.clone());
            }
            walk(root, &path, ignored, files)?;
        } else if !out && (kind.is_file() || kind.is_symlink()) {
            files.push(path);
        }
    }
    Ok(())
}

/// The patterns of `.dockerignore`: the last that matches a path or one of its parents decides.
#[derive(Debug, Default)]
struct Ignored {
    patterns: Vec<(bool, GlobMatcher)>,
    has_exceptions: bool,
    /// Always sent.
    kept: Vec<PathBuf>,
}

impl Ignored {
    fn read(root: &Path, dockerfile: &str) -> io::Result<Self> {
        let text = match fs::read_to_string(root.join(".dockerignore")) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => String::new(),
            read => read?,
        };
        let mut ignored = Self::parse(&text)?;
        ignored.kept = vec![PathBuf::from(dockerfile), PathBuf::from(".dockerignore")];
        Ok(ignored)
    }

    fn parse(text: &str) -> io::Result<Self> {
        let mut ignored = Self::default();
        for line in text
            .lines()
            .map(str::trim)
            .filter(|line| !line.is_empty() && !line.starts_with('#'))
        {
            let (exception, pattern) = match line.strip_prefix('!') {
                Some(pattern) => (true, pattern.trim()),
                None => (false, line),
            };
            let pattern = pattern.trim_start_matches("./").trim_matches('/');
            let glob = GlobBuilder::new(pattern).literal_separator(true).build();
            let glob = glob.map_err(|native| io::Error::new(io::ErrorKind::InvalidInput, native))?;
            ignored.has_exceptions |= exception;
            ignored.patterns.push((exception, glob.compile_matcher()));
        }
        Ok(ignored)
    }

    fn matches(&self, path: &Path) -> bool {
        if self.kept.iter().any(|kept| kept == path) {
            return false;
        }
        let on_it = |glob: &GlobMatcher| {
            path.ancestors()
                .any(|part| part != Path::new("") && glob.is_match(part))
        };
        let last = self.patterns.iter().rev().find(|(_, glob)| on_it(glob));
        last.is_some_and(|(exception, _)| !exception)
    }
}

/// The files as a tar stream, packed on a thread of its own while they are sent.
pub(super) fn stream(pack: Pack) -> impl Stream<Item = io::Result<Bytes>> + Send + 'static {
    let (sender, receiver) = mpsc::channel(CHUNKS);
    tokio::task::spawn_blocking(move || {
        if let Err(error) = pack_into(&pack, Chunks(&sender)) {
            // Nobody listens where the request has ended.
            let _ = sender.blocking_send(Err(error));
        }
    });
    futures_util::stream::unfold(receiver, |mut receiver| async move {
        let next = receiver.recv().await?;
        Some((next, receiver))
    })
}

fn pack_into(pack: &Pack, chunks: Chunks<'_>) -> io::Result<()> {
    let mut builder = tar::Builder::new(io::BufWriter::with_capacity(64 * 1024, chunks));
    builder.follow_symlinks(false);
    for file in &pack.files {
        let path = pack.root.join(file);
        let meta = fs::symlink_metadata(&path)?;
        let mut header = tar::Header::new_gnu();
        header.set_metadata(&meta);
        // As with Docker's own client: whoever builds, the files are root's.
        header.set_uid(0);
        header.set_gid(0);
        if meta.is_symlink() {
            header.set_size(0);
            builder.append_link(&mut header, file, fs::read_link(&path)?)?;
        } else if meta.is_dir() {
            header.set_size(0);
            builder.append_data(&mut header, file, io::empty())?;
        } else {
            builder.append_data(&mut header, file, fs::File::open(&path)?)?;
        }
    }
    builder.into_inner()?.flush()
}

/// Hands what is written to the connection.
struct Chunks<'a>(&'a mpsc::Sender<io::Result<Bytes>>);

impl Write for Chunks<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let sent = self.0.blocking_send(Ok(Bytes::copy_from_slice(bytes)));
        sent.map_err(|_| io::Error::from(io::ErrorKind::BrokenPipe))?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ignores(text: &str, path: &str) -> bool {
        Ignored::parse(text).unwrap().matches(Path::new(path))
    }

    #[test]
    fn the_last_pattern_decides() {
        assert!(ignores("target\n", "target/debug/x"));
        assert!(!ignores("target\n", "web/target"));
        assert!(ignores("**/target\n", "web/target/x"));
        assert!(ignores("*.md\n!README.md\n", "NOTES.md"));
        assert!(!ignores("*.md\n!README.md\n", "README.md"));
        assert!(!ignores("docs\n!docs/keep\n", "docs/keep/x"));
        assert!(!ignores("# target\n", "target"));
    }

    #[test]
    fn a_context_has_one_hash_until_something_changes() {
        let folder = tempfile::tempdir().unwrap();
        let at = folder.path();
        fs::write(at.join("Dockerfile"), "FROM x").unwrap();
        fs::write(at.join(".dockerignore"), "big").unwrap();
        fs::write(at.join("big"), "1").unwrap();
        fs::create_dir(at.join("sub")).unwrap();
        fs::write(at.join("sub/a"), "a").unwrap();
        let build = Build::folder(at.to_string_lossy());
        let first = gather_now(&build, "").unwrap();
        let files: Vec<_> = first.files.iter().map(|file| file.display().to_string()).collect();
        assert_eq!(files, [".dockerignore", "Dockerfile", "sub", "sub/a"]);
        assert_eq!(count(&build).unwrap(), 4);
        fs::write(at.join("big"), "2").unwrap();
        assert_eq!(gather_now(&build, "").unwrap().hash, first.hash);
        fs::write(at.join("sub/a"), "b").unwrap();
        assert_ne!(gather_now(&build, "").unwrap().hash, first.hash);
    }

    #[test]
    fn a_folder_without_a_dockerfile_says_so() {
        let folder = tempfile::tempdir().unwrap();
        let error = gather_now(&Build::folder(folder.path().to_string_lossy()), "").unwrap_err();
        assert!(error.to_string().contains("Dockerfile"), "{error}");
    }
}
