//! Results as data, versioned.

use std::collections::BTreeMap;

use encamp_core::{Error, ErrorKind, Exit, InstanceName, Result, Time};
use serde::Serialize;

use crate::keeper::Survival;
use crate::secrets::Redactor;

/// The version of the report's form; fields are only added within one.
pub const VERSION: u32 = 1;

/// How something ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// As it should.
    Passed,
    /// Not as it should.
    Failed,
    /// It did not run, because something before it failed.
    Skipped,
    /// Stopped by the user.
    Interrupted,
}

/// One machine's part.
#[derive(Debug, Clone, Serialize)]
pub struct MachineReport {
    /// Its name.
    pub name: String,
    /// Where.
    pub instance: InstanceName,
    /// Its key, as the infrastructure shows it.
    pub key: String,
    /// The carrier's id.
    pub id: Option<String>,
    /// Whether it became ready.
    pub ready: bool,
    /// Why not.
    pub failure: Option<String>,
    /// Milliseconds until it was ready or had failed.
    pub millis: u64,
    /// It was there already.
    pub kept: bool,
}

/// One task on one machine.
#[derive(Debug, Clone, Serialize)]
pub struct TaskReport {
    /// Its stage.
    pub stage: String,
    /// Its name.
    pub task: String,
    /// Where; `controller` beside encamp itself.
    pub machine: String,
    /// The command, for people.
    pub command: String,
    /// How it ended.
    pub outcome: Outcome,
    /// How its process ended, where it did.
    pub exit: Option<Exit>,
    /// Why it failed, where the exit does not say it.
    pub failure: Option<String>,
    /// The last lines that it said.
    pub tail: Vec<String>,
    /// How often it ran.
    pub attempts: u32,
    /// When it began.
    pub began: Option<Time>,
    /// How long it took.
    pub millis: u64,
    /// Tests that its JUnit files speak of.
    pub tests: Tests,
    /// Files that were kept of it, relative to the results' folder.
    pub files: Vec<String>,
    /// Its failure fails nothing.
    pub allowed: bool,
}

impl MachineReport {
    pub(crate) fn redact(&mut self, redactor: &Redactor) {
        self.failure.iter_mut().for_each(|text| redactor.redact_in(text));
    }
}

impl TaskReport {
    pub(crate) fn redact(&mut self, redactor: &Redactor) {
        let lost = match &mut self.exit {
            Some(Exit::Lost(why)) => Some(why),
            _ => None,
        };
        let texts = self.failure.iter_mut().chain(&mut self.tail).chain(lost);
        texts
            .chain([&mut self.command])
            .for_each(|text| redactor.redact_in(text));
    }
}

/// Tests by outcome.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Tests {
    /// All.
    pub total: usize,
    /// Failed, or ended by an error.
    pub failed: usize,
    /// Left out.
    pub skipped: usize,
}

impl Tests {
    /// Both together.
    #[must_use]
    pub fn and(self, other: Self) -> Self {
        Self {
            total: self.total + other.total,
            failed: self.failed + other.failed,
            skipped: self.skipped + other.skipped,
        }
    }
}

/// Something that was to go and may still exist.
#[derive(Debug, Clone, Serialize)]
pub struct Left {
    /// The machine or scope item.
    pub object: String,
    /// Where.
    pub instance: Option<InstanceName>,
    /// The key under which the infrastructure shows it.
    pub key: String,
    /// Why it could not be disposed of.
    pub why: String,
    /// What to do.
    pub help: Option<String>,
}

/// What a disposal achieved.
#[derive(Debug, Clone, Serialize)]
pub struct Disposal {
    /// The environment's name.
    pub environment: String,
    /// Machines that were destroyed.
    pub machines: usize,
    /// Scope items that were closed.
    pub items: usize,
    /// What may still exist.
    pub left: Vec<Left>,
    /// Milliseconds that it took.
    pub millis: u64,
}

impl Disposal {
    /// Somebody else has done it.
    pub(crate) fn already(environment: &str) -> Self {
        Self {
            environment: environment.to_owned(),
            machines: 0,
            items: 0,
            left: Vec::new(),
            millis: 0,
        }
    }

    /// Whether complete listings have come back empty.
    pub fn is_clean(&self) -> bool {
        self.left.is_empty()
    }

    /// The same, or an error that names what is left and who ends it.
    pub fn must_be_clean(self) -> Result<Self> {
        if self.is_clean() {
            return Ok(self);
        }
        let left = self.left.iter().map(|left| format!("{}: {}", left.object, left.why));
        let left = left.collect::<Vec<_>>().join("; ");
        let error = Error::new(
            ErrorKind::Unavailable,
            format!("`{}` is not wholly gone", self.environment),
        );
        Err(error
            .of_environment(&self.environment)
            .with("left", left)
            .next_step("its keeper goes on with it; where there is none: encamp gc"))
    }

    pub(crate) fn redact(&mut self, redactor: &Redactor) {
        for left in &mut self.left {
            redactor.redact_in(&mut left.why);
            left.help.iter_mut().for_each(|text| redactor.redact_in(text));
        }
    }
}

/// What `run` did.
#[derive(Debug, Serialize)]
pub struct RunReport {
    /// The version of this form.
    pub version: u32,
    /// The environment's name.
    pub environment: String,
    /// Its id.
    pub id: String,
    /// The file that it came from.
    pub file: Option<String>,
    /// How it ended.
    pub outcome: Outcome,
    /// When it began.
    pub began: Time,
    /// How long it took.
    pub millis: u64,
    /// Until everything was ready; none where it never was.
    pub ready_millis: Option<u64>,
    /// Its machines.
    pub machines: Vec<MachineReport>,
    /// Its tasks, one for each machine that each ran on.
    pub tasks: Vec<TaskReport>,
    /// Its outputs.
    pub outputs: BTreeMap<String, String>,
    /// What failed before or beside the tasks.
    pub errors: Vec<Error>,
    /// What the disposal achieved; none where the environment was kept.
    pub disposal: Option<Disposal>,
    /// What would have ended it, or ends it, if this command could not.
    pub survival: Option<Survival>,
}

impl RunReport {
    /// Takes secrets out of everything that it says.
    pub(crate) fn redact(&mut self, redactor: &Redactor) {
        self.machines.iter_mut().for_each(|machine| machine.redact(redactor));
        self.tasks.iter_mut().for_each(|task| task.redact(redactor));
        self.outputs.values_mut().for_each(|text| redactor.redact_in(text));
        self.errors.iter_mut().for_each(|error| redactor.redact_error(error));
        self.disposal.iter_mut().for_each(|disposal| disposal.redact(redactor));
    }

    /// The tests of all tasks.
    pub fn tests(&self) -> Tests {
        self.tasks
            .iter()
            .fold(Tests::default(), |sum, task| sum.and(task.tests))
    }

    /// The process's exit code: 4 before 130, 3 and 1.
    pub fn exit_code(&self) -> u8 {
        let left = self.disposal.as_ref().is_some_and(|disposal| !disposal.is_clean());
        // Nobody knows how it ended, so it has not failed: what failed is the way to it.
        let lost = |task: &TaskReport| !task.allowed && matches!(task.exit, Some(Exit::Lost(_)));
        match self.outcome {
            _ if left => 4,
            Outcome::Interrupted => 130,
            _ if !self.errors.is_empty() || self.tasks.iter().any(lost) => 3,
            Outcome::Failed => 1,
            Outcome::Passed | Outcome::Skipped => 0,
        }
    }
}
