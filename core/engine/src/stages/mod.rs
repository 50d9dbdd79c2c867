//! What runs on a ready environment: stages in order, each task on its machines.

mod background;
mod control;
mod controller;
mod machine;
mod task;

use std::collections::BTreeSet;
use std::sync::{Mutex, PoisonError, RwLock};
use std::time::Duration;

use encamp_core::{Error, Exit, Name};
use encamp_file::spec::Environment;
use encamp_file::text::{Facts, MachineFacts};
use tokio_util::sync::CancellationToken;

use crate::clock::monotonic_now as now;
use crate::collect::Results;
use crate::deaths;
use crate::execute::Raised;
use crate::report::{Outcome, TaskReport};
use crate::session::Session;

/// How long one looks for the death that ended a task, by how that ended: what a container takes along with it, a busy
/// daemon tells long before it tells of the container.
const BEHIND_KILL: Duration = Duration::from_secs(5);
const BEHIND_SIGNAL: Duration = Duration::from_secs(1);
const LOOK_AGAIN: Duration = Duration::from_millis(200);
/// The status of what SIGKILL has ended, as a shell tells it.
const KILLED: i32 = 128 + 9;

/// What the stages came to.
#[derive(Debug, Default)]
pub(crate) struct Staged {
    pub(crate) tasks: Vec<TaskReport>,
    pub(crate) errors: Vec<Error>,
}

/// What all tasks share.
pub(crate) struct Staging<'a> {
    pub(crate) session: &'a Session,
    pub(crate) spec: &'a Environment,
    pub(crate) raised: &'a Raised,
    pub(crate) results: &'a Results,
    /// The user's stop, or the death of a machine.
    pub(crate) stop: CancellationToken,
    /// What providers failed with while tasks ran.
    pub(crate) errors: Mutex<Vec<Error>>,
    /// What is known of machines; tasks that start one change it.
    facts: RwLock<Facts>,
    /// Machines that tasks have stopped: they have not died.
    stopped: Mutex<BTreeSet<String>>,
}

/// Runs all stages. After a failure only what is `always` runs.
pub(crate) async fn run(
    session: &Session,
    spec: &Environment,
    raised: &Raised,
    results: &Results,
    stop: &CancellationToken,
) -> Staged {
    let staging = Staging {
        session,
        spec,
        raised,
        results,
        stop: stop.child_token(),
        errors: Mutex::default(),
        facts: RwLock::new(raised.facts.clone()),
        stopped: Mutex::default(),
    };
    let mut staged = Staged::default();
    let done = CancellationToken::new();
    let watching = staging.deaths(&done);
    let working = async {
        let mut failed = false;
        let mut tasks = Vec::new();
        for stage in &spec.stages {
            let reports = staging.stage(stage, failed).await;
            failed |= reports
                .iter()
                .any(|report| report.outcome != Outcome::Passed && !report.allowed);
            tasks.extend(reports);
        }
        done.cancel();
        tasks
    };
    let (death, tasks) = tokio::join!(
        async {
            let death = watching.await;
            if death.is_some() {
                staging.stop.cancel();
            }
            death
        },
        working
    );
    // A task that failed at once may have failed because its machine had just died.
    let death = match death {
        None => staging.look_behind(&tasks).await,
        death => death,
    };
    staged.tasks = tasks;
    staged.errors.extend(death);
    staged
        .errors
        .append(&mut staging.errors.lock().unwrap_or_else(PoisonError::into_inner));
    staged
}

/// For how long it is worth to look for a death behind failed tasks; not even once where none has failed.
fn looks_behind(tasks: &[TaskReport]) -> Option<Duration> {
    let failed = tasks.iter().filter(|task| task.outcome == Outcome::Failed);
    let worth = |task: &TaskReport| match &task.exit {
        Some(Exit::Lost(_) | Exit::Code(KILLED)) => BEHIND_KILL,
        Some(Exit::Signal(name)) if name == "KILL" => BEHIND_KILL,
        Some(Exit::Signal(_) | Exit::Code(129..)) => BEHIND_SIGNAL,
        _ => Duration::ZERO,
    };
    failed.map(worth).max()
}

impl Staging<'_> {
    /// The facts of machines as they are now.
    pub(super) fn facts(&self) -> Facts {
        self.facts.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// A machine was started again, and its addresses may be others.
    pub(super) fn know(&self, machine: &Name, facts: MachineFacts) {
        let mut known = self.facts.write().unwrap_or_else(PoisonError::into_inner);
        known.machines.insert(machine.clone(), facts);
    }

    /// The first death while tasks run, or nothing once `done` is set.
    async fn deaths(&self, done: &CancellationToken) -> Option<Error> {
        loop {
            let looking = async {
                tokio::time::sleep(self.session.camp.policy.watch).await;
                self.look().await
            };
            let found = tokio::select! {
                found = looking => found,
                () = done.cancelled() => return None,
            };
            if found.is_some() {
                return found;
            }
        }
    }

    /// The death that made a task fail, if one did. Where its process was killed by another hand, the infrastructure may
    /// need a moment to know that the machine has ended.
    async fn look_behind(&self, tasks: &[TaskReport]) -> Option<Error> {
        let within = looks_behind(tasks)?;
        let began = now();
        loop {
            let found = self.look().await;
            if found.is_some() || began.elapsed() >= within {
                return found;
            }
            tokio::time::sleep(LOOK_AGAIN).await;
        }
    }

    /// A machine that has died and was not stopped by a task.
    async fn look(&self) -> Option<Error> {
        let rows = self.raised.rows.values().filter(|row| !self.is_down(&row.object));
        let died = deaths::look(self.session, self.spec, rows).await;
        let error = died.into_iter().next()?;
        Some(error.next_step("to look at it: encamp run --keep=on-failure"))
    }

    fn is_down(&self, machine: &str) -> bool {
        let stopped = self.stopped.lock().unwrap_or_else(PoisonError::into_inner);
        stopped.contains(machine)
    }

    /// Whether a machine is down on purpose from now on.
    pub(super) fn expect_down(&self, machine: &str, down: bool) {
        let mut stopped = self.stopped.lock().unwrap_or_else(PoisonError::into_inner);
        if down {
            stopped.insert(machine.to_owned());
        } else {
            stopped.remove(machine);
        }
    }
}
