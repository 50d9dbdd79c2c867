//! The files of a machine, and the volumes mounted in it.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use super::archive::{self, Member, Node};
use super::host::HostFolder;
use super::lock::lock;
use crate::{Error, ErrorKind, Result};

/// Nodes by their absolute path; `""` is the root.
#[derive(Debug, Clone)]
pub(super) struct Tree(BTreeMap<String, Node>);

impl Default for Tree {
    fn default() -> Self {
        Self(BTreeMap::from([(String::new(), Node::Folder { mode: 0o755 })]))
    }
}

/// A tree that several machines may mount.
pub(super) type Volume = Arc<Mutex<Tree>>;

/// What is mounted at a folder.
#[derive(Debug, Clone)]
pub(super) enum Mounted {
    Volume(Volume),
    Host(HostFolder),
}

impl Mounted {
    fn node(&self, path: &str) -> Option<Node> {
        match self {
            Self::Volume(tree) => lock(tree).0.get(path).cloned(),
            Self::Host(folder) => folder.node(path),
        }
    }

    fn put(&self, path: &str, node: Node) -> bool {
        match self {
            Self::Volume(tree) => {
                lock(tree).0.insert(path.to_owned(), node);
                true
            }
            Self::Host(folder) => folder.put(path, &node),
        }
    }

    fn all(&self) -> BTreeMap<String, Node> {
        match self {
            Self::Volume(tree) => lock(tree).0.clone(),
            Self::Host(folder) => folder.all(),
        }
    }
}

/// A machine's own tree, and what is mounted over it.
#[derive(Debug)]
pub(super) struct Files {
    own: Volume,
    mounts: Vec<(String, Mounted)>,
}

/// The absolute path without trailing slash, `.` and `..`; the root is `""`.
pub(super) fn absolute(cwd: &str, path: &str) -> String {
    let joined = if path.starts_with('/') {
        path.to_owned()
    } else {
        format!("{cwd}/{path}")
    };
    let mut parts = Vec::new();
    for part in joined.split('/') {
        match part {
            "" | "." => {}
            ".." => {
                parts.pop();
            }
            part => parts.push(part),
        }
    }
    parts.iter().flat_map(|part| ["/", part]).collect()
}

fn below<'p>(path: &'p str, folder: &str) -> Option<&'p str> {
    let rest = path.strip_prefix(folder)?;
    (rest.is_empty() || rest.starts_with('/')).then_some(rest)
}

impl Files {
    /// Files that begin as `tree`, with what is mounted at its folders.
    pub(super) fn new(mut tree: Tree, mounts: impl IntoIterator<Item = (String, Mounted)>) -> Self {
        for folder in ["/root", "/tmp"] {
            tree.0.entry(folder.into()).or_insert(Node::Folder { mode: 0o755 });
        }
        let mounts = mounts
            .into_iter()
            .map(|(folder, mounted)| (absolute("", &folder), mounted));
        Self {
            own: Arc::new(Mutex::new(tree)),
            mounts: mounts.collect(),
        }
    }

    /// The tree that holds a path, and the path in it.
    fn place<'p>(&self, path: &'p str) -> (Mounted, &'p str) {
        let mounted = self
            .mounts
            .iter()
            .filter_map(|(folder, mounted)| Some((mounted.clone(), below(path, folder)?)));
        // The longest mount has the shortest rest.
        let longest = mounted.min_by_key(|(_, rest)| rest.len());
        longest.unwrap_or_else(|| (Mounted::Volume(Arc::clone(&self.own)), path))
    }

    fn node(&self, path: &str) -> Option<Node> {
        let (mounted, path) = self.place(path);
        mounted.node(path)
    }

    pub(super) fn exists(&self, path: &str) -> bool {
        self.node(path).is_some()
    }

    pub(super) fn is_folder(&self, path: &str) -> bool {
        matches!(self.node(path), Some(Node::Folder { .. }))
    }

    pub(super) fn read(&self, path: &str) -> Option<Vec<u8>> {
        match self.node(path)? {
            Node::File { bytes, .. } => Some(bytes),
            Node::Link { to } => {
                let folder = path.rsplit_once('/').map_or("", |(folder, _)| folder);
                self.read(&absolute(folder, &to))
            }
            Node::Folder { .. } => None,
        }
    }

    /// Writes a file; false where its folder is missing.
    pub(super) fn write(&self, path: &str, bytes: &[u8], append: bool) -> bool {
        let folder = path.rsplit_once('/').map_or("", |(folder, _)| folder);
        if !self.is_folder(folder) || self.is_folder(path) {
            return false;
        }
        let (mode, mut content) = match self.node(path) {
            Some(Node::File { mode, bytes }) if append => (mode, bytes),
            Some(Node::File { mode, .. }) => (mode, Vec::new()),
            _ => (0o644, Vec::new()),
        };
        content.extend_from_slice(bytes);
        self.put(path, Node::File { mode, bytes: content })
    }

    pub(super) fn set_mode(&self, path: &str, new: u32) -> bool {
        let (mounted, path) = self.place(path);
        let tree = match mounted {
            Mounted::Volume(tree) => tree,
            Mounted::Host(folder) => return folder.set_mode(path, new),
        };
        match lock(&tree).0.get_mut(path) {
            Some(Node::File { mode, .. } | Node::Folder { mode }) => {
                *mode = new;
                true
            }
            Some(Node::Link { .. }) | None => false,
        }
    }

    /// Removes a path and everything below it; false where there was nothing.
    pub(super) fn remove(&self, path: &str) -> bool {
        let (mounted, path) = self.place(path);
        let tree = match mounted {
            Mounted::Volume(tree) => tree,
            Mounted::Host(folder) => return folder.remove(path),
        };
        let mut tree = lock(&tree);
        let before = tree.0.len();
        tree.0
            .retain(|other, _| other.is_empty() || below(other, path).is_none());
        tree.0.len() < before
    }

    /// False where it cannot be written there.
    fn put(&self, path: &str, node: Node) -> bool {
        let (mounted, path) = self.place(path);
        mounted.put(path, node)
    }

    /// Makes a folder and its parents.
    pub(super) fn make_folders(&self, path: &str) {
        let ends = path.match_indices('/').map(|(at, _)| at).skip(1).chain([path.len()]);
        for end in ends {
            if !self.exists(&path[..end]) {
                self.put(&path[..end], Node::Folder { mode: 0o755 });
            }
        }
    }

    /// Unpacks a tar stream into a folder, which is made where it is missing.
    pub(super) fn unpack(&self, folder: &str, stream: &[u8]) -> Result<()> {
        let folder = absolute("", folder);
        self.make_folders(&folder);
        for Member { path, node } in archive::read(stream)? {
            let path = absolute(&folder, &path);
            let parent = path.rsplit_once('/').map_or("", |(parent, _)| parent);
            self.make_folders(parent);
            if !self.put(&path, node) {
                return Err(Error::new(ErrorKind::Invalid, "this cannot be written in the machine").with("path", path));
            }
        }
        Ok(())
    }

    /// Packs a path and what is below it; members begin with its last part.
    pub(super) fn pack(&self, path: &str) -> Result<Vec<u8>> {
        let path = absolute("", path);
        if !self.exists(&path) {
            return Err(Error::new(ErrorKind::NotFound, "there is no such path in the machine").with("path", path));
        }
        let parent = path.rsplit_once('/').map_or("", |(parent, _)| parent);
        let members = self
            .all()
            .into_iter()
            .filter(|(other, _)| below(other, &path).is_some());
        let members = members.map(|(other, node)| Member {
            path: other[parent.len()..].trim_start_matches('/').to_owned(),
            node,
        });
        let members: Vec<_> = members.filter(|member| !member.path.is_empty()).collect();
        Ok(archive::write(&members))
    }

    fn all(&self) -> BTreeMap<String, Node> {
        let mut all = lock(&self.own).0.clone();
        for (folder, mounted) in &self.mounts {
            let inner = mounted.all().into_iter();
            all.extend(inner.map(|(path, node)| (format!("{folder}{path}"), node)));
        }
        all
    }

    /// The folders that are not its own.
    pub(super) fn mounted(&self) -> Vec<String> {
        self.mounts.iter().map(|(folder, _)| folder.clone()).collect()
    }

    /// The machine's own files, as a snapshot keeps them: without what is mounted.
    pub(super) fn copy(&self) -> Tree {
        lock(&self.own).clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stream_comes_back_with_modes_and_missing_parents() {
        let files = Files::new(Tree::default(), []);
        let node = Node::File {
            mode: 0o640,
            bytes: b"x".to_vec(),
        };
        let member = Member {
            path: "deep/file".into(),
            node: node.clone(),
        };
        files.unpack("/srv/app", &archive::write(&[member])).unwrap();
        let paths: Vec<_> = archive::read(&files.pack("/srv/app").unwrap()).unwrap();
        let paths: Vec<_> = paths.into_iter().map(|member| member.path).collect();
        assert_eq!(paths, ["app", "app/deep", "app/deep/file"]);
        let alone = archive::read(&files.pack("/srv/app/deep/file").unwrap()).unwrap();
        assert_eq!(alone[0].path, "file");
        assert_eq!(alone[0].node, node);
        assert!(files.pack("/nowhere").is_err());
    }

    #[test]
    fn what_is_written_to_a_mount_stays_in_the_volume() {
        let volume = Volume::default();
        let mounted = Mounted::Volume(volume);
        let first = Files::new(Tree::default(), [("/data".to_owned(), mounted.clone())]);
        assert!(first.write("/data/x", b"kept", false));
        let second = Files::new(Tree::default(), [("/data".to_owned(), mounted)]);
        assert_eq!(second.read("/data/x").as_deref(), Some(&b"kept"[..]));
        assert!(first.write("/tmp/y", b"lost", false));
        assert!(!second.exists("/tmp/y"));
        assert!(archive::read(&second.pack("/data").unwrap()).unwrap().len() == 2);
    }
}
