//! What every verb works with.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Deref;
use std::path::{Path, PathBuf};
use std::time::Duration;

use encamp::file::spec::Given;
use encamp::file::{self, Kinds, Load, Loaded};
use encamp::{Ambient, Encamp, Environment, Error, KindName, Name};
use serde_json::json;
use tokio::time::Instant;

use crate::arguments::OfFile;
use crate::failure::{self, Failure, Scene};
use crate::follow::Follow;
use crate::output;
use crate::progress::{Of, Shown};
use crate::settings::Settings;

/// The file where none is named.
pub(crate) const FILE: &str = "encamp.toml";

/// What is configured, and how to speak to the user: all that a verb has which touches no store.
#[derive(Debug)]
pub(crate) struct Desk {
    pub(crate) settings: Settings,
    /// What an environment file may speak of.
    pub(crate) kinds: Kinds,
    /// Where the kinds came from that are not linked in.
    pub(crate) plugins: BTreeMap<KindName, PathBuf>,
    /// What providers may see of this process.
    pub(crate) ambient: Ambient,
    pub(crate) verb: &'static str,
    pub(crate) json: bool,
    pub(crate) yes: bool,
    /// The terminal can move its cursor.
    pub(crate) live: bool,
    /// What the terminal is called, for programs in machines.
    pub(crate) terminal: Option<String>,
    /// `--state` as it is typed again.
    pub(crate) state_flag: String,
    pub(crate) began: Instant,
}

/// A desk, and an open installation.
#[derive(Debug)]
pub(crate) struct Context {
    pub(crate) encamp: Encamp,
    pub(crate) desk: Desk,
}

impl Deref for Context {
    type Target = Desk;

    fn deref(&self) -> &Desk {
        &self.desk
    }
}

/// The environment file that was meant.
pub(crate) fn file_of(named: Option<&PathBuf>) -> PathBuf {
    match named {
        Some(path) if path.is_dir() => path.join(FILE),
        Some(path) => path.clone(),
        None => PathBuf::from(FILE),
    }
}

/// The folder that a file is in.
pub(crate) fn folder_of(file: &Path) -> &Path {
    match file.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    }
}

impl Desk {
    /// Reads and checks the environment file.
    pub(crate) fn read(&self, of: &OfFile) -> Result<Loaded, Failure> {
        let path = file_of(of.file.as_ref());
        let loaded = file::load(&Load {
            set: &of.set,
            inputs: of.inputs.as_deref(),
            allow_visible: of.allow_visible,
            secrets: &self.secrets(),
            ..Load::new(&path, &self.kinds)
        });
        let mut loaded = loaded.map_err(|failure| Failure::File(Box::new(failure), path.display().to_string()))?;
        // A file that was named without a folder is in this one; an empty path is no folder to run in.
        if loaded.environment.folder.as_os_str().is_empty() {
            loaded.environment.folder = PathBuf::from(".");
        }
        loaded.environment.given = Given {
            set: of.set.clone(),
            // Whoever reads it again may stand in another folder.
            inputs: of
                .inputs
                .as_ref()
                .map(|path| std::path::absolute(path).unwrap_or_else(|_| path.clone())),
        };
        Ok(loaded)
    }

    /// The secrets that a file may speak of without declaring them.
    fn secrets(&self) -> BTreeSet<Name> {
        self.settings.secrets.keys().cloned().collect()
    }

    /// What the file of an environment describes with what it was told, where it still can be read; says nothing where not.
    pub(crate) fn described(&self, environment: &Environment) -> Option<file::spec::Environment> {
        let path = PathBuf::from(environment.summary().file.as_ref()?);
        let given = environment.given();
        let loaded = file::load(&Load {
            set: &given.set,
            inputs: given.inputs.as_deref(),
            secrets: &self.secrets(),
            // It was allowed when it was brought up, or is not up.
            allow_visible: true,
            ..Load::new(&path, &self.kinds)
        });
        Some(loaded.ok()?.environment)
    }

    /// Reads and checks the environment file, and shows what it may not have meant.
    pub(crate) fn load(&self, of: &OfFile) -> Result<file::spec::Environment, Failure> {
        let loaded = self.read(of)?;
        if !loaded.warnings.is_empty() {
            if self.json {
                output::json(&json!({ "event": "warnings", "warnings": loaded.to_json() }));
            } else {
                output::tell_text(&loaded.render(output::has_colour()));
            }
        }
        Ok(loaded.environment)
    }

    /// What shows the events of this command.
    pub(crate) fn follow(&self, of: Of) -> Result<Follow, Error> {
        Follow::new(Shown::new(of, self.json, self.live))
    }

    /// How long the command has been at it.
    pub(crate) fn after(&self) -> Duration {
        self.began.elapsed()
    }

    /// What was being done, for an error.
    pub(crate) fn scene<'a>(&'a self, environment: Option<&'a str>, now: &'a str) -> Scene<'a> {
        let (verb, after, instances) = (self.verb, self.after(), self.settings.instances.as_slice());
        Scene {
            verb,
            environment,
            now,
            there: &[],
            after,
            instances,
            state: &self.state_flag,
        }
    }

    /// Says what failed beside the results.
    pub(crate) fn tell_errors(&self, errors: &[Error], scene: &Scene<'_>) {
        if !errors.is_empty() && !self.json {
            output::tell_text(&failure::render(errors, scene));
        }
    }
}
