//! Files in and out of containers, as tar streams.

use bollard::query_parameters::{ContainerArchiveInfoOptions, DownloadFromContainerOptions, UploadToContainerOptions};
use bytes::Bytes;
use encamp_core::{BoxRead, CopyIn, CopyOut, Cx, Error, ErrorKind, Result, Retry};
use futures_util::{Stream, StreamExt, TryStreamExt};
use tokio_util::io::{ReaderStream, StreamReader};

use super::Engine;
use crate::error::{Effect, missing};

/// How folders that are missing are made.
const FOLDER_MODE: u32 = 0o755;

impl Engine {
    /// Unpacks a tar stream into a folder, which is made with its parents where it is missing.
    pub(crate) async fn copy_in(&self, cx: &Cx, request: &CopyIn, tar: BoxRead) -> Result<()> {
        let folder = absolute(&request.folder)?;
        let container = self.address(cx, &request.target).await?;
        self.make_folder(cx, &container, &folder).await?;
        self.upload(cx, &container, &folder, ReaderStream::new(tar)).await
    }

    async fn upload(
        &self,
        cx: &Cx,
        container: &str,
        folder: &str,
        tar: impl Stream<Item = std::io::Result<Bytes>> + Send + 'static,
    ) -> Result<()> {
        let options = UploadToContainerOptions {
            path: folder.to_owned(),
            ..UploadToContainerOptions::default()
        };
        let sent = self
            .docker
            .upload_to_container(container, Some(options), bollard::body_try_stream(tar));
        let sent = self.read(cx, sent).await;
        // Unpacked twice is the same as unpacked once, so nothing is unknown; the stream is used up all the same.
        sent.map_err(|failure| self.failed(failure, Effect::Read).retry(Retry::Never))
    }

    /// Only what is missing is uploaded: an entry of a folder that is there would change its owner and mode.
    async fn make_folder(&self, cx: &Cx, container: &str, folder: &str) -> Result<()> {
        let mut there = folder;
        let mut missing_parts = Vec::new();
        while there != "/" && !self.is_there(cx, container, there).await? {
            let (parent, part) = there.rsplit_once('/').unwrap_or(("", there));
            missing_parts.push(part);
            there = if parent.is_empty() { "/" } else { parent };
        }
        if missing_parts.is_empty() {
            return Ok(());
        }
        missing_parts.reverse();
        let tar = folders(&missing_parts).map_err(|native| {
            Error::new(ErrorKind::Internal, "the missing folders cannot be packed").caused_by(native)
        })?;
        let tar = futures_util::stream::once(std::future::ready(Ok(tar)));
        self.upload(cx, container, there, tar).await
    }

    async fn is_there(&self, cx: &Cx, container: &str, path: &str) -> Result<bool> {
        let options = ContainerArchiveInfoOptions { path: path.to_owned() };
        match self
            .read(cx, self.docker.get_container_archive_info(container, Some(options)))
            .await
        {
            Ok(_) => Ok(true),
            Err(failure) if failure.status() == Some(404) => {
                // The answer to HEAD has no body, so it does not say whether path or container is missing.
                self.exists(cx, container).await?;
                Ok(false)
            }
            Err(failure) => Err(self.failed(failure, Effect::Read)),
        }
    }

    async fn exists(&self, cx: &Cx, container: &str) -> Result<()> {
        let options = None::<bollard::query_parameters::InspectContainerOptions>;
        let seen = self.read(cx, self.docker.inspect_container(container, options)).await;
        seen.map(|_| ()).map_err(|failure| self.failed(failure, Effect::Read))
    }

    /// Packs a path as a tar stream.
    pub(crate) async fn copy_out(&self, cx: &Cx, request: &CopyOut) -> Result<BoxRead> {
        let path = absolute(&request.path)?;
        let container = self.address(cx, &request.target).await?;
        if !self.is_there(cx, &container, &path).await? {
            return Err(missing("path", &path).of_machine(request.target.stamp.object()));
        }
        let options = DownloadFromContainerOptions { path };
        let stream = self.docker.download_from_container(&container, Some(options));
        let stream = stream.map_err(std::io::Error::other).boxed();
        Ok(Box::pin(StreamReader::new(stream)))
    }
}

/// The path without a slash at its end.
fn absolute(path: &str) -> Result<String> {
    if !path.starts_with('/') {
        return Err(Error::new(ErrorKind::Invalid, format!("`{path}` is no absolute path")));
    }
    let trimmed = path.trim_end_matches('/');
    Ok(if trimmed.is_empty() { "/" } else { trimmed }.to_owned())
}

/// A tar of folders, each in the one before.
fn folders(parts: &[&str]) -> std::io::Result<Bytes> {
    let mut builder = tar::Builder::new(Vec::new());
    let mut path = String::new();
    for part in parts.iter().filter(|part| !part.is_empty()) {
        path.push_str(part);
        path.push('/');
        let mut header = tar::Header::new_gnu();
        header.set_entry_type(tar::EntryType::Directory);
        header.set_mode(FOLDER_MODE);
        header.set_size(0);
        builder.append_data(&mut header, &path, std::io::empty())?;
    }
    builder.into_inner().map(Bytes::from)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn missing_folders_are_packed_from_the_outside_in() {
        let tar = folders(&["a", "b"]).unwrap();
        let mut archive = tar::Archive::new(&tar[..]);
        let paths: Vec<_> = archive
            .entries()
            .unwrap()
            .map(|entry| entry.unwrap().path().unwrap().display().to_string())
            .collect();
        assert_eq!(paths, ["a/", "a/b/"]);
    }

    #[test]
    fn paths_are_absolute() {
        assert_eq!(absolute("/a/b/").unwrap(), "/a/b");
        assert_eq!(absolute("//").unwrap(), "/");
        assert!(absolute("a").is_err());
    }
}
