//! `encamp provider new`: a provider in shell that works, to begin with.

use std::fs;
use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
use std::path::{Path, PathBuf};

use encamp::KindName;
use serde_json::json;

use crate::arguments::{Language, NewProvider};
use crate::codes;
use crate::context::Desk;
use crate::exit::Exit;
use crate::failure::{Failure, Refusal};
use crate::output;

/// The example of a provider in shell, as links.
const MANIFEST: &str = include_str!("yard.provider.toml");
const SCRIPT: &str = include_str!("yard.sh");
/// Its name, which is nowhere in them but where it stands for the kind.
const NAME: &str = "yard";

pub(in crate::verbs) fn new(desk: &Desk, args: &NewProvider) -> Result<Exit, Failure> {
    let Language::Shell = args.lang;
    KindName::new(args.name.as_str()).map_err(|error| {
        Refusal::new(codes::NO_SUCH, format!("`{}` is no kind's name", args.name)).why(error.to_string())
    })?;
    let folder = args.folder.clone().unwrap_or_else(|| PathBuf::from(&args.name));
    let manifest = folder.join(format!("{}.provider.toml", args.name));
    let script = folder.join(format!("{}.sh", args.name));
    for path in [&manifest, &script] {
        if path.exists() {
            let refusal = Refusal::new(codes::EXISTS, format!("{} is there already", path.display()));
            return Err(refusal.help("name another folder with --in").into());
        }
    }
    // A plugin that others may write is not used, whatever the umask.
    let mut making = fs::DirBuilder::new();
    let made = making.recursive(true).mode(0o755).create(&folder);
    made.map_err(|error| unwritten(&folder, &error))?;
    write(&manifest, &MANIFEST.replace(NAME, &args.name), 0o644)?;
    write(&script, &SCRIPT.replace(NAME, &args.name), 0o755)?;
    if desk.json {
        output::json(&json!({ "manifest": manifest, "script": script }));
    } else {
        output::result(&format!(
            "{}   what it can do, and how it is called",
            manifest.display()
        ));
        output::result(&format!("{}   the commands", script.display()));
        let folder = folder.display().to_string();
        let folder = encamp::shell::quote(&folder);
        output::tell(&format!(
            "Try it: ENCAMP__PLUGINS={folder} encamp provider check {}",
            args.name
        ));
    }
    Ok(Exit::Well)
}

fn write(path: &Path, text: &str, mode: u32) -> Result<(), Failure> {
    let written = fs::write(path, text).and_then(|()| fs::set_permissions(path, fs::Permissions::from_mode(mode)));
    written.map_err(|error| unwritten(path, &error))
}

fn unwritten(path: &Path, error: &std::io::Error) -> Failure {
    Refusal::new(codes::COPY, format!("{} cannot be written", path.display()))
        .why(error.to_string())
        .into()
}
