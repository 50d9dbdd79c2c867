//! `encamp init`: a file to begin with, for what lies in the folder. Never overwrites one.

mod compose;
mod image;

use std::fs::OpenOptions;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use serde_json::json;

use crate::arguments::{Init, OfFile};
use crate::codes;
use crate::context::{Desk, FILE};
use crate::exit::Exit;
use crate::failure::{Failure, Refusal};
use crate::{clean, moment, output, words};

const QUICKSTART: &str = include_str!("quickstart.toml");
const OF_DOCKERFILE: &str = include_str!("dockerfile.toml");
/// The kind that builds what a Dockerfile says, and the one that needs nothing.
const BUILDS: &str = "docker";
const NEEDS_NOTHING: &str = "local";
/// The longest name of an environment.
const NAME: usize = 40;

pub(super) fn init(desk: &Desk, args: &Init) -> Result<Exit, Failure> {
    let folder = args.folder.clone().unwrap_or_else(|| PathBuf::from("."));
    let file = folder.join(FILE);
    let shown = args
        .folder
        .as_ref()
        .map_or_else(|| FILE.to_owned(), |_| file.display().to_string());
    let dockerfile = read(&folder.join("Dockerfile"));
    let compose = compose::FILES
        .iter()
        .find_map(|name| Some((*name, read(&folder.join(name))?)));
    let name = name_of(&folder);
    let kind = if dockerfile.is_some() { BUILDS } else { NEEDS_NOTHING };
    let provider = desk.settings.instances.iter().find(|instance| instance.kind == kind);
    let provider = provider.map_or(kind, |instance| instance.name.as_str());
    let text = match &dockerfile {
        Some(dockerfile) => OF_DOCKERFILE.replace("@PORTS@", &image::ports(dockerfile)),
        None => QUICKSTART.to_owned(),
    };
    let hint = compose.as_ref().map(|(name, text)| compose::hint(name, text));
    let text = text.replace("@NAME@", &name).replace("@PROVIDER@", provider) + hint.as_deref().unwrap_or_default();
    create(&file, &shown, &text)?;

    let of = OfFile {
        file: args.folder.as_ref().map(|_| file.clone()),
        set: Vec::new(),
        inputs: None,
        allow_visible: false,
    };
    let loaded = desk.read(&of)?;
    let environment = &loaded.environment;
    let next = match (&dockerfile, &args.folder) {
        (Some(_), None) => "encamp up".to_owned(),
        (Some(_), Some(_)) => format!("encamp up {}", encamp::shell::quote(&shown)),
        (None, None) => "encamp run".to_owned(),
        (None, Some(_)) => format!("encamp run {}", encamp::shell::quote(&shown)),
    };
    if desk.json {
        output::json(&json!({ "file": shown, "name": environment.name, "next": next }));
        return Ok(Exit::Well);
    }
    if let Some(name) = dockerfile.as_ref().map(|_| "Dockerfile") {
        output::result(&format!("Read {name}   built as machine `{}`", environment.name));
    }
    if let Some((name, text)) = &compose {
        let services = words::count(compose::services(text).len(), "service");
        output::result(&format!(
            "Read {name}   {services}; the end of {FILE} says what each of its keys is there"
        ));
    }
    let stages = match environment.stages.len() {
        0 => String::new(),
        number => format!(", {}", words::count(number, "stage")),
    };
    output::result(&format!(
        "Created {}   {} on `{provider}`{stages}, ttl {}",
        clean::line(&shown),
        words::count(environment.machines.len(), "machine"),
        moment::lasting(environment.ttl)
    ));
    output::result(&format!("Next: {next}"));
    Ok(Exit::Well)
}

/// What stands in a file; nothing where it cannot be read as text.
fn read(path: &Path) -> Option<String> {
    std::fs::read_to_string(path).ok()
}

fn create(file: &Path, shown: &str, text: &str) -> Result<(), Failure> {
    let written = OpenOptions::new()
        .write(true)
        .create_new(true)
        .open(file)
        .and_then(|mut file| file.write_all(text.as_bytes()));
    written.map_err(|error| {
        let shown = clean::line(shown);
        let refusal = match error.kind() {
            io::ErrorKind::AlreadyExists => Refusal::new(codes::EXISTS, format!("{shown} is there already"))
                .help("encamp validate checks it; or name another folder: encamp init FOLDER"),
            _ => Refusal::new(codes::EXISTS, format!("{shown} cannot be written")).why(error.to_string()),
        };
        refusal.now("nothing was written").into()
    })
}

/// The folder's name as the name of an environment.
fn name_of(folder: &Path) -> String {
    let folder = folder.canonicalize().unwrap_or_else(|_| folder.to_owned());
    let name = folder
        .file_name()
        .map(|name| name.to_string_lossy().to_lowercase())
        .unwrap_or_default();
    let plain: String = name
        .chars()
        .map(|c| {
            if c.is_ascii_lowercase() || c.is_ascii_digit() {
                c
            } else {
                '-'
            }
        })
        .skip_while(|c| !c.is_ascii_lowercase())
        .take(NAME)
        .collect();
    let plain = plain.trim_matches('-');
    match plain {
        "" | "controller" => "my-environment".into(),
        plain => plain.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn folders_give_names() {
        for (folder, name) in [
            ("/x/shop", "shop"),
            ("/x/My Shop_2", "my-shop-2"),
            ("/x/2024-shop", "shop"),
            ("/", "my-environment"),
            ("/x/controller", "my-environment"),
        ] {
            assert_eq!(name_of(Path::new(folder)), name);
        }
    }
}
