//! The texts that diagnostics point into.

use std::ffi::OsString;
use std::fmt::Write as _;
use std::io;
use std::path::{Path, PathBuf};

use sha2::{Digest as _, Sha256};

use crate::spec::Place;

/// Where files are read from.
pub trait Sources {
    /// The text of a file.
    fn read(&self, path: &Path) -> io::Result<String>;

    /// What lies at a path, once all links are followed.
    fn look(&self, path: &Path) -> io::Result<Found> {
        let _ = path;
        Err(io::ErrorKind::Unsupported.into())
    }

    /// What lies in a folder, itself and not where links lead; more than `most` of it is an error.
    fn list(&self, folder: &Path, most: usize) -> io::Result<Vec<(OsString, FileKind)>> {
        let _ = (folder, most);
        Err(io::ErrorKind::Unsupported.into())
    }

    /// The content of a file, to be read piece by piece.
    fn open(&self, path: &Path) -> io::Result<Box<dyn io::Read>> {
        let _ = path;
        Err(io::ErrorKind::Unsupported.into())
    }
}

/// What lies at a path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found {
    /// The path without links.
    pub real: PathBuf,
    /// What it is.
    pub kind: FileKind,
}

/// What something in a file system is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FileKind {
    /// A file.
    File {
        /// Somebody may run it.
        executable: bool,
    },
    /// A folder.
    Folder,
    /// A link, and where it leads.
    Link(PathBuf),
    /// A device, a socket, a pipe.
    Other,
}

/// The file system.
#[derive(Debug, Clone, Copy, Default)]
pub struct Disk;

impl Sources for Disk {
    fn read(&self, path: &Path) -> io::Result<String> {
        use io::Read as _;
        // One byte more than is allowed, so that the limit is noticed without reading a huge file.
        let mut text = String::new();
        std::fs::File::open(path)?
            .take(MAX_BYTES as u64 + 1)
            .read_to_string(&mut text)?;
        Ok(text)
    }

    fn look(&self, path: &Path) -> io::Result<Found> {
        let path = if path.as_os_str().is_empty() {
            Path::new(".")
        } else {
            path
        };
        let real = std::fs::canonicalize(path)?;
        let kind = kind_of(&std::fs::metadata(&real)?);
        Ok(Found { real, kind })
    }

    fn list(&self, folder: &Path, most: usize) -> io::Result<Vec<(OsString, FileKind)>> {
        let mut entries = Vec::new();
        for entry in std::fs::read_dir(folder)? {
            let entry = entry?;
            if entries.len() >= most {
                return Err(io::Error::other("there is too much in it"));
            }
            let meta = entry.metadata()?;
            let kind = if meta.is_symlink() {
                FileKind::Link(std::fs::read_link(entry.path())?)
            } else {
                kind_of(&meta)
            };
            entries.push((entry.file_name(), kind));
        }
        Ok(entries)
    }

    fn open(&self, path: &Path) -> io::Result<Box<dyn io::Read>> {
        Ok(Box::new(std::fs::File::open(path)?))
    }
}

fn kind_of(meta: &std::fs::Metadata) -> FileKind {
    if meta.is_dir() {
        FileKind::Folder
    } else if meta.is_file() {
        FileKind::File {
            executable: is_executable(meta),
        }
    } else {
        FileKind::Other
    }
}

#[cfg(unix)]
fn is_executable(meta: &std::fs::Metadata) -> bool {
    use std::os::unix::fs::PermissionsExt as _;
    meta.permissions().mode() & 0o111 != 0
}

#[cfg(not(unix))]
fn is_executable(_: &std::fs::Metadata) -> bool {
    false
}

/// The longest text that is taken.
pub(crate) const MAX_BYTES: usize = 1024 * 1024;

/// A piece of one of the texts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Span {
    /// Which text.
    pub(crate) file: u32,
    /// The first byte.
    pub(crate) start: u32,
    /// The byte after the last.
    pub(crate) end: u32,
}

impl Span {
    pub(crate) fn new(file: u32, range: std::ops::Range<usize>) -> Self {
        let clamp = |at: usize| u32::try_from(at).unwrap_or(u32::MAX);
        Self {
            file,
            start: clamp(range.start),
            end: clamp(range.end.max(range.start)),
        }
    }

    pub(crate) fn range(self) -> std::ops::Range<usize> {
        self.start as usize..self.end as usize
    }
}

/// One text.
#[derive(Debug)]
pub(crate) struct SourceFile {
    pub(crate) path: PathBuf,
    pub(crate) text: String,
    /// Where each line begins.
    lines: Vec<usize>,
}

impl SourceFile {
    pub(crate) fn new(path: PathBuf, text: String) -> Self {
        let lines = std::iter::once(0)
            .chain(text.match_indices('\n').map(|(at, _)| at + 1))
            .collect();
        Self { path, text, lines }
    }

    /// The line that a byte stands in, from 0.
    pub(crate) fn line_of(&self, at: usize) -> usize {
        self.lines.partition_point(|start| *start <= at).saturating_sub(1)
    }

    /// A line without its end.
    pub(crate) fn line(&self, line: usize) -> &str {
        let start = self.line_start(line);
        let end = self.lines.get(line + 1).copied().unwrap_or(self.text.len());
        self.text[start..end].trim_end_matches(['\n', '\r'])
    }

    pub(crate) fn line_start(&self, line: usize) -> usize {
        self.lines.get(line).copied().unwrap_or(self.text.len())
    }

    /// `range`, moved outwards to whole characters inside the text.
    pub(crate) fn settle(&self, range: std::ops::Range<usize>) -> std::ops::Range<usize> {
        let mut start = range.start.min(self.text.len());
        while !self.text.is_char_boundary(start) {
            start -= 1;
        }
        let mut end = range.end.clamp(start, self.text.len());
        while !self.text.is_char_boundary(end) {
            end += 1;
        }
        start..end
    }

    /// Line and column of a byte, both from 1, the column in characters.
    pub(crate) fn position(&self, at: usize) -> (u32, u32) {
        let at = self.settle(at..at).start;
        let line = self.line_of(at);
        let column = self.text[self.line_start(line)..at].chars().count();
        let count = |n: usize| u32::try_from(n + 1).unwrap_or(u32::MAX);
        (count(line), count(column))
    }
}

/// All texts of one load.
#[derive(Debug, Default)]
pub(crate) struct SourceMap {
    files: Vec<SourceFile>,
}

impl SourceMap {
    /// Keeps a text and gives its number.
    pub(crate) fn add(&mut self, path: PathBuf, text: String) -> u32 {
        self.files.push(SourceFile::new(path, text));
        u32::try_from(self.files.len() - 1).unwrap_or(u32::MAX)
    }

    pub(crate) fn file(&self, file: u32) -> Option<&SourceFile> {
        self.files.get(file as usize)
    }

    /// A hash of all texts, in their order, and of what was set.
    pub(crate) fn digest(&self, set: &[(String, String)]) -> String {
        let mut hash = Sha256::new();
        let texts = self.files.iter().map(|file| file.text.as_str());
        let set = set.iter().flat_map(|(key, value)| [key.as_str(), value.as_str()]);
        for part in texts.chain(set) {
            hash.update(part.len().to_le_bytes());
            hash.update(part);
        }
        let mut text = String::new();
        for byte in hash.finalize() {
            let _ = write!(text, "{byte:02x}");
        }
        text
    }

    pub(crate) fn text(&self, span: Span) -> &str {
        self.file(span.file).map_or("", |file| {
            let range = file.settle(span.range());
            &file.text[range]
        })
    }

    pub(crate) fn place(&self, span: Span) -> Option<Place> {
        let file = self.file(span.file)?;
        let (line, column) = file.position(span.start as usize);
        Some(Place {
            file: file.path.clone(),
            line,
            column,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn positions_count_characters_from_one() {
        let file = SourceFile::new("x".into(), "ä = 1\r\nb = 2\n".to_owned());
        assert_eq!(file.position(0), (1, 1));
        assert_eq!(file.position(1), (1, 1));
        assert_eq!(file.position(2), (1, 2));
        assert_eq!(file.position(8), (2, 1));
        assert_eq!(file.position(99), (3, 1));
        assert_eq!(file.line(0), "ä = 1");
        assert_eq!(file.line(2), "");
    }
}
