//! What is done on a machine: commands, files, services.

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use encamp_core::Name;

use super::Place;
use crate::text::{Template, Text};

/// A command.
#[derive(Debug, Clone)]
pub enum Command {
    /// For `sh -c`.
    Shell(Text),
    /// As it is.
    Argv(Vec<Text>),
}

/// A step of a machine's set-up.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Step {
    /// What is done.
    pub action: Action,
    /// The last line that it says is kept under this name: `machines.x.outputs.NAME`.
    pub output: Option<Name>,
    /// Done once the machine's own probes hold, rather than before.
    pub after_ready: bool,
    /// Added to the machine's own.
    pub env: BTreeMap<String, Text>,
    /// The folder; the machine's own where none is given.
    pub cwd: Option<Text>,
    /// The user; the machine's own where none is given.
    pub user: Option<String>,
    /// The longest that it may take.
    pub timeout: Duration,
    /// Where it stands.
    pub place: Option<Place>,
}

impl Step {
    /// The longest that a step may take where nothing says it.
    pub const TIMEOUT: Duration = Duration::from_mins(10);

    /// A step before the machine is ready, of up to 10 min.
    pub fn new(action: Action) -> Self {
        Self {
            action,
            output: None,
            after_ready: false,
            env: BTreeMap::new(),
            cwd: None,
            user: None,
            timeout: Self::TIMEOUT,
            place: None,
        }
    }
}

/// Something that is done on a machine.
#[derive(Debug, Clone)]
pub enum Action {
    /// A command runs.
    Run(Command),
    /// A file of the controller runs.
    Script(Script),
    /// A file, or what is in a folder, comes from the controller.
    Copy(Copy),
    /// A file is made from a template.
    Template(TemplateFile),
    /// A file comes from the network.
    Fetch(Fetch),
    /// A working tree is brought up to date.
    Sync(Sync),
}

/// A file of the controller that runs on a machine.
#[derive(Debug, Clone)]
pub struct Script {
    /// On the controller: the file's folder, and what the file names.
    pub file: PathBuf,
    /// What it is called with.
    pub args: Vec<Text>,
}

/// A file, or what is in a folder, from the controller.
#[derive(Debug, Clone)]
pub struct Copy {
    /// On the controller: the file's folder, and what the file names.
    pub from: PathBuf,
    /// On the machine; of a folder the contents land in it.
    pub to: Text,
    /// `user` or `user:group`.
    pub owner: Option<String>,
    /// The mode of files; where none is given the x-bit is kept.
    pub mode: Option<u32>,
}

/// A file made from a template.
#[derive(Debug, Clone)]
pub struct TemplateFile {
    /// What is rendered.
    pub template: Template,
    /// On the machine.
    pub to: Text,
    /// `user` or `user:group`.
    pub owner: Option<String>,
    /// The mode; where none is given that of the template's file.
    pub mode: Option<u32>,
}

/// A file from the network.
#[derive(Debug, Clone)]
pub struct Fetch {
    /// Where it lies.
    pub url: Text,
    /// Of its content: 64 hex digits, lower case.
    pub sha256: String,
    /// On the machine; a folder where it is unpacked.
    pub to: Text,
    /// It is an archive, whose contents are wanted.
    pub unpack: bool,
    /// `user` or `user:group`.
    pub owner: Option<String>,
    /// The mode.
    pub mode: Option<u32>,
}

/// A working tree that is brought up to date.
#[derive(Debug, Clone)]
pub struct Sync {
    /// On the controller: the file's folder, and what the file names.
    pub from: PathBuf,
    /// On the machine.
    pub to: Text,
    /// Patterns of what stays behind, as `.gitignore` has them.
    pub exclude: Vec<String>,
}

/// A supervised process.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Service {
    /// Its name, unique on its machine.
    pub name: Name,
    /// What runs.
    pub command: Command,
    /// Added to the machine's own.
    pub env: BTreeMap<String, Text>,
    /// The folder; the machine's own where none is given.
    pub cwd: Option<Text>,
    /// The user; the machine's own where none is given.
    pub user: Option<String>,
    /// What happens when it ends.
    pub restart: Restart,
    /// Where it stands.
    pub place: Option<Place>,
}

impl Service {
    /// A service that is not started again.
    pub fn new(name: Name, command: Command) -> Self {
        Self {
            name,
            command,
            env: BTreeMap::new(),
            cwd: None,
            user: None,
            restart: Restart::No,
            place: None,
        }
    }
}

/// What happens when a service ends.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Restart {
    /// Nothing.
    #[default]
    No,
    /// It is started again, unless it ended with 0.
    OnFailure,
}

impl fmt::Display for Command {
    /// For people: the first line of it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = match self {
            Self::Shell(text) => text.source().to_owned(),
            Self::Argv(texts) => texts.iter().map(Text::source).collect::<Vec<_>>().join(" "),
        };
        let mut lines = text.lines().filter(|line| !line.trim().is_empty());
        f.write_str(lines.next().unwrap_or("").trim())?;
        if lines.next().is_some() {
            f.write_str(" …")?;
        }
        Ok(())
    }
}

impl fmt::Display for Action {
    /// For people: what is done, in a few words.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let last = |path: &Path| {
            path.file_name()
                .unwrap_or(path.as_os_str())
                .to_string_lossy()
                .into_owned()
        };
        match self {
            Self::Run(command) => command.fmt(f),
            Self::Script(script) => write!(f, "script {}", last(&script.file)),
            Self::Copy(copy) => write!(f, "copy {} to {}", last(&copy.from), copy.to.source()),
            Self::Template(file) => write!(f, "template {} to {}", last(file.template.file()), file.to.source()),
            Self::Fetch(fetch) => write!(f, "fetch {} to {}", fetch.url.source(), fetch.to.source()),
            Self::Sync(sync) => write!(f, "sync {} to {}", last(&sync.from), sync.to.source()),
        }
    }
}
