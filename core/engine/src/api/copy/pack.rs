//! Files of this host as a tar stream.

use std::fs::{self, File};
use std::io::{self, Write};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use encamp_core::{BoxRead, Error, ErrorKind, Result};
use tokio::sync::mpsc;
use tokio_util::io::StreamReader;

use super::Copied;

/// Chunks between the packing thread and the connection.
const CHUNKS: usize = 16;
/// Bytes of a chunk.
const CHUNK: usize = 64 << 10;
/// How deep folders may lie in each other.
const DEPTH: usize = 256;

/// What is to be packed.
#[derive(Debug)]
pub(super) struct Pack {
    pub(super) from: PathBuf,
    pub(super) is_folder: bool,
    /// Only what is in the folder is meant.
    pub(super) contents: bool,
    /// Its own name.
    pub(super) name: Option<String>,
}

impl Pack {
    /// Looks at a path; a link at the path itself is followed.
    pub(super) fn of(from: &Path) -> Result<Self> {
        let unreadable = |e: io::Error| {
            let kind = if e.kind() == io::ErrorKind::NotFound {
                ErrorKind::NotFound
            } else {
                ErrorKind::Invalid
            };
            Error::new(kind, format!("{} cannot be read", from.display())).caused_by(e)
        };
        let kind = fs::metadata(from).map_err(unreadable)?;
        if !kind.is_file() && !kind.is_dir() {
            return Err(Error::new(
                ErrorKind::Invalid,
                format!("{} is neither a file nor a folder", from.display()),
            ));
        }
        let text = from.as_os_str().to_string_lossy();
        let contents = text.ends_with("/.") || text == ".";
        let named = from.canonicalize().map_err(unreadable)?;
        let name = from.file_name().or_else(|| named.file_name());
        Ok(Self {
            from: from.to_owned(),
            is_folder: kind.is_dir(),
            contents,
            name: name.map(|name| name.to_string_lossy().into_owned()),
        })
    }

    /// Packs it under `name`, or the contents of the folder where there is none. The count is whole once the stream has
    /// ended.
    pub(super) fn stream(self, name: Option<&str>) -> (BoxRead, Arc<Mutex<Copied>>) {
        let counted = Arc::new(Mutex::new(Copied::default()));
        let (sender, receiver) = mpsc::channel(CHUNKS);
        let (name, counting) = (name.map(str::to_owned), Arc::clone(&counted));
        tokio::task::spawn_blocking(move || {
            let mut packer = Packer {
                tar: tar::Builder::new(Chunks {
                    sender: sender.clone(),
                    pending: Vec::with_capacity(CHUNK),
                }),
                copied: Copied::default(),
            };
            let packed = packer
                .add(&self.from, name.as_deref().unwrap_or_default(), 0)
                .and_then(|()| packer.tar.into_inner())
                .and_then(|mut chunks| chunks.flush());
            match packed {
                Ok(()) => *counting.lock().unwrap_or_else(PoisonError::into_inner) = packer.copied,
                Err(error) => drop(sender.blocking_send(Err(error))),
            }
        });
        let chunks = futures_util::stream::unfold(receiver, |mut receiver| async move {
            let chunk = receiver.recv().await?;
            Some((chunk, receiver))
        });
        (Box::pin(StreamReader::new(Box::pin(chunks))), counted)
    }
}

struct Packer {
    tar: tar::Builder<Chunks>,
    copied: Copied,
}

impl Packer {
    /// Adds what stands at `from` under a name; nothing for the folder itself where it has none.
    fn add(&mut self, from: &Path, name: &str, depth: usize) -> io::Result<()> {
        if depth > DEPTH {
            return Err(io::Error::other(format!("{} lies too deep", from.display())));
        }
        // Only the topmost link is followed: it is what was named.
        let meta = if depth == 0 {
            fs::metadata(from)?
        } else {
            fs::symlink_metadata(from)?
        };
        let mut header = tar::Header::new_gnu();
        header.set_mode(meta.mode() & 0o777);
        header.set_mtime(u64::try_from(meta.mtime()).unwrap_or(0));
        header.set_size(0);
        if meta.is_dir() {
            if !name.is_empty() {
                header.set_entry_type(tar::EntryType::Directory);
                self.tar.append_data(&mut header, format!("{name}/"), io::empty())?;
            }
            let mut entries = fs::read_dir(from)?.collect::<io::Result<Vec<_>>>()?;
            entries.sort_by_key(fs::DirEntry::file_name);
            for entry in entries {
                let file = entry.file_name();
                let below = file.to_string_lossy();
                let below = if name.is_empty() {
                    below.into_owned()
                } else {
                    format!("{name}/{below}")
                };
                self.add(&entry.path(), &below, depth + 1)?;
            }
        } else if meta.is_symlink() {
            header.set_entry_type(tar::EntryType::Symlink);
            self.tar.append_link(&mut header, name, fs::read_link(from)?)?;
        } else if meta.is_file() {
            let file = File::open(from)?;
            header.set_size(meta.len());
            // A file that grows meanwhile must not break the archive, nor one that shrinks.
            let exact = io::Read::take(io::Read::chain(file, io::repeat(0)), meta.len());
            self.tar.append_data(&mut header, name, exact)?;
            self.copied.files += 1;
            self.copied.bytes += meta.len();
        } else {
            self.copied
                .skipped
                .push(format!("{}: neither a file, a folder nor a link", from.display()));
        }
        Ok(())
    }
}

/// A writer whose bytes arrive as a stream.
struct Chunks {
    sender: mpsc::Sender<io::Result<Bytes>>,
    pending: Vec<u8>,
}

impl Write for Chunks {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.pending.extend_from_slice(bytes);
        if self.pending.len() >= CHUNK {
            self.flush()?;
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        if self.pending.is_empty() {
            return Ok(());
        }
        let chunk = std::mem::replace(&mut self.pending, Vec::with_capacity(CHUNK));
        let sent = self.sender.blocking_send(Ok(chunk.into()));
        sent.map_err(|_| io::Error::new(io::ErrorKind::BrokenPipe, "nobody takes the archive"))
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::AsyncReadExt;

    use super::*;

    async fn paths(pack: Pack, name: Option<&str>) -> Vec<String> {
        let (mut stream, _) = pack.stream(name);
        let mut bytes = Vec::new();
        stream.read_to_end(&mut bytes).await.unwrap();
        let mut archive = tar::Archive::new(bytes.as_slice());
        let entries = archive.entries().unwrap();
        entries
            .map(|entry| entry.unwrap().path().unwrap().display().to_string())
            .collect()
    }

    #[tokio::test]
    async fn a_folder_is_packed_by_its_name_or_by_what_is_in_it() {
        let folder = tempfile::tempdir().unwrap();
        let conf = folder.path().join("conf");
        fs::create_dir_all(conf.join("deep")).unwrap();
        fs::write(conf.join("a"), "a").unwrap();
        std::os::unix::fs::symlink("a", conf.join("link")).unwrap();
        let pack = || Pack::of(&conf).unwrap();
        assert_eq!(pack().name.as_deref(), Some("conf"));
        assert_eq!(
            paths(pack(), Some("conf")).await,
            ["conf/", "conf/a", "conf/deep/", "conf/link"]
        );
        assert_eq!(paths(pack(), None).await, ["a", "deep/", "link"]);
        assert!(Pack::of(&conf.join(".")).unwrap().contents);
        assert_eq!(Pack::of(&conf.join("no")).unwrap_err().kind(), ErrorKind::NotFound);
    }
}
