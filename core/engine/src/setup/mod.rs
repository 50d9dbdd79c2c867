//! What is done on a machine before it counts as ready: files, steps, services.
//!
//! Files land before the machine's command starts, then the other steps run in their order, each begun and finished in
//! the journal: one whose end is not recorded makes the machine to be replaced.

mod act;
mod archive;
#[cfg(feature = "fetch")]
mod download;
mod fetch;
mod hash;
#[cfg(not(feature = "fetch"))]
mod no_download;
mod owner;
mod place;
mod services;
mod sync;

use encamp_core::{Error, ErrorKind, Result};
use encamp_file::spec::{self, Action, Step};
use encamp_file::text::{Facts, Viewer};

pub(crate) use act::{Act, Job, act};
pub use services::Dead as DeadService;
pub(crate) use services::{
    dead as dead_services, end as end_services, known as service_known, log as service_log, start as start_services,
};

#[cfg(not(feature = "fetch"))]
use self::no_download as download;
use self::place::Place;
pub(crate) use self::sync::{Synced as Trees, files_of_tree};
use crate::command;
use crate::inside::{Inside, LAST_LINES, Said};
use crate::journal::{IntentRow, Op};
use crate::session::Session;

/// The set-up of one machine.
pub(crate) struct SettingUp<'a> {
    pub(crate) session: &'a Session,
    pub(crate) inside: &'a Inside,
    pub(crate) spec: &'a spec::Machine,
    pub(crate) facts: &'a Facts,
}

/// Whether an action brings files and nothing runs.
fn brings_files(action: &Action) -> bool {
    matches!(action, Action::Copy(_) | Action::Template(_) | Action::Fetch(_))
}

impl SettingUp<'_> {
    /// Whether anything runs before readiness is judged.
    pub(crate) fn does_something(&self) -> bool {
        !self.spec.services.is_empty() || self.recorded().any(|step| !step.after_ready)
    }

    /// A few words about it.
    pub(crate) fn summary(&self) -> String {
        let steps = self.recorded().filter(|step| !step.after_ready);
        let services = self.spec.services.iter().map(|service| service.name.to_string());
        let words: Vec<String> = steps.map(|step| step.action.to_string()).chain(services).collect();
        words.join(", ")
    }

    fn viewer(&self) -> Viewer {
        Viewer::Member(self.spec.name.clone())
    }

    /// The steps whose order the journal keeps, and whether each comes after readiness.
    fn recorded(&self) -> impl Iterator<Item = &Step> {
        let (late, early): (Vec<_>, Vec<_>) = self.spec.setup.iter().partition(|step| step.after_ready);
        early.into_iter().filter(|step| !brings_files(&step.action)).chain(late)
    }

    /// Brings what lands before the machine's command starts.
    pub(crate) async fn files(&self, row: &mut IntentRow) -> Result<Result<()>> {
        let early = |step: &&Step| !step.after_ready && brings_files(&step.action);
        let steps: Vec<&Step> = self.spec.setup.iter().filter(early).collect();
        if steps.is_empty() || row.set_up.files {
            return Ok(Ok(()));
        }
        for step in steps {
            if let Err(error) = self.perform(step).await {
                return Ok(Err(error));
            }
        }
        row.set_up.files = true;
        self.record(row).await?;
        Ok(Ok(()))
    }

    /// Runs the steps of one phase that have not been finished. The outer error is the journal's.
    pub(crate) async fn steps(&self, row: &mut IntentRow, after_ready: bool) -> Result<Result<()>> {
        for (index, step) in self.recorded().enumerate() {
            let index = u32::try_from(index).unwrap_or(u32::MAX);
            if step.after_ready != after_ready || index < row.set_up.finished {
                continue;
            }
            row.set_up.running = true;
            self.record(row).await?;
            let said = match self.perform(step).await {
                Ok(said) => said,
                Err(error) => return Ok(Err(error)),
            };
            if let Some(name) = &step.output {
                let last = said.as_ref().and_then(Said::last_line).unwrap_or_default();
                row.set_up.outputs.insert(name.to_string(), last.to_owned());
            }
            row.set_up.finished = index + 1;
            row.set_up.running = false;
            self.record(row).await?;
        }
        Ok(Ok(()))
    }

    /// Brings working trees up to date on a machine that stays: what changes in them replaces nothing.
    pub(crate) async fn trees(&self) -> Result<Trees> {
        let mut all = Trees::default();
        for step in &self.spec.setup {
            let Action::Sync(tree) = &step.action else { continue };
            let invalid = |text: String| Error::new(ErrorKind::Invalid, text);
            let to = command::render(&tree.to, self.facts, &self.viewer()).map_err(invalid)?;
            let place = Place::folder(&to)?;
            let done = sync::sync(self.inside, &tree.from, &place, &tree.exclude, step.timeout).await?;
            all.sent += done.sent;
            all.removed += done.removed;
        }
        Ok(all)
    }

    /// Starts the services that do not run yet.
    pub(crate) async fn services(&self) -> Result<()> {
        for service in &self.spec.services {
            start_services(self.inside, service, self.facts, &self.viewer()).await?;
        }
        Ok(())
    }

    async fn record(&self, row: &IntentRow) -> Result<()> {
        let op = Op::SetUp {
            epoch: self.session.epoch.clone(),
            intent: row.reference(),
            set_up: row.set_up.clone(),
        };
        self.session.record(op).await
    }

    /// Does one step. What it said is given where it is a command.
    async fn perform(&self, step: &Step) -> Result<Option<Said>> {
        let words = step.action.to_string();
        let at = self.spec.setup.iter().position(|other| std::ptr::eq(other, step));
        let at = format!("{} of {}", at.map_or(0, |at| at + 1), self.spec.setup.len());
        let explain = |error: Error| {
            let error = error
                .with("step", &words)
                .with("set-up", &at)
                .of_machine(&self.spec.name);
            match &step.place {
                Some(place) => error.with("place", place),
                None => error,
            }
        };
        let invalid = |text: String| explain(Error::new(ErrorKind::Invalid, text));
        let prepared = Act::prepare(&step.action, self.facts, &self.viewer()).map_err(invalid)?;
        let env = command::env(&step.env, self.facts, &self.viewer()).map_err(invalid)?;
        let cwd = step
            .cwd
            .as_ref()
            .map(|cwd| command::render(cwd, self.facts, &self.viewer()));
        let cwd = cwd.transpose().map_err(invalid)?;
        let Some(mut job) = act(self.session, self.inside, prepared, step.timeout)
            .await
            .map_err(explain)?
        else {
            return Ok(None);
        };
        (job.exec.env, job.exec.cwd) = (env, cwd);
        job.exec.user.clone_from(&step.user);
        let said = self
            .inside
            .run(job.exec, job.input.as_deref(), step.timeout, &self.session.stop)
            .await
            .map_err(explain)?;
        if said.exit.success() {
            return Ok(Some(said));
        }
        let mut error = Error::new(ErrorKind::Unavailable, format!("its set-up `{words}` {}", said.exit));
        let lines: Vec<&str> = said.text.lines().collect();
        for line in &lines[lines.len().saturating_sub(LAST_LINES)..] {
            error = error.with("said", line);
        }
        Err(explain(error))
    }
}
