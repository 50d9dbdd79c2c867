//! Files between this host and a machine, as `docker cp` and `scp -r` do it. What a machine sends is hostile.

mod header;
mod pack;
mod unpack;

use std::fs::File;
use std::io::{self, Seek};
use std::path::{Path, PathBuf};

use encamp_core::{BoxRead, Error, ErrorKind, Result};
use serde::Serialize;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use self::header::Kind;
use super::Machine;

/// Symbolic links that are followed in a row.
const LINKS: usize = 8;

/// What was copied.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Copied {
    /// Plain files.
    pub files: usize,
    /// Their bytes.
    pub bytes: u64,
    /// What was left out, and why: devices, sockets, links that lead out of the folder.
    pub skipped: Vec<String>,
    /// Where it went.
    pub to: String,
}

impl Machine {
    /// Copies a file or a folder of this host into the machine. A folder that is there gets it by its own name; a path
    /// that is not there becomes it. A source that ends in `/.` stands for what is in the folder.
    pub async fn copy_in(&self, from: impl AsRef<Path>, to: &str) -> Result<Copied> {
        let (machine, from, to) = (self.clone(), from.as_ref().to_owned(), to.to_owned());
        self.engine.run(async move { machine.bring_in(&from, &to).await }).await
    }

    async fn bring_in(&self, from: &Path, to: &str) -> Result<Copied> {
        let to = absolute(to)?;
        let pack = pack::Pack::of(from)?;
        let (_, there) = self.resolve(&to).await?;
        let own_name = || {
            pack.name.clone().ok_or_else(|| {
                Error::new(ErrorKind::Invalid, format!("{} has no name of its own", from.display()))
                    .next_step("name what it is to become")
            })
        };
        let (folder, name) = match (pack.is_folder, there) {
            (true, Kind::Folder) if !pack.contents => (to.clone(), Some(own_name()?)),
            (true, Kind::Folder | Kind::Absent) => (to.clone(), None),
            (true, Kind::Other) => return Err(no_folder(&to)),
            (false, Kind::Folder) => (to.clone(), Some(own_name()?)),
            (false, Kind::Absent) if to.ends_with('/') => (to.clone(), Some(own_name()?)),
            (false, Kind::Other) if to.ends_with('/') => return Err(no_folder(&to)),
            (false, Kind::Absent | Kind::Other) => split(&to),
        };
        let (stream, counted) = pack.stream(name.as_deref());
        self.unpack(&folder, stream).await?;
        let mut copied = counted
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner)
            .clone();
        copied.to = match &name {
            Some(name) => format!("{}/{name}", folder.trim_end_matches('/')),
            None => folder,
        };
        Ok(copied)
    }

    /// Copies a file or a folder of the machine to this host, and takes no more than `limit` bytes. Into a folder that
    /// is there it goes by its own name, to a path that is not there as that path; a source that ends in `/.` stands for
    /// what is in the folder. Nothing is written outside, no device is made, and no link leads out.
    pub async fn copy_out(&self, from: &str, to: impl AsRef<Path>, limit: u64) -> Result<Copied> {
        let (machine, from, to) = (self.clone(), from.to_owned(), to.as_ref().to_owned());
        self.engine
            .run(async move { machine.bring_out(&from, &to, limit).await })
            .await
    }

    async fn bring_out(&self, from: &str, to: &Path, limit: u64) -> Result<Copied> {
        let contents = from.ends_with("/.") || from == ".";
        let from = absolute(from)?;
        let name = if contents { None } else { split(&from).1 };
        let (resolved, _) = self.resolve(&from).await?;
        let stream = self.pack(&resolved).await?;
        let target = place(to, name.as_deref())?;
        let spooled = spool(stream, limit).await?;
        let (into, target_of) = (target.clone(), name.clone());
        let unpacked =
            tokio::task::spawn_blocking(move || unpack::into(spooled, &into, target_of.is_none(), limit)).await;
        let mut copied = unpacked.map_err(|panicked| {
            Error::new(ErrorKind::Internal, "the files could not be unpacked").caused_by(panicked)
        })??;
        copied.to = target.display().to_string();
        Ok(copied)
    }

    /// Where a path of the machine leads, links followed, and what stands there.
    async fn resolve(&self, path: &str) -> Result<(String, Kind)> {
        let mut path = path.to_owned();
        for _ in 0..LINKS {
            let looked = match self.pack(&path).await {
                Ok(stream) => header::first(stream).await?,
                Err(error) if error.kind() == ErrorKind::NotFound => return Ok((path, Kind::Absent)),
                Err(error) => return Err(error),
            };
            match looked {
                header::First::Link(target) => path = join(&path, &target),
                header::First::Kind(kind) => return Ok((path, kind)),
            }
        }
        Err(Error::new(
            ErrorKind::Invalid,
            format!("`{path}` is a link that leads nowhere"),
        ))
    }
}

fn no_folder(path: &str) -> Error {
    Error::new(ErrorKind::Conflict, format!("`{path}` is there, and is no folder"))
}

/// An absolute path, without what means nothing. Relative ones start from the root.
fn absolute(path: &str) -> Result<String> {
    let mut parts: Vec<&str> = Vec::new();
    for part in path.split('/') {
        match part {
            "" | "." => {}
            ".." => drop(parts.pop()),
            part if part.contains('\0') => {
                return Err(Error::new(ErrorKind::Invalid, "a path holds no NUL character"));
            }
            part => parts.push(part),
        }
    }
    let end = if path.ends_with('/') && !parts.is_empty() {
        "/"
    } else {
        ""
    };
    Ok(format!("/{}{end}", parts.join("/")))
}

/// Where a link at `path` leads.
fn join(path: &str, target: &str) -> String {
    if target.starts_with('/') {
        return target.to_owned();
    }
    let joined = format!("{}/{target}", split(path).0);
    absolute(&joined).unwrap_or(joined)
}

/// The folder and the last part.
fn split(path: &str) -> (String, Option<String>) {
    let path = path.trim_end_matches('/');
    match path.rsplit_once('/') {
        Some((folder, name)) if !name.is_empty() => {
            let folder = if folder.is_empty() { "/" } else { folder };
            (folder.to_owned(), Some(name.to_owned()))
        }
        _ => ("/".to_owned(), None),
    }
}

/// The path that what is copied becomes. `name` is its own; none for the contents of a folder.
fn place(to: &Path, name: Option<&str>) -> Result<PathBuf> {
    let Some(name) = name.filter(|_| to.is_dir()) else {
        if name.is_some() && to.as_os_str().to_string_lossy().ends_with('/') {
            return Err(Error::new(
                ErrorKind::NotFound,
                format!("there is no folder {}", to.display()),
            ));
        }
        return Ok(to.to_owned());
    };
    // `/` has no name, and a machine's `..` would be a place above.
    if name == ".." || name.contains('/') {
        return Err(Error::new(ErrorKind::Invalid, format!("`{name}` is no name of a file")));
    }
    Ok(to.join(name))
}

/// An archive into a nameless file, so that memory does not fill with it.
async fn spool(packed: BoxRead, limit: u64) -> Result<File> {
    let failed = |e: io::Error| Error::new(ErrorKind::Unavailable, "the files did not arrive whole").caused_by(e);
    let file = tempfile::tempfile().map_err(failed)?;
    let mut into = tokio::fs::File::from_std(file);
    let copied = tokio::io::copy(&mut packed.take(limit.saturating_add(1)), &mut into)
        .await
        .map_err(failed)?;
    if copied > limit {
        return Err(too_large(limit));
    }
    into.flush().await.map_err(failed)?;
    let mut file = into.into_std().await;
    file.rewind().map_err(failed)?;
    Ok(file)
}

fn too_large(limit: u64) -> Error {
    Error::new(ErrorKind::Quota, format!("the files are larger than {limit} bytes")).next_step("raise --limit")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_of_machines_are_absolute_and_stay_below_the_root() {
        for (path, clean) in [
            ("etc/hosts", "/etc/hosts"),
            ("/a/./b/", "/a/b/"),
            ("/../../etc", "/etc"),
            ("/srv/.", "/srv"),
            ("", "/"),
        ] {
            assert_eq!(absolute(path).unwrap(), clean, "{path}");
        }
        assert!(absolute("/a\0b").is_err());
        assert_eq!(split("/a/b"), ("/a".to_owned(), Some("b".to_owned())));
        assert_eq!(split("/a"), ("/".to_owned(), Some("a".to_owned())));
        assert_eq!(split("/"), ("/".to_owned(), None));
        assert_eq!(join("/a/link", "../b"), "/b");
        assert_eq!(join("/a/link", "/c"), "/c");
    }

    #[tokio::test]
    async fn no_more_is_taken_than_the_limit() {
        let error = spool(Box::pin(&b"12345"[..]), 4).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Quota, "{error}");
        assert!(spool(Box::pin(&b"1234"[..]), 4).await.is_ok());
    }
}
