//! Kinds that are not linked in: scripts, by their manifests.

use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use encamp::{Kind, script};

use crate::codes;
use crate::failure::{Failure, Refusal};

/// A kind, and where it came from.
#[derive(Debug, Clone)]
pub(crate) struct Plugin {
    pub(crate) kind: Arc<dyn Kind>,
    pub(crate) from: PathBuf,
}

/// The kinds of all manifests at these paths. `taken` are those that are linked in.
pub(crate) fn load(paths: &[PathBuf], taken: &[Arc<dyn Kind>]) -> Result<Vec<Plugin>, Failure> {
    let mut plugins: Vec<Plugin> = Vec::new();
    for path in paths {
        let found = script::find(path).map_err(|error| wrong(path, &error.to_string()))?;
        for from in found {
            trusted(&from)?;
            let kind = script::kind(&from).map_err(|error| refused(&from, &error))?;
            let name = &kind.info().name;
            if taken.iter().any(|taken| taken.info().name == *name) {
                return Err(wrong(
                    &from,
                    &format!("the kind `{name}` is there already: give it another `name`"),
                ));
            }
            if let Some(first) = plugins.iter().find(|plugin| plugin.kind.info().name == *name) {
                let first = first.from.display();
                return Err(wrong(&from, &format!("the kind `{name}` is there already: {first}")));
            }
            plugins.push(Plugin { kind, from });
        }
    }
    Ok(plugins)
}

/// A plugin is whoever may write it: nobody but this user and root, neither the file nor its folder.
fn trusted(manifest: &Path) -> Result<(), Failure> {
    let folder = manifest.parent().filter(|folder| !folder.as_os_str().is_empty());
    for path in [manifest, folder.unwrap_or(Path::new("."))] {
        let metadata = std::fs::metadata(path).map_err(|error| wrong(path, &error.to_string()))?;
        let own = rustix::process::getuid().as_raw();
        if ![0, own].contains(&metadata.uid()) {
            return Err(wrong(path, &format!("it belongs to user {}", metadata.uid())));
        }
        if metadata.mode() & 0o002 != 0 {
            let refusal = refusal(path, "everybody may write it");
            return Err(refusal.help(format!("chmod o-w {}", path.display())).into());
        }
    }
    Ok(())
}

fn wrong(path: &Path, why: &str) -> Failure {
    refusal(path, why).into()
}

fn refused(path: &Path, error: &encamp::Error) -> Failure {
    let refusal = refusal(path, error.message());
    match error.hint() {
        Some(hint) => refusal.help(hint.to_owned()).into(),
        None => refusal.into(),
    }
}

fn refusal(path: &Path, why: &str) -> Refusal {
    Refusal::new(codes::SETTINGS, "a plugin cannot be used")
        .place(path.display().to_string())
        .why(why.to_owned())
}
