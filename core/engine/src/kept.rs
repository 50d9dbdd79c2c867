//! Which places are kept for an environment: whoever ends it after a crash gives them back, a minute before they end by
//! themselves.

use std::fs::{self, DirBuilder};
use std::io;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};

use encamp_core::{EnvId, InstanceName, Site, Value};
use serde::{Deserialize, Serialize};

const FILE: &str = "places";

/// A place that is kept.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct KeptPlace {
    pub(crate) instance: InstanceName,
    pub(crate) site: Site,
    pub(crate) body: Value,
}

/// The note of an environment, a file of its folder. It may be lost: nothing more than a minute depends on it.
#[derive(Debug)]
pub(crate) struct KeptPlaces(PathBuf);

impl KeptPlaces {
    /// Below the state folder.
    pub(crate) fn of(state: &Path, environment: &EnvId) -> Self {
        Self(state.join("environments").join(environment.as_ref()).join(FILE))
    }

    pub(crate) fn read(&self) -> Vec<KeptPlace> {
        let text = fs::read(&self.0).unwrap_or_default();
        serde_json::from_slice(&text).unwrap_or_default()
    }

    pub(crate) fn write(&self, places: &[KeptPlace]) {
        let written = || -> io::Result<()> {
            if let Some(folder) = self.0.parent() {
                DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
            }
            fs::write(&self.0, serde_json::to_vec(places)?)
        };
        if let Err(error) = written() {
            tracing::debug!(%error, "it is not written down which places are kept");
        }
    }

    pub(crate) fn remove(&self) {
        if fs::remove_file(&self.0).is_ok()
            && let Some(folder) = self.0.parent()
        {
            // Others may have something there as well.
            let _ = fs::remove_dir(folder);
        }
    }
}
