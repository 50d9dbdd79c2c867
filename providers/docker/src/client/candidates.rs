//! What can be made of a table, and what it takes to have it ready.

use std::path::Path;

use encamp_core::{Candidate, Cx, Error, ErrorKind, Pin, Resolve, Result, Value};
use serde_json::json;

use super::{Engine, pack};
use crate::config::Permission;
use crate::convert::{Body, items, with_needs};
use crate::error::short;
use crate::table::{self, Build, Table, VolumeSource, is_default_capability, mounts_socket};

impl Engine {
    /// One candidate: the table with the needs added, and the image by its digest where it is here.
    pub(crate) async fn resolve(&self, cx: &Cx, request: Resolve) -> Result<Candidate> {
        let mut json = request.table;
        if let Some(image) = &request.image {
            self.at(&image.site)?;
            json["image"] = json!(image.name);
            if let Some(object) = json.as_object_mut() {
                object.remove("build");
            }
        }
        let mut table = table::read(&json)?;
        settle_paths(&mut table, &mut json, &request.folder)?;
        self.permit(&table)?;
        with_needs(&table, &mut json, &request.needs, &self.offer)?;
        let (image_id, how) = match (&request.image, &table.build) {
            (Some(image), _) => (Some(image.id.clone()), "here".to_owned()),
            (None, Some(build)) => (None, how_built(build)?),
            (None, None) => {
                let name = table.image.clone().unwrap_or_default();
                let here = self.image_here(cx, &name, table.platform.as_deref()).await?;
                let how = if here.is_some() { "here" } else { "pull" };
                (here, how.to_owned())
            }
        };
        let mut summary = Vec::new();
        if let Some(image) = &table.image {
            let digest = image_id
                .as_deref()
                .map(|id| format!(" @{}", short(id)))
                .unwrap_or_default();
            summary.push(("image".to_owned(), format!("{image}{digest}")));
        }
        summary.push(("how".to_owned(), how));
        if !self.reach().publishes() {
            let text = "not published: the engine is on another host";
            summary.push(("ports".to_owned(), text.to_owned()));
        }
        let body = Body { table: json, image_id };
        let mut candidate = Candidate::new(self.site.clone(), body.to_json());
        candidate.scope = items(&table);
        candidate.summary = summary;
        candidate.pins = table
            .image
            .iter()
            .map(|image| Pin::new(format!("image {image}"), "/image_id"))
            .collect();
        Ok(candidate)
    }

    /// Pulls or builds what is not here, and fills the digest in.
    pub(crate) async fn prepare(&self, cx: &Cx, mut candidate: Candidate) -> Result<Candidate> {
        self.at(&candidate.site)?;
        let mut body = Body::read(&candidate.body)?;
        let table = table::read(&body.table)?;
        let platform = table.platform.as_deref();
        let known = match &body.image_id {
            Some(id) => self.image_here(cx, id, None).await?,
            None => None,
        };
        let id = match (known, &table.build, &table.image) {
            (Some(id), _, _) => id,
            (None, Some(build), _) => self.build(cx, build, platform).await?,
            (None, None, Some(image)) => match self.image_here(cx, image, platform).await? {
                Some(id) => id,
                None => self.pull(cx, image, platform).await?,
            },
            (None, None, None) => return Err(Error::new(ErrorKind::Invalid, "there is neither an image nor a build")),
        };
        body.image_id = Some(id);
        candidate.body = body.to_json();
        Ok(candidate)
    }

    fn permit(&self, table: &Table) -> Result<()> {
        for volume in &table.volumes {
            let VolumeSource::Bind(folder) = &volume.source else {
                continue;
            };
            let permission = if mounts_socket(&volume.source) {
                Permission::DockerSocket
            } else {
                Permission::BindMounts
            };
            self.settings
                .require(permission, &format!("the bind mount of `{folder}`"))?;
        }
        if let Some(cap) = table.cap_add.iter().find(|cap| !is_default_capability(cap)) {
            self.settings
                .require(Permission::Privileges, &format!("the capability `{cap}`"))?;
        }
        Ok(())
    }
}

/// `build ./web (12 files)`; a folder that cannot be built from is found out before anything is made.
fn how_built(build: &Build) -> Result<String> {
    let files = pack::count(build).map_err(|native| {
        Error::new(
            ErrorKind::Invalid,
            format!("the folder `{}` cannot be built from", build.context),
        )
        .caused_by(native)
    })?;
    Ok(format!("build {} ({files} files)", build.context))
}

/// A candidate outlives the folder in which it was made, so its paths are absolute.
fn settle_paths(table: &mut Table, json: &mut Value, folder: &Path) -> Result<()> {
    let absolute = |path: &str| {
        let found = std::path::absolute(folder.join(path))
            .map_err(|native| Error::new(ErrorKind::Invalid, format!("`{path}` is no path")).caused_by(native))?;
        Ok::<_, Error>(found.to_string_lossy().into_owned())
    };
    if let Some(build) = &mut table.build {
        build.context = absolute(&build.context)?;
        json["build"] = json!(build);
    }
    for volume in &mut table.volumes {
        if let VolumeSource::Bind(folder) = &mut volume.source {
            *folder = absolute(folder)?;
        }
    }
    if !table.volumes.is_empty() {
        json["volumes"] = json!(table.volumes);
    }
    Ok(())
}
