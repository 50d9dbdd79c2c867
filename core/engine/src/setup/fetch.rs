//! Files from the network, kept by their hash.

use std::path::{Path, PathBuf};
use std::time::Duration;

use encamp_core::{Error, ErrorKind, Result, Retry};
use sha2::{Digest, Sha256};

use super::act::unreadable;
use super::download::download;
use super::hash;
use crate::session::Session;

/// The file on this host, from the cache where it is there. What has another hash is refused and not kept.
pub(super) async fn fetch(session: &Session, url: &str, sha256: &str, within: Duration) -> Result<PathBuf> {
    let ambient = session.camp.providers.ambient();
    let folder = ambient
        .cache()
        .map_or_else(|| std::env::temp_dir().join("encamp-cache"), Path::to_owned)
        .join("fetch");
    let kept = folder.join(sha256);
    if kept.exists() && hash_of(&kept).await? == sha256 {
        return Ok(kept);
    }
    tokio::fs::create_dir_all(&folder).await.map_err(unwritable(&folder))?;
    // Whoever fetches the same at the same time does no harm: each renames a whole file into place.
    let part = tempfile::Builder::new()
        .prefix(".part-")
        .tempfile_in(&folder)
        .map_err(unwritable(&folder))?;
    let getting = download(ambient, url, part.path());
    let found = tokio::time::timeout(within, getting).await.map_err(|_| {
        Error::new(ErrorKind::Unavailable, format!("{url} was not there within {within:?}"))
            .retry(Retry::Safe)
            .with("url", url)
    })??;
    if found != sha256 {
        return Err(
            Error::new(ErrorKind::Invalid, format!("{url} is not what `sha256` says"))
                .with("wanted sha256", sha256)
                .with("found sha256", &found)
                .next_step("find out who changed it before you write the new hash down"),
        );
    }
    part.persist(&kept).map_err(|e| unwritable(&kept)(e.error))?;
    Ok(kept)
}

/// The last part of an address, as the name of a file.
pub(super) fn name_of(url: &str) -> String {
    let path = url.split(['?', '#']).next().unwrap_or(url);
    match path.rsplit('/').next() {
        Some(name) if !name.is_empty() && !name.contains(':') => name.to_owned(),
        _ => "download".to_owned(),
    }
}

pub(super) fn unwritable(path: &Path) -> impl FnOnce(std::io::Error) -> Error {
    let text = format!("{} cannot be written", path.display());
    move |e| Error::new(ErrorKind::Unavailable, text).caused_by(e)
}

async fn hash_of(path: &Path) -> Result<String> {
    let path = path.to_owned();
    let hashing = tokio::task::spawn_blocking(move || {
        let file = std::fs::File::open(&path).map_err(unreadable(&path))?;
        let mut hash = Sha256::new();
        hash::add(file, &mut hash).map_err(unreadable(&path))?;
        Ok(hash::hex(hash))
    });
    hashing
        .await
        .unwrap_or_else(|error| Err(Error::new(ErrorKind::Internal, "the file could not be hashed").caused_by(error)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_named_after_the_end_of_its_address() {
        assert_eq!(name_of("http://x.y/a/b.tar.gz?sig=1"), "b.tar.gz");
        assert_eq!(name_of("http://x.y/"), "download");
        assert_eq!(name_of("http:"), "download");
    }
}
