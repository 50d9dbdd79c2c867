#![doc = include_str!("../README.md")]
#![forbid(unsafe_code)]

mod call;
mod files;
mod kind;
mod lines;
mod manifest;
mod process;
mod provider;
mod refusal;
mod table;
mod turn;

use std::path::Path;
use std::sync::Arc;

use encamp_core::{Kind, Result};

pub use files::{SUFFIX, find};
pub use manifest::Manifest;

/// The kind that a manifest describes.
pub fn kind(manifest: &Path) -> Result<Arc<dyn Kind>> {
    let folder = folder(manifest);
    let manifest = Manifest::read(manifest)?;
    Ok(Arc::new(kind::ScriptKind::new(manifest, folder)?))
}

/// The folder of a manifest; that of a bare name is this one.
pub fn folder(manifest: &Path) -> &Path {
    let folder = manifest.parent().filter(|folder| !folder.as_os_str().is_empty());
    folder.unwrap_or(Path::new("."))
}
