//! A folder of the controller in a machine: a real one, as it is at each look.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use super::archive::Node;

/// How deep and how much is packed of a folder; what an engine mounts is small.
const MOST: usize = 10_000;

/// A folder, and whether the machine may only read it. Paths in it begin with a slash; the folder itself is `""`.
#[derive(Debug, Clone)]
pub(super) struct HostFolder {
    pub(super) folder: PathBuf,
    pub(super) read_only: bool,
}

impl HostFolder {
    fn real(&self, path: &str) -> PathBuf {
        self.folder.join(path.trim_start_matches('/'))
    }

    pub(super) fn node(&self, path: &str) -> Option<Node> {
        node(&self.real(path))
    }

    /// Writes a node; false where the machine may not, or the folder does not take it.
    pub(super) fn put(&self, path: &str, node: &Node) -> bool {
        let real = self.real(path);
        let written = match node {
            _ if self.read_only => return false,
            Node::File { bytes, .. } => fs::write(&real, bytes),
            Node::Folder { .. } => fs::create_dir_all(&real),
            Node::Link { to } => std::os::unix::fs::symlink(to, &real),
        };
        written.is_ok()
            && match node {
                Node::File { mode, .. } | Node::Folder { mode } => self.set_mode(path, *mode),
                Node::Link { .. } => true,
            }
    }

    pub(super) fn set_mode(&self, path: &str, mode: u32) -> bool {
        !self.read_only && fs::set_permissions(self.real(path), fs::Permissions::from_mode(mode)).is_ok()
    }

    /// Removes what is at a path; the folder itself stays.
    pub(super) fn remove(&self, path: &str) -> bool {
        let real = self.real(path);
        match self.node(path) {
            _ if self.read_only || path.is_empty() => false,
            Some(Node::Folder { .. }) => fs::remove_dir_all(real).is_ok(),
            Some(_) => fs::remove_file(real).is_ok(),
            None => false,
        }
    }

    /// Everything in it, by path.
    pub(super) fn all(&self) -> BTreeMap<String, Node> {
        let mut all = BTreeMap::new();
        let mut next = vec![String::new()];
        while let Some(path) = next.pop()
            && all.len() < MOST
        {
            let Some(node) = self.node(&path) else { continue };
            if let Node::Folder { .. } = node {
                let entries = fs::read_dir(self.real(&path)).into_iter().flatten().flatten();
                let names = entries.filter_map(|entry| entry.file_name().into_string().ok());
                next.extend(names.map(|name| format!("{path}/{name}")));
            }
            all.insert(path, node);
        }
        all
    }
}

fn node(real: &Path) -> Option<Node> {
    let seen = fs::symlink_metadata(real).ok()?;
    let mode = seen.permissions().mode() & 0o7777;
    if seen.is_dir() {
        return Some(Node::Folder { mode });
    }
    if seen.is_symlink() {
        let to = fs::read_link(real).ok()?.to_string_lossy().into_owned();
        return Some(Node::Link { to });
    }
    let bytes = fs::read(real).ok()?;
    Some(Node::File { mode, bytes })
}
