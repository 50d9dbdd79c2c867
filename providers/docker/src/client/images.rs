//! Images: looked up, pulled, built, made of machines.

use std::collections::{BTreeMap, HashMap};

use bollard::models::{ContainerConfig, CreateImageInfo, ImageInspect};
use bollard::query_parameters::{
    BuildImageOptions, CommitContainerOptions, CreateImageOptions, ListImagesOptions, RemoveImageOptions,
    TagImageOptions,
};
use encamp_core::{Cx, Error, ErrorKind, Image, Progress, Removal, Result, Retry, Snapshot, Stamp};
use futures_util::StreamExt;

use super::{Engine, pack};
use crate::convert::{
    BUILD_REPOSITORY, GRACE_LABEL, REQUEST_LABEL, Reference, SNAPSHOT_REPOSITORY, labels_of, mounted_in,
};
use crate::error::{Effect, Failure, foreign, image_missing};
use crate::table::{Build, is_image};

/// How many neighbours of a missing image are named.
const NEAR: usize = 5;

impl Engine {
    /// The id of an image that is here, for the platform that is asked for.
    pub(crate) async fn image_here(&self, cx: &Cx, name: &str, platform: Option<&str>) -> Result<Option<String>> {
        match self.read(cx, self.docker.inspect_image(name)).await {
            Ok(image) if platform.is_none_or(|platform| fits(&image, platform)) => Ok(image.id),
            Ok(_) => Ok(None),
            Err(failure) if failure.status() == Some(404) => Ok(None),
            Err(failure) => Err(self.failed(failure, Effect::Read)),
        }
    }

    /// Pulls an image and tells its progress; gives its id.
    pub(crate) async fn pull(&self, cx: &Cx, name: &str, platform: Option<&str>) -> Result<String> {
        let reference = Reference::parse(name);
        let options = CreateImageOptions {
            from_image: Some(reference.repository.clone()),
            tag: Some(reference.tag.clone()),
            platform: platform.unwrap_or_default().to_owned(),
            ..CreateImageOptions::default()
        };
        let mut layers = Layers::default();
        let mut stream = self.docker.create_image(Some(options), None, None);
        let pulled = async {
            while let Some(info) = stream.next().await {
                if let Some((done, total)) = layers.take(&info?) {
                    cx.events().tell(Progress::bytes("pull", done, Some(total)));
                }
            }
            Ok(())
        };
        let limit = self.settings.pull_timeout.0;
        let outcome = tokio::time::timeout(limit, self.read(cx, pulled)).await;
        match outcome.unwrap_or(Err(Failure::Deadline)) {
            Ok(()) => {}
            Err(failure @ (Failure::Deadline | Failure::Cancelled)) => return Err(gave_up(&failure, name)),
            Err(failure) => {
                return Err(image_missing(
                    name,
                    &self.near(cx, &reference).await,
                    failure,
                    &self.endpoint.place,
                ));
            }
        }
        let here = self.image_here(cx, &reference.to_string(), platform).await?;
        here.ok_or_else(|| {
            Error::new(
                ErrorKind::NotFound,
                format!("image `{name}` was pulled and is not here"),
            )
            .next_step("is it an image for another platform? then write `docker.platform`")
        })
    }

    /// Other tags of the same repository.
    async fn near(&self, cx: &Cx, reference: &Reference) -> Vec<String> {
        let options = ListImagesOptions {
            filters: Some(HashMap::from([(
                "reference".to_owned(),
                vec![reference.repository.clone()],
            )])),
            ..ListImagesOptions::default()
        };
        let listed = self
            .read(cx, self.docker.list_images(Some(options)))
            .await
            .unwrap_or_default();
        let prefix = format!("{}:", reference.repository);
        let tags = listed.into_iter().flat_map(|image| image.repo_tags);
        let mut near: Vec<_> = tags.filter(|tag| tag.starts_with(&prefix)).collect();
        near.sort_unstable();
        near.truncate(NEAR);
        near
    }

    /// Builds an image, unless the same context was built before; gives its id.
    pub(crate) async fn build(&self, cx: &Cx, build: &Build, platform: Option<&str>) -> Result<String> {
        let context = pack::gather(build, platform.unwrap_or_default()).await?;
        let name = format!("{BUILD_REPOSITORY}:{}", context.hash);
        if let Some(id) = self.image_here(cx, &name, None).await?
            && self.mark_used(cx, &name).await
        {
            return Ok(id);
        }
        let options = BuildImageOptions {
            dockerfile: build.dockerfile().to_owned(),
            t: Some(name.clone()),
            rm: true,
            forcerm: true,
            buildargs: Some(build.args.clone().into_iter().collect()),
            platform: platform.unwrap_or_default().to_owned(),
            target: build.target.clone().unwrap_or_default(),
            ..BuildImageOptions::default()
        };
        let body = bollard::body_try_stream(pack::stream(context));
        let mut stream = self.docker.build_image(options, None, Some(body));
        let mut said = Vec::new();
        let built = async {
            while let Some(info) = stream.next().await {
                let line = info?.stream.unwrap_or_default();
                for line in line.lines().map(str::trim_end).filter(|line| !line.is_empty()) {
                    cx.events().tell(Progress::note("build", line));
                    said.push(line.to_owned());
                }
            }
            Ok(())
        };
        match self.read(cx, built).await {
            Ok(()) => {}
            Err(failure @ (Failure::Deadline | Failure::Cancelled)) => return Err(gave_up(&failure, &build.context)),
            Err(failure) => return Err(build_failed(build, failure, &said)),
        }
        let here = self.image_here(cx, &name, None).await?;
        here.ok_or_else(|| Error::new(ErrorKind::Internal, "the engine built an image that is not here"))
    }

    /// Makes an image of a machine. The stamp's key is a tag of it, so that the same call again finds it.
    pub(crate) async fn snapshot(&self, cx: &Cx, request: &Snapshot) -> Result<Image> {
        if !is_image(&request.name) {
            return Err(Error::new(
                ErrorKind::Invalid,
                format!("`{}` is no name of an image", request.name),
            ));
        }
        let machine = self.own(cx, &request.target).await?;
        let key = request.stamp.key.as_str();
        let kept = format!("{SNAPSHOT_REPOSITORY}:{key}");
        let without = mounted_in(&machine);
        let there = Box::pin(self.snapshot_there(cx, &request.stamp, &kept)).await?;
        let id = match there {
            Some(image) => image.id.unwrap_or_default(),
            None => self.commit(cx, &request.stamp, machine.id.unwrap_or_default()).await?,
        };
        let name = Reference::parse(&request.name);
        let options = TagImageOptions {
            repo: Some(name.repository),
            tag: Some(name.tag),
        };
        let tagged = self.change(cx, self.docker.tag_image(&kept, Some(options))).await;
        tagged.map_err(|failure| self.failed(failure, Effect::Change))?;
        Ok(Image::new(self.site.clone(), id, request.name.clone()).without(without))
    }

    /// Takes every name from the image that was made under a stamp. It is not taken from under a container.
    pub(crate) async fn remove_snapshot(&self, cx: &Cx, stamp: &Stamp) -> Result<Removal> {
        let kept = format!("{SNAPSHOT_REPOSITORY}:{}", stamp.key);
        let Some(image) = self.snapshot_there(cx, stamp, &kept).await? else {
            return Ok(Removal::Gone);
        };
        let mut names = image.repo_tags.unwrap_or_default();
        // By the last of them it is found again.
        names.sort_by_key(|name| name.ends_with(&kept));
        for name in names {
            let gently = RemoveImageOptions::default();
            match self
                .change(cx, self.docker.remove_image(&name, Some(gently), None))
                .await
            {
                Err(failure) if failure.status() != Some(404) => return Err(self.failed(failure, Effect::Change)),
                Ok(_) | Err(_) => {}
            }
        }
        Ok(Removal::Gone)
    }

    async fn snapshot_there(&self, cx: &Cx, stamp: &Stamp, kept: &str) -> Result<Option<ImageInspect>> {
        match self.read(cx, self.docker.inspect_image(kept)).await {
            Ok(image) => {
                let labels = labels_of(image.config.as_ref().and_then(|config| config.labels.as_ref()));
                if stamp.matches_labels(&labels) {
                    Ok(Some(image))
                } else {
                    Err(foreign("image", kept, &image.id.unwrap_or_default()))
                }
            }
            Err(failure) if failure.status() == Some(404) => Ok(None),
            Err(failure) => Err(self.failed(failure, Effect::Read)),
        }
    }

    /// The machine's labels go into the image; those that would speak for the machine are overwritten.
    async fn commit(&self, cx: &Cx, stamp: &Stamp, container: String) -> Result<String> {
        let mut labels: HashMap<_, _> = stamp.labels.clone().into_iter().collect();
        for machines_own in [REQUEST_LABEL, GRACE_LABEL] {
            labels.insert(machines_own.to_owned(), String::new());
        }
        let options = CommitContainerOptions {
            container: Some(container),
            repo: Some(SNAPSHOT_REPOSITORY.to_owned()),
            tag: Some(stamp.key.as_str().to_owned()),
            pause: true,
            ..CommitContainerOptions::default()
        };
        let options = CommitContainerOptions {
            // Podman reads no labels but those of such lines.
            changes: self.learnt.podman.then(|| label_lines(&labels)),
            ..options
        };
        let config = ContainerConfig {
            labels: Some(labels),
            ..ContainerConfig::default()
        };
        let made = self.change(cx, self.docker.commit_container(options, config)).await;
        let id = made.map_err(|failure| self.failed(failure, Effect::Change))?.id;
        // Everywhere else an id says how it was hashed.
        Ok(if id.contains(':') { id } else { format!("sha256:{id}") })
    }
}

/// Labels as a Dockerfile has them. None of ours has a quote in it.
fn label_lines(labels: &HashMap<String, String>) -> String {
    let lines = labels
        .iter()
        .map(|(name, value)| format!("LABEL \"{name}\"=\"{value}\""));
    lines.collect::<Vec<_>>().join("\n")
}

/// `linux/arm64/v8` fits an image of `linux` and `arm64`.
fn fits(image: &ImageInspect, platform: &str) -> bool {
    let mut parts = platform.split('/');
    let (os, arch) = (parts.next(), parts.next());
    let same = |wanted: Option<&str>, has: Option<&str>| match (wanted, has) {
        (Some(wanted), Some(has)) => wanted == has,
        _ => true,
    };
    same(os, image.os.as_deref()) && same(arch, image.architecture.as_deref())
}

fn gave_up(failure: &Failure, what: &str) -> Error {
    let kind = match failure {
        Failure::Cancelled => ErrorKind::Cancelled,
        _ => ErrorKind::Unavailable,
    };
    let error = Error::new(kind, format!("the image of `{what}` did not get ready: {failure}"));
    error.retry(Retry::Safe)
}

fn build_failed(build: &Build, failure: Failure, said: &[String]) -> Error {
    let tail = said
        .iter()
        .rev()
        .take(NEAR)
        .rev()
        .cloned()
        .collect::<Vec<_>>()
        .join("\n");
    Error::new(
        ErrorKind::Invalid,
        format!("the image of `{}` cannot be built", build.context),
    )
    .with("key", "build")
    .with("dockerfile", build.dockerfile())
    .with("last lines", tail)
    .caused_by(failure)
}

/// How far the layers of an image are.
#[derive(Debug, Default)]
struct Layers(BTreeMap<String, (u64, u64)>);

impl Layers {
    /// The bytes that are here and those that are known of, where a line says something about them.
    fn take(&mut self, info: &CreateImageInfo) -> Option<(u64, u64)> {
        let id = info.id.as_ref()?;
        let detail = info.progress_detail.as_ref();
        let number = |number: Option<i64>| number.and_then(|number| u64::try_from(number).ok());
        match info.status.as_deref()? {
            "Downloading" => {
                let total = number(detail?.total)?;
                self.0.insert(id.clone(), (number(detail?.current)?, total));
            }
            "Download complete" | "Pull complete" => {
                let layer = self.0.get_mut(id)?;
                layer.0 = layer.1;
            }
            _ => return None,
        }
        let sums = self
            .0
            .values()
            .fold((0, 0), |sum, layer| (sum.0 + layer.0, sum.1 + layer.1));
        Some(sums)
    }
}

#[cfg(test)]
mod tests {
    use bollard::models::ProgressDetail;

    use super::*;

    fn line(id: &str, status: &str, current: i64, total: i64) -> CreateImageInfo {
        CreateImageInfo {
            id: Some(id.into()),
            status: Some(status.into()),
            progress_detail: Some(ProgressDetail {
                current: Some(current),
                total: Some(total),
            }),
            ..CreateImageInfo::default()
        }
    }

    #[test]
    fn layers_add_up() {
        let mut layers = Layers::default();
        assert_eq!(layers.take(&line("a", "Downloading", 1, 10)), Some((1, 10)));
        assert_eq!(layers.take(&line("b", "Downloading", 5, 5)), Some((6, 15)));
        assert_eq!(layers.take(&line("a", "Download complete", 0, 0)), Some((15, 15)));
        assert_eq!(layers.take(&line("a", "Verifying Checksum", 0, 0)), None);
    }

    #[test]
    fn an_image_fits_its_platform() {
        let image = ImageInspect {
            os: Some("linux".into()),
            architecture: Some("arm64".into()),
            ..ImageInspect::default()
        };
        assert!(fits(&image, "linux/arm64/v8") && fits(&image, "linux"));
        assert!(!fits(&image, "linux/amd64"));
    }
}
