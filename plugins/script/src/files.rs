//! Where manifests lie.

use std::path::{Path, PathBuf};

use encamp_core::{Error, ErrorKind, Result};

/// What the name of a manifest ends with: `lab.provider.toml` is the kind `lab`.
pub const SUFFIX: &str = ".provider.toml";

/// The manifests at a path: itself, or those of the folder that it is, by name.
pub fn find(path: &Path) -> Result<Vec<PathBuf>> {
    if !path.is_dir() {
        return Ok(vec![path.to_owned()]);
    }
    let failed = |e| Error::new(ErrorKind::Invalid, format!("{} cannot be read", path.display())).caused_by(e);
    let mut found = Vec::new();
    for entry in std::fs::read_dir(path).map_err(failed)? {
        let file = entry.map_err(failed)?.path();
        if file
            .file_name()
            .is_some_and(|name| name.to_string_lossy().ends_with(SUFFIX))
        {
            found.push(file);
        }
    }
    found.sort();
    Ok(found)
}
