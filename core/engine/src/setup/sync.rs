//! Brings a working tree on a machine up to date: what git would carry, and of that only what has changed.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;
use std::path::{Path, PathBuf};
use std::time::Duration;

use encamp_core::{Error, ErrorKind, Exec, Result};
use ignore::WalkBuilder;
use ignore::overrides::OverrideBuilder;
use sha2::{Digest, Sha256};
use tokio::io::AsyncReadExt;
use tokio_util::sync::CancellationToken;

use super::act::unreadable;
use super::archive;
use super::hash;
use super::place::Place;
use crate::inside::Inside;

/// What the tree on a machine was made of, in its own folder.
const MANIFEST: &str = ".encamp-sync";
/// Bytes of a manifest that are read: some 100,000 files.
const READ: u64 = 32 << 20;
/// Paths that one command removes.
const AT_ONCE: usize = 500;

/// Hash and path of every file of a tree.
type Manifest = BTreeMap<PathBuf, String>;

/// How many files were sent and removed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Synced {
    pub(crate) sent: usize,
    pub(crate) removed: usize,
}

/// Brings `from` to `to`. Files that others put there stay.
pub(super) async fn sync(
    inside: &Inside,
    from: &Path,
    to: &Place,
    exclude: &[String],
    within: Duration,
) -> Result<Synced> {
    let wanted = scan(from.to_owned(), exclude.to_vec()).await?;
    let known = recorded(inside, &to.folder, within).await;
    let changed: Vec<PathBuf> = wanted
        .iter()
        .filter(|(path, hash)| known.get(*path) != Some(*hash))
        .map(|(path, _)| path.clone())
        .collect();
    let gone: BTreeSet<&PathBuf> = known.keys().filter(|path| !wanted.contains_key(*path)).collect();
    let synced = Synced {
        sent: changed.len(),
        removed: gone.len(),
    };
    if changed.is_empty() && gone.is_empty() && !known.is_empty() {
        return Ok(synced);
    }
    let gone: Vec<String> = gone.iter().map(|path| format!("./{}", path.display())).collect();
    for paths in gone.chunks(AT_ONCE) {
        let head = ["rm", "-f", "--"].map(str::to_owned);
        let mut exec = Exec::new(inside.target.clone(), head.into_iter().chain(paths.iter().cloned()));
        exec.cwd = Some(to.folder.clone());
        let said = inside.run(exec, None, within, &CancellationToken::new()).await?;
        if !said.exit.success() {
            return Err(Error::new(
                ErrorKind::Unavailable,
                format!(
                    "what is gone from {} could not be removed: {}",
                    from.display(),
                    said.exit
                ),
            ));
        }
    }
    let packed = archive::of_files(from, changed).await?;
    inside.copy_in(&to.folder, packed, within).await?;
    // Last, so that a tree whose files did not all arrive is not taken for one that is up to date.
    let mut text = String::new();
    for (path, hash) in &wanted {
        // Into a string nothing fails.
        let _ = writeln!(text, "{hash} {}", path.display());
    }
    let manifest = archive::of_text(text, MANIFEST, from, archive::Mode::Fixed(0o644), None).await?;
    inside.copy_in(&to.folder, manifest, within).await?;
    Ok(synced)
}

/// The files of a working tree that git would carry, also outside a repository, without what is excluded: those that
/// `sync` brings.
pub(crate) fn files_of_tree(from: &Path, exclude: &[String]) -> Result<Vec<PathBuf>> {
    let invalid = |e: ignore::Error| {
        Error::new(
            ErrorKind::Invalid,
            format!("{} cannot be walked through", from.display()),
        )
        .caused_by(e)
    };
    let mut overrides = OverrideBuilder::new(from);
    for pattern in exclude.iter().map(String::as_str).chain([".git", MANIFEST]) {
        overrides.add(&format!("!{pattern}")).map_err(invalid)?;
    }
    let walk = WalkBuilder::new(from)
        .hidden(false)
        .require_git(false)
        .overrides(overrides.build().map_err(invalid)?)
        .build();
    let mut files = Vec::new();
    for entry in walk {
        let entry = entry.map_err(invalid)?;
        if entry
            .file_type()
            .is_some_and(|kind| kind.is_file() || kind.is_symlink())
        {
            files.push(entry.into_path());
        }
    }
    Ok(files)
}

/// What a tree is made of now.
async fn scan(from: PathBuf, exclude: Vec<String>) -> Result<Manifest> {
    let scanning = tokio::task::spawn_blocking(move || {
        let mut files = Manifest::new();
        for path in files_of_tree(&from, &exclude)? {
            let relative = path.strip_prefix(&from).unwrap_or(&path).to_owned();
            files.insert(relative, fingerprint(&path)?);
        }
        Ok(files)
    });
    scanning.await.unwrap_or_else(|error| {
        Err(Error::new(ErrorKind::Internal, "the tree could not be walked through").caused_by(error))
    })
}

/// The hash of what a machine would see: content, x-bit, or where a link leads.
fn fingerprint(path: &Path) -> Result<String> {
    use std::os::unix::fs::PermissionsExt;
    let metadata = std::fs::symlink_metadata(path).map_err(unreadable(path))?;
    let mut hash = Sha256::new();
    if metadata.is_symlink() {
        let target = std::fs::read_link(path).map_err(unreadable(path))?;
        hash.update(b"link ");
        hash.update(target.as_os_str().as_encoded_bytes());
    } else {
        hash.update(if metadata.permissions().mode() & 0o111 == 0 {
            "file "
        } else {
            "exec "
        });
        let file = std::fs::File::open(path).map_err(unreadable(path))?;
        hash::add(file, &mut hash).map_err(unreadable(path))?;
    }
    Ok(hash::hex(hash))
}

/// What the machine says that its tree was made of; nothing where there is none, so that everything is sent.
async fn recorded(inside: &Inside, folder: &str, within: Duration) -> Manifest {
    let reading = async {
        let packed = inside.copy_out(&format!("{folder}/{MANIFEST}"), within).await.ok()?;
        let mut bytes = Vec::new();
        packed.take(READ).read_to_end(&mut bytes).await.ok()?;
        let mut archive = tar::Archive::new(bytes.as_slice());
        let mut text = String::new();
        for entry in archive.entries().ok()? {
            std::io::Read::read_to_string(&mut entry.ok()?, &mut text).ok()?;
        }
        Some(text)
    };
    let text = reading.await.unwrap_or_default();
    // It comes from a machine: a path that leads elsewhere would be removed there.
    text.lines()
        .filter_map(|line| line.split_once(' '))
        .map(|(hash, path)| (PathBuf::from(path), hash.to_owned()))
        .filter(|(path, _)| {
            let inside = |part| matches!(part, std::path::Component::Normal(_));
            path.components().all(inside)
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[tokio::test]
    async fn what_git_ignores_stays_behind() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        fs::create_dir_all(at("target")).unwrap();
        fs::create_dir_all(at(".git")).unwrap();
        for (name, text) in [
            (".gitignore", "target\n"),
            ("target/out", "x"),
            (".git/HEAD", "x"),
            ("main.rs", "fn main() {}"),
            (".env", "hidden files count"),
            ("notes.tmp", "x"),
        ] {
            fs::write(at(name), text).unwrap();
        }
        let files = scan(folder.path().to_owned(), vec!["*.tmp".into()]).await.unwrap();
        let names: Vec<_> = files.keys().map(|path| path.display().to_string()).collect();
        assert_eq!(names, [".env", ".gitignore", "main.rs"]);
    }
}
