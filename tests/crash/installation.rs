//! One installation of encamp: a state folder and files of its own, and a guard that removes what it leaves.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};

use serde_json::Value;
use tempfile::TempDir;

use crate::daemon::{self, Class, Thing};
use crate::program::{Call, Ended};

/// Who an installation is: the two files that make it so.
#[derive(Debug, Clone)]
pub(crate) struct Identity {
    controller: Vec<u8>,
    owner: Vec<u8>,
}

impl Identity {
    /// A new one.
    pub(crate) fn new() -> Self {
        let installation = Installation::new();
        let made = |file| fs::read(installation.state().join(file)).expect("the first command makes it");
        Self {
            controller: made("controller.json"),
            owner: made("owner.key"),
        }
    }
}

/// An installation in a temporary folder.
pub(crate) struct Installation {
    folder: TempDir,
    calls: AtomicUsize,
}

impl Installation {
    /// A fresh one with a controller of its own.
    pub(crate) fn new() -> Self {
        let fresh = Self::empty();
        fresh.call(&["ls"]).well();
        fresh
    }

    /// A fresh store of an installation that there is already.
    pub(crate) fn of(identity: &Identity) -> Self {
        let fresh = Self::empty();
        let put = |file, bytes: &[u8]| fs::write(fresh.state().join(file), bytes).expect("a temporary folder");
        put("controller.json", &identity.controller);
        put("owner.key", &identity.owner);
        fresh
    }

    pub(crate) fn empty() -> Self {
        daemon::must_answer();
        let folder = tempfile::Builder::new()
            .prefix("encamp-crash-")
            .tempdir()
            .expect("a temporary folder");
        fs::create_dir(folder.path().join("state")).expect("a temporary folder");
        Self {
            folder,
            calls: AtomicUsize::new(0),
        }
    }

    pub(crate) fn path(&self) -> &Path {
        self.folder.path()
    }

    fn state(&self) -> PathBuf {
        self.path().join("state")
    }

    /// What the names of everything that it makes begin with.
    pub(crate) fn prefix(&self) -> String {
        let text = fs::read_to_string(self.state().join("controller.json")).unwrap_or_default();
        let file: Value = serde_json::from_str(&text).unwrap_or_default();
        format!("ec-{}-", file["id"].as_str().unwrap_or("none"))
    }

    /// Writes an environment file and gives its path.
    pub(crate) fn write(&self, name: &str, text: &str) -> String {
        let path = self.path().join(name);
        fs::write(&path, text).expect("a temporary folder");
        path.display().to_string()
    }

    /// What the user's settings say.
    pub(crate) fn configure(&self, settings: &str) {
        let config = self.path().join("config/encamp");
        std::fs::create_dir_all(&config).expect("a temporary folder");
        std::fs::write(config.join("settings.toml"), settings).expect("a temporary folder");
    }

    /// A command of this installation.
    pub(crate) fn call(&self, arguments: &[&str]) -> Call {
        let number = self.calls.fetch_add(1, Ordering::Relaxed);
        let state = self.state().display().to_string();
        let mut all = vec!["--state", &state];
        all.extend(arguments);
        Call::new(self.path(), number, &all)
    }

    /// A file for the failpoints of one command.
    pub(crate) fn trace(&self) -> PathBuf {
        self.path()
            .join(format!("{}.trace", self.calls.load(Ordering::Relaxed)))
    }

    /// Its environments, as `ls` shows them.
    pub(crate) fn environments(&self) -> Vec<Value> {
        let listed = self.call(&["ls", "--json"]).well().json();
        listed["environments"].as_array().cloned().unwrap_or_default()
    }

    /// Everything on the daemon that stands under a name of its.
    pub(crate) fn standing(&self) -> Vec<Thing> {
        let prefix = self.prefix();
        let mut things = daemon::everything();
        things.retain(|thing| thing.name.starts_with(&prefix));
        things
    }

    /// The machine of that name, which must be there once.
    pub(crate) fn machine(&self, name: &str) -> Result<Thing, String> {
        let standing = self.standing();
        let mut of_name = standing
            .iter()
            .filter(|thing| thing.class == Class::Container && thing.label("encamp.machine") == name);
        match (of_name.next(), of_name.next()) {
            (Some(thing), None) => Ok(thing.clone()),
            _ => Err(format!("{name} does not stand there once: {standing:#?}")),
        }
    }

    /// Nothing is left on the daemon, and no environment counts as there.
    #[track_caller]
    pub(crate) fn is_empty(&self) {
        let (standing, environments) = (self.standing(), self.environments());
        assert!(standing.is_empty(), "left behind: {standing:#?}");
        assert!(environments.is_empty(), "counts as there: {environments:#?}");
    }

    /// Takes an environment down, which must go well.
    #[track_caller]
    pub(crate) fn down(&self, name: &str) -> Ended {
        self.call(&["down", "-e", name]).well()
    }
}

impl Drop for Installation {
    fn drop(&mut self) {
        // A network with our name and not our labels is a decoy, which another guard removes.
        let is_decoy = |thing: &Thing| thing.class == Class::Network && thing.label("encamp.controller").is_empty();
        for thing in self.standing().iter().filter(|thing| !is_decoy(thing)) {
            thing.remove();
        }
    }
}
