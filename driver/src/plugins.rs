//! Kinds that are not linked in: scripts, by their manifests.

use std::fs::Metadata;
use std::io::ErrorKind;
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

/// The kinds of all manifests at these paths. `taken` are those that are linked in. What is wrong with one of them goes to
/// `failed`, which ends it all or lets the others be.
pub(crate) fn load(
    paths: &[PathBuf],
    taken: &[Arc<dyn Kind>],
    mut failed: impl FnMut(Failure) -> Result<(), Failure>,
) -> Result<Vec<Plugin>, Failure> {
    let mut plugins: Vec<Plugin> = Vec::new();
    for path in paths {
        let found = match script::find(path) {
            Ok(found) => found,
            Err(error) => {
                failed(wrong(path, &error.to_string()))?;
                continue;
            }
        };
        for from in found {
            match one(from, taken, &plugins) {
                Ok(plugin) => plugins.push(plugin),
                Err(failure) => failed(failure)?,
            }
        }
    }
    Ok(plugins)
}

fn one(from: PathBuf, taken: &[Arc<dyn Kind>], plugins: &[Plugin]) -> Result<Plugin, Failure> {
    trusted(&from)?;
    let kind = script::kind(&from).map_err(|error| refused(&from, &error))?;
    let name = &kind.info().name;
    if taken.iter().any(|taken| taken.info().name == *name) {
        let why = format!("the kind `{name}` is there already: give it another `name`");
        return Err(wrong(&from, &why));
    }
    if let Some(first) = plugins.iter().find(|plugin| plugin.kind.info().name == *name) {
        let first = first.from.display();
        return Err(wrong(&from, &format!("the kind `{name}` is there already: {first}")));
    }
    Ok(Plugin { kind, from })
}

/// A plugin is whoever may write it: nobody but this user and root, neither the manifest nor its programs, nor the folders
/// that they lie in. A link would be as good as what it leads to, and not as what it is; only programs may be one.
fn trusted(manifest: &Path) -> Result<(), Failure> {
    let folder = script::folder(manifest);
    for path in [folder, manifest] {
        let metadata = std::fs::symlink_metadata(path).map_err(|error| wrong(path, &error.to_string()))?;
        if metadata.is_symlink() {
            return Err(wrong(path, "it is a link: name what it leads to"));
        }
        is_ours_alone(path, &metadata)?;
    }
    let read = script::Manifest::read(manifest).map_err(|error| refused(manifest, &error))?;
    for program in read.programs(folder) {
        let target = match program.canonicalize() {
            Ok(target) => target,
            // It is told when it is to be started.
            Err(error) if error.kind() == ErrorKind::NotFound => continue,
            Err(error) => return Err(wrong(&program, &error.to_string())),
        };
        for path in [program.parent(), target.parent(), Some(&*target)]
            .into_iter()
            .flatten()
        {
            let metadata = std::fs::metadata(path).map_err(|error| wrong(path, &error.to_string()))?;
            is_ours_alone(path, &metadata)?;
        }
    }
    Ok(())
}

fn is_ours_alone(path: &Path, metadata: &Metadata) -> Result<(), Failure> {
    let own = rustix::process::getuid().as_raw();
    if ![0, own].contains(&metadata.uid()) {
        return Err(wrong(path, &format!("it belongs to user {}", metadata.uid())));
    }
    if metadata.mode() & 0o022 != 0 {
        let refusal = refusal(path, "others may write it");
        return Err(refusal.help(format!("chmod go-w {}", path.display())).into());
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
