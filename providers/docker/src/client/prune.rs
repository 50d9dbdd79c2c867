//! Built images: kept while they are used, removed once nobody has wanted them for a while.

use std::collections::HashMap;

use bollard::models::ImageInspect;
use bollard::query_parameters::{ListImagesOptions, RemoveImageOptions, TagImageOptions};
use encamp_core::{Cx, Prune, Result, Time};

use super::Engine;
use crate::convert::{BUILD_REPOSITORY, Reference};
use crate::error::Effect;

impl Engine {
    /// Says that a built image was wanted now: an engine keeps when an image was last tagged, and not when it was used.
    /// Gives whether the image is there; one whose moment cannot be written down is.
    pub(crate) async fn mark_used(&self, cx: &Cx, name: &str) -> bool {
        let Reference { repository, tag, .. } = Reference::parse(name);
        let options = TagImageOptions {
            repo: Some(repository),
            tag: Some(tag),
        };
        match self.change(cx, self.docker.tag_image(name, Some(options))).await {
            Ok(()) => true,
            // It was pruned just now.
            Err(failure) if failure.status() == Some(404) => false,
            Err(failure) => {
                tracing::debug!(%failure, image = name, "it is not written down that it was used");
                true
            }
        }
    }

    /// Removes the names of built images that nobody has wanted since then, and the images with them where no container
    /// has them. Gives the names.
    pub(crate) async fn prune(&self, cx: &Cx, request: Prune) -> Result<Vec<String>> {
        let built = ListImagesOptions {
            filters: Some(HashMap::from([(
                "reference".to_owned(),
                vec![BUILD_REPOSITORY.to_owned()],
            )])),
            ..ListImagesOptions::default()
        };
        let listed = self
            .read(cx, self.docker.list_images(Some(built)))
            .await
            .map_err(|failure| self.failed(failure, Effect::Read))?;
        let prefix = format!("{BUILD_REPOSITORY}:");
        let names = listed.into_iter().flat_map(|image| image.repo_tags);
        let mut gone = Vec::new();
        for name in names.filter(|name| name.starts_with(&prefix)) {
            let image = match self.read(cx, self.docker.inspect_image(&name)).await {
                Ok(image) => image,
                // Somebody else has removed it.
                Err(failure) if failure.status() == Some(404) => continue,
                Err(failure) => return Err(self.failed(failure, Effect::Read)),
            };
            if is_unused(&image, request.unused_since) && self.remove(cx, &name).await? {
                gone.push(name);
            }
        }
        Ok(gone)
    }

    /// Whether it is gone by this; one that a container has stays.
    async fn remove(&self, cx: &Cx, name: &str) -> Result<bool> {
        let gently = RemoveImageOptions::default();
        match self
            .change(cx, self.docker.remove_image(name, Some(gently), None))
            .await
        {
            Ok(_) => Ok(true),
            Err(failure) if matches!(failure.status(), Some(404 | 409)) => Ok(false),
            Err(failure) => Err(self.failed(failure, Effect::Change)),
        }
    }
}

/// Podman keeps no time of the last tag; there the age counts.
fn is_unused(image: &ImageInspect, since: Time) -> bool {
    let tagged = image
        .metadata
        .as_ref()
        .and_then(|metadata| metadata.last_tag_time.as_deref());
    let times = [tagged, image.created.as_deref()].into_iter().flatten();
    // What cannot be read is not old.
    let wanted = times.filter_map(Time::parse).max();
    wanted.is_some_and(|wanted| wanted <= since)
}

#[cfg(test)]
mod tests {
    use bollard::models::ImageInspectMetadata;

    use super::*;

    #[test]
    fn an_image_is_as_old_as_its_last_tag() {
        let image = |created: &str, tagged: Option<&str>| ImageInspect {
            created: Some(created.into()),
            metadata: tagged.map(|tagged| ImageInspectMetadata {
                last_tag_time: Some(tagged.into()),
            }),
            ..ImageInspect::default()
        };
        let since = Time::parse("2026-11-01T00:00:00Z").expect("a time");
        let unused = |created, tagged| is_unused(&image(created, tagged), since);
        assert!(unused("2026-11-01T00:00:00Z", None));
        assert!(!unused("2026-11-01T00:00:00.001Z", None));
        assert!(!unused("2026-01-01T00:00:00Z", Some("2026-11-07T00:00:00.5+01:00")));
        // An engine's word for never.
        assert!(unused("2026-11-01T00:00:00Z", Some("0001-01-01T00:00:00Z")));
        assert!(!unused("yesterday", None));
    }
}
