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

use std::path::Path;
use std::sync::Arc;

use encamp_core::{Kind, Result};

pub use files::{SUFFIX, find};
pub use manifest::Manifest;

/// The kind that a manifest describes.
pub fn kind(manifest: &Path) -> Result<Arc<dyn Kind>> {
    let folder = manifest.parent().unwrap_or(Path::new("."));
    let manifest = Manifest::read(manifest)?;
    Ok(Arc::new(kind::ScriptKind::new(manifest, folder)?))
}
