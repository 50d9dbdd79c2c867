//! The files beside the environment file that it names: where they lie, and what they hold.

use std::collections::{BTreeMap, HashMap};
use std::ffi::OsStr;
use std::io::{self, Read as _};
use std::path::{Component, Path, PathBuf};

use sha2::{Digest as _, Sha256};

use crate::codes;
use crate::cx::{Cx, Scope};
use crate::diagnose::Diagnostic;
use crate::hash;
use crate::ignore::Ignored;
use crate::nearest;
use crate::node::Node;
use crate::source::{FileKind, Found, Sources, Span};
use crate::typed::shortened;

/// The most files and folders of one folder.
const MAX_ENTRIES: usize = 100_000;
/// How deep folders may lie in each other.
const MAX_DEPTH: usize = 64;
/// How much of a file is read at once.
const CHUNK: usize = 64 * 1024;

/// What is known of files in one load.
#[derive(Debug, Default)]
pub(crate) struct Files {
    /// The file's own folder without links; none before it is asked for, or where it cannot be told.
    home: Option<PathBuf>,
    hashes: HashMap<(PathBuf, String), Option<String>>,
    /// The hashes of what the machine at hand is made of.
    pub(crate) made_of: BTreeMap<PathBuf, String>,
}

/// A file or folder that the environment file names.
#[derive(Debug, Clone)]
pub(crate) struct Referred {
    /// The file's folder, and what the file names.
    pub(crate) path: PathBuf,
    pub(crate) kind: FileKind,
}

/// What is wanted of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Wanted {
    File,
    Folder,
    Either,
}

impl Cx<'_> {
    /// A file or folder that a string names.
    pub(crate) fn referred(
        &mut self,
        node: &Node,
        scope: Scope<'_>,
        wanted: Wanted,
        example: &str,
    ) -> Option<Referred> {
        let name = self.string(node, scope, example)?;
        self.refer(&name, node.span, wanted)
    }

    /// A file or folder by its path within the file's folder.
    pub(crate) fn refer(&mut self, name: &str, at: Span, wanted: Wanted) -> Option<Referred> {
        if name.is_empty() {
            self.add(Diagnostic::error(codes::OUT_OF_RANGE, at, "this path is empty"));
            return None;
        }
        if let Some(why) = leads_outside(Path::new(name)) {
            self.outside(name, why, at);
            return None;
        }
        let path = self.path_of(name);
        let found = match self.disk.look(&path) {
            Ok(found) => found,
            Err(error) => {
                self.not_there(name, &path, &error, at);
                return None;
            }
        };
        if self.home().is_some_and(|home| !found.real.starts_with(home)) {
            self.outside(name, "a link on the way leads out of the file's folder", at);
            return None;
        }
        let fits = match (&found.kind, wanted) {
            (FileKind::Other | FileKind::Link(_), _)
            | (FileKind::Folder, Wanted::File)
            | (FileKind::File { .. }, Wanted::Folder) => false,
            (FileKind::Folder | FileKind::File { .. }, _) => true,
        };
        if !fits {
            let (what, wanted) = (named(&found), words(wanted));
            let message = format!("expected {wanted}, and `{}` is {what}", shortened(name));
            self.add(Diagnostic::error(codes::WRONG_TYPE, at, message));
            return None;
        }
        Some(Referred { path, kind: found.kind })
    }

    /// The file's folder, and a path within it, without what is only decoration.
    pub(crate) fn path_of(&self, name: &str) -> PathBuf {
        let parts = Path::new(name)
            .components()
            .filter(|part| !matches!(part, Component::CurDir));
        self.folder.join(parts.collect::<PathBuf>())
    }

    fn home(&mut self) -> Option<&Path> {
        if self.files.home.is_none() {
            self.files.home = self.disk.look(self.folder).ok().map(|found| found.real);
        }
        self.files.home.as_deref()
    }

    fn outside(&mut self, name: &str, why: &str, at: Span) {
        let message = format!("`{}` does not stay in the folder of this file: {why}", shortened(name));
        let help = "paths are relative to the environment file and stay beside or below it".to_owned();
        self.add(Diagnostic::error(codes::OUTSIDE, at, message).help(help));
    }

    fn not_there(&mut self, name: &str, path: &Path, error: &io::Error, at: Span) {
        let shown = shortened(name);
        if error.kind() != io::ErrorKind::NotFound {
            let message = format!("`{shown}` cannot be read: {error}");
            self.add(Diagnostic::error(codes::NO_FILE, at, message));
            return;
        }
        let message = format!("there is no `{shown}` in the folder of this file");
        let near = self.near(name, path);
        self.add(Diagnostic::error(codes::NO_FILE, at, message).help(near));
    }

    /// What lies beside a missing file and is called almost like it.
    fn near(&self, name: &str, path: &Path) -> Option<String> {
        let wanted = path.file_name()?.to_str()?;
        let beside = self.disk.list(path.parent()?, 10_000).ok()?;
        let names = beside.iter().filter_map(|(name, _)| name.to_str());
        let near = nearest::nearest(wanted, names)?;
        let near = Path::new(name).with_file_name(near);
        Some(format!("did you mean `{}`?", near.display()))
    }

    /// Notes what the machine at hand is made of.
    pub(crate) fn note_content(&mut self, referred: &Referred, at: Span) {
        if let Some(hash) = self.content(referred, "", at) {
            self.files.made_of.insert(referred.path.clone(), hash);
        }
    }

    /// The hash of what a file or folder holds: names, x-bits, contents. `ignore` names a file in the folder that says
    /// what does not count.
    pub(crate) fn content(&mut self, referred: &Referred, ignore: &str, at: Span) -> Option<String> {
        let key = (referred.path.clone(), ignore.to_owned());
        if let Some(known) = self.files.hashes.get(&key) {
            return known.clone();
        }
        let hashed = match &referred.kind {
            FileKind::Folder => self.hash_folder(&referred.path, ignore),
            kind => hash_file(self.disk, &referred.path, kind),
        };
        let hash = match hashed {
            Ok(hash) => Some(hash),
            Err(Trouble::TooMuch) => {
                let message =
                    format!("this folder holds more than {MAX_ENTRIES} files, or nests deeper than {MAX_DEPTH}");
                self.add(Diagnostic::error(codes::TOO_LARGE, at, message));
                None
            }
            Err(Trouble::Io(path, error)) => {
                let message = format!("`{}` cannot be read: {error}", path.display());
                self.add(Diagnostic::error(codes::NO_FILE, at, message));
                None
            }
        };
        self.files.hashes.insert(key, hash.clone());
        hash
    }

    fn hash_folder(&self, folder: &Path, ignore: &str) -> Result<String, Trouble> {
        let ignored = match ignore {
            "" => Ignored::default(),
            name => match self.disk.read(&folder.join(name)) {
                Ok(text) => Ignored::parse(&text),
                Err(error) if error.kind() == io::ErrorKind::NotFound => Ignored::default(),
                Err(error) => return Err(Trouble::Io(folder.join(name), error)),
            },
        };
        let mut walk = Walk {
            disk: self.disk,
            root: folder,
            ignored,
            left: MAX_ENTRIES,
            hasher: Sha256::new(),
        };
        walk.folder(Path::new(""), 0)?;
        Ok(hash::hex(&walk.hasher.finalize()))
    }
}

/// Why there is no hash.
enum Trouble {
    TooMuch,
    Io(PathBuf, io::Error),
}

struct Walk<'a> {
    disk: &'a dyn Sources,
    root: &'a Path,
    ignored: Ignored,
    left: usize,
    hasher: Sha256,
}

impl Walk<'_> {
    fn folder(&mut self, at: &Path, depth: usize) -> Result<(), Trouble> {
        if depth > MAX_DEPTH {
            return Err(Trouble::TooMuch);
        }
        let folder = self.root.join(at);
        let listed = self.disk.list(&folder, self.left.saturating_add(1));
        let mut entries = listed.map_err(|error| Trouble::Io(folder, error))?;
        entries.sort_by(|(a, _), (b, _)| a.cmp(b));
        for (name, kind) in entries {
            self.left = self.left.checked_sub(1).ok_or(Trouble::TooMuch)?;
            let path = at.join(&name);
            let out = self.ignored.matches(&path);
            match &kind {
                // A later `!pattern` may bring back something inside.
                FileKind::Folder if out && !self.ignored.has_exceptions() => {}
                FileKind::Folder => {
                    if !out {
                        self.entry(&path, b"d", b"");
                    }
                    self.folder(&path, depth + 1)?;
                }
                FileKind::Link(target) if !out => self.entry(&path, b"l", bytes(target.as_os_str())),
                FileKind::File { .. } if !out => {
                    let hash = hash_file(self.disk, &self.root.join(&path), &kind)?;
                    self.entry(&path, b"f", hash.as_bytes());
                }
                FileKind::File { .. } | FileKind::Link(_) | FileKind::Other => {}
            }
        }
        Ok(())
    }

    /// Each piece with its length, so that no two lists of entries look the same.
    fn entry(&mut self, path: &Path, kind: &[u8], content: &[u8]) {
        for piece in [bytes(path.as_os_str()), kind, content] {
            self.hasher.update(piece.len().to_le_bytes());
            self.hasher.update(piece);
        }
    }
}

fn bytes(text: &OsStr) -> &[u8] {
    text.as_encoded_bytes()
}

/// The hash of a file's x-bit and content.
fn hash_file(disk: &dyn Sources, path: &Path, kind: &FileKind) -> Result<String, Trouble> {
    let failed = |error| Trouble::Io(path.to_owned(), error);
    let executable = matches!(kind, FileKind::File { executable: true });
    let mut hasher = Sha256::new();
    hasher.update([u8::from(executable)]);
    let mut file = disk.open(path).map_err(failed)?;
    let mut chunk = vec![0; CHUNK];
    loop {
        match file.read(&mut chunk) {
            Ok(0) => return Ok(hash::hex(&hasher.finalize())),
            Ok(read) => hasher.update(&chunk[..read]),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(failed(error)),
        }
    }
}

/// Why a path cannot stay in the folder, by its text alone.
pub(crate) fn leads_outside(path: &Path) -> Option<&'static str> {
    let mut depth = 0_usize;
    for part in path.components() {
        match part {
            Component::Prefix(_) | Component::RootDir => return Some("it is absolute"),
            Component::CurDir => {}
            Component::Normal(_) => depth += 1,
            Component::ParentDir => match depth.checked_sub(1) {
                Some(above) => depth = above,
                None => return Some("`..` leads out of it"),
            },
        }
    }
    None
}

fn words(wanted: Wanted) -> &'static str {
    match wanted {
        Wanted::File => "a file",
        Wanted::Folder => "a folder",
        Wanted::Either => "a file or a folder",
    }
}

fn named(found: &Found) -> &'static str {
    match found.kind {
        FileKind::File { .. } => "a file",
        FileKind::Folder => "a folder",
        FileKind::Link(_) => "a link",
        FileKind::Other => "neither a file nor a folder",
    }
}
