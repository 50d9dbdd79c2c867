//! The kind of a manifest.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use async_trait::async_trait;
use encamp_core::{
    Ambient, Cx, Error, ErrorKind, InstanceName, Kind, KindInfo, Problem, Provider, Result, Site, Value,
};

use crate::call::passed;
use crate::manifest::Manifest;
use crate::process::Starter;
use crate::provider::Script;
use crate::table::problems;
use crate::turn::Turns;

/// The setting that names the site of an instance; without it, it is the kind's own.
const SITE: &str = "site";

/// A manifest and where it lies.
#[derive(Debug)]
pub(crate) struct ScriptKind {
    info: KindInfo,
    manifest: Arc<Manifest>,
    folder: PathBuf,
}

impl ScriptKind {
    pub(crate) fn new(manifest: Manifest, folder: &Path) -> Result<Self> {
        let folder = std::path::absolute(folder)
            .map_err(|e| Error::new(ErrorKind::Invalid, format!("{} is no folder", folder.display())).caused_by(e))?;
        let mut settings = manifest.settings_schema.clone();
        settings["properties"][SITE] = serde_json::json!({
            "type": "string",
            "description": "Tells the infrastructure of this instance from that of others of the kind",
        });
        let info = KindInfo::new(
            manifest.name.clone(),
            manifest.version.clone(),
            settings,
            manifest.table_schema.clone(),
            manifest.capabilities.clone(),
        );
        Ok(Self {
            info,
            manifest: Arc::new(manifest),
            folder,
        })
    }
}

#[async_trait]
impl Kind for ScriptKind {
    fn info(&self) -> &KindInfo {
        &self.info
    }

    fn examine(&self, table: &Value) -> Vec<Problem> {
        problems(&self.info.table_schema, table)
    }

    async fn connect(&self, _: &Cx, _: InstanceName, settings: Value, ambient: Ambient) -> Result<Arc<dyn Provider>> {
        let site = match settings.get(SITE).and_then(Value::as_str) {
            Some(site) => format!("script:{}:{site}", self.manifest.name),
            None => format!("script:{}", self.manifest.name),
        };
        Ok(Arc::new(Script {
            site: Site::new(site),
            starter: Starter {
                folder: self.folder.clone(),
                variables: passed(&self.manifest, &ambient),
            },
            manifest: Arc::clone(&self.manifest),
            settings,
            turns: Turns::new(&ambient),
        }))
    }
}
