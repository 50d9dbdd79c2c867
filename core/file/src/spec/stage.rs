//! What runs on an environment.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use encamp_core::Name;

use super::{Action, Command, Place};
use crate::text::Text;

/// Tasks that belong together.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Stage {
    /// Its name.
    pub name: Name,
    /// In order, unless `parallel`.
    pub tasks: Vec<Task>,
    /// All tasks at once.
    pub parallel: bool,
}

impl Stage {
    /// A stage whose tasks run in order.
    pub fn new(name: Name, tasks: Vec<Task>) -> Self {
        Self {
            name,
            tasks,
            parallel: false,
        }
    }
}

/// Where a task runs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum On {
    /// On a machine, or on each member of a group.
    Machines(Name),
    /// Beside encamp itself, in the file's folder.
    Controller,
}

/// Something that is done, and what is kept of it.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Task {
    /// Its name, unique in its stage.
    pub name: Name,
    /// Where.
    pub on: On,
    /// What.
    pub action: TaskAction,
    /// Added to the machine's own.
    pub env: BTreeMap<String, Text>,
    /// The folder; the machine's own where none is given.
    pub cwd: Option<Text>,
    /// The user; the machine's own where none is given.
    pub user: Option<String>,
    /// The longest that one run may take.
    pub timeout: Duration,
    /// How often it is run again after a failure.
    pub retries: u32,
    /// The pause before it is run again.
    pub every: Duration,
    /// Runs even if something before it failed.
    pub always: bool,
    /// Its failure fails nothing.
    pub allow_failure: bool,
    /// Files in JUnit's form, relative to `cwd`.
    pub junit: Vec<String>,
    /// Patterns of files to keep, relative to `cwd`.
    pub artifacts: Vec<String>,
    /// Goes on beside the tasks that follow, and is ended with its stage.
    pub background: bool,
    /// Where it stands.
    pub place: Option<Place>,
}

impl Task {
    /// A task that runs once, for up to 30 min.
    pub fn new(name: Name, on: On, action: impl Into<TaskAction>) -> Self {
        Self {
            name,
            on,
            action: action.into(),
            env: BTreeMap::new(),
            cwd: None,
            user: None,
            timeout: Duration::from_mins(30),
            retries: 0,
            every: Duration::from_secs(1),
            always: false,
            allow_failure: false,
            junit: Vec::new(),
            artifacts: Vec::new(),
            background: false,
            place: None,
        }
    }
    /// The command, where the task is one.
    pub fn command(&self) -> Option<&Command> {
        match &self.action {
            TaskAction::Step(Action::Run(command)) => Some(command),
            TaskAction::Step(_) | TaskAction::Control { .. } | TaskAction::Finish { .. } => None,
        }
    }
}

/// What a task does.
#[derive(Debug, Clone)]
pub enum TaskAction {
    /// Runs a command or a script, or brings files; never `sync`.
    Step(Action),
    /// Changes the life of a machine, or of each member of a group.
    Control {
        /// What is done to it.
        verb: ControlVerb,
        /// A machine or a group; the task is `on` it.
        machine: Name,
    },
    /// Waits for a background task of the same stage, and judges it.
    Finish {
        /// Which; the task is `on` the same machines.
        task: Name,
    },
}

impl From<Action> for TaskAction {
    fn from(action: Action) -> Self {
        Self::Step(action)
    }
}

impl From<Command> for TaskAction {
    fn from(command: Command) -> Self {
        Self::Step(Action::Run(command))
    }
}

impl fmt::Display for TaskAction {
    /// For people: what is done, in a few words.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Step(action) => action.fmt(f),
            Self::Control { verb, machine } => write!(f, "{} {machine}", verb.as_str()),
            Self::Finish { task } => write!(f, "finish {task}"),
        }
    }
}

/// What can be done to a machine in a stage.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ControlVerb {
    /// Ends its process.
    Stop,
    /// Starts it again and waits until it is ready.
    Start,
    /// Both.
    Restart,
    /// Ends its process without asking.
    Kill,
    /// Halts everything in it.
    Pause,
    /// Goes on.
    Unpause,
}

impl ControlVerb {
    /// All of them.
    pub const ALL: [Self; 6] = [
        Self::Stop,
        Self::Start,
        Self::Restart,
        Self::Kill,
        Self::Pause,
        Self::Unpause,
    ];

    /// As the file has it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Stop => "stop",
            Self::Start => "start",
            Self::Restart => "restart",
            Self::Kill => "kill",
            Self::Pause => "pause",
            Self::Unpause => "unpause",
        }
    }
}
