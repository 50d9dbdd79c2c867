//! One task: on each of its machines, again after a failure as often as it says.

use std::sync::PoisonError;
use std::time::Duration;

use encamp_core::{Error, Exit, Report};
use encamp_file::spec::{On, Stage, Task, TaskAction};
use encamp_file::text::Viewer;
use tokio_util::sync::CancellationToken;

use super::{Staging, control, controller, machine};
use crate::clock::monotonic_now as now;
use crate::events::Event;
use crate::report::{Outcome, TaskReport, Tests};

/// How one run of a task's command came out.
#[derive(Debug)]
pub(super) struct Ran {
    /// How its process ended; none where it never ran or was ended from here.
    pub(super) exit: Option<Exit>,
    /// Why it failed, where the exit does not say it.
    pub(super) failure: Option<String>,
    /// The last lines that it said.
    pub(super) tail: Vec<String>,
    pub(super) interrupted: bool,
    /// It was still going on when its stage was over, as it should.
    pub(super) with_stage: bool,
    /// What the provider failed with: nobody knows how the command ended, so it is the provider's failure.
    pub(super) error: Option<Error>,
}

/// Why a command is ended from here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Why {
    /// The user, or the death of a machine.
    Stopped,
    TimeOver,
    /// It ran in the background of a stage that is over.
    StageOver,
}

/// When a command is ended from here.
#[derive(Debug)]
pub(super) struct Halt {
    pub(super) stop: CancellationToken,
    pub(super) over: CancellationToken,
}

impl Halt {
    pub(super) async fn wait(&self, task: &Task) -> Why {
        tokio::select! {
            () = tokio::time::sleep(task.timeout) => Why::TimeOver,
            () = self.stop.cancelled(), if !task.always => Why::Stopped,
            () = self.over.cancelled() => Why::StageOver,
        }
    }
}

impl Ran {
    pub(super) fn failed(failure: impl Into<String>) -> Self {
        Self {
            exit: None,
            failure: Some(failure.into()),
            tail: Vec::new(),
            interrupted: false,
            with_stage: false,
            error: None,
        }
    }

    /// It came to its end.
    pub(super) fn exited(exit: Exit, tail: Vec<String>) -> Self {
        let lost = matches!(exit, Exit::Lost(_));
        Self {
            failure: lost.then(|| format!("its process {exit}")),
            exit: Some(exit),
            tail,
            interrupted: false,
            with_stage: false,
            error: None,
        }
    }

    /// It was ended from here.
    pub(super) fn halted(why: Why, timeout: Duration, tail: Vec<String>) -> Self {
        let failure = match why {
            Why::Stopped => Some("it was stopped".to_owned()),
            Why::TimeOver => Some(format!("it did not end within {timeout:?}")),
            Why::StageOver => None,
        };
        Self {
            exit: None,
            failure,
            tail,
            interrupted: why == Why::Stopped,
            with_stage: why == Why::StageOver,
            error: None,
        }
    }

    pub(super) fn by_provider(error: Error) -> Self {
        let text = Report(&error).to_string();
        Self {
            error: Some(error),
            ..Self::failed(text)
        }
    }

    fn passed(&self) -> bool {
        self.with_stage || self.failure.is_none() && self.exit.as_ref().is_some_and(Exit::success)
    }
}

impl Staging<'_> {
    /// Runs a task on all its machines at the same time.
    pub(super) async fn task(
        &self,
        stage: &Stage,
        task: &Task,
        failed: bool,
        over: &CancellationToken,
    ) -> Vec<TaskReport> {
        let halt = Halt {
            stop: self.stop.clone(),
            over: over.clone(),
        };
        let places: Vec<String> = match &task.on {
            On::Controller => vec!["controller".to_owned()],
            On::Machines(name) => self
                .spec
                .members(name.as_str())
                .iter()
                .map(|machine| machine.name.to_string())
                .collect(),
        };
        let runs = places
            .iter()
            .map(|place| self.on_one(stage, task, (place, &halt), failed));
        futures_util::future::join_all(runs).await
    }

    async fn on_one(&self, stage: &Stage, task: &Task, (place, halt): (&str, &Halt), failed: bool) -> TaskReport {
        let mut report = TaskReport {
            stage: stage.name.to_string(),
            task: task.name.to_string(),
            machine: place.to_owned(),
            command: task.action.to_string(),
            outcome: Outcome::Skipped,
            exit: None,
            failure: None,
            tail: Vec::new(),
            attempts: 0,
            began: None,
            millis: 0,
            tests: Tests::default(),
            files: Vec::new(),
            allowed: task.allow_failure,
        };
        if (failed || self.stop.is_cancelled()) && !task.always {
            self.session.events.tell(Event::TaskFinished(report.clone())).await;
            return report;
        }
        let began = now();
        report.began = Some(self.session.camp.clock.now());
        let mut last = Ran::failed("it did not run");
        for attempt in 1..=task.retries + 1 {
            report.attempts = attempt;
            let started = Event::TaskStarted {
                stage: report.stage.clone(),
                task: report.task.clone(),
                machine: place.to_owned(),
                attempt,
            };
            self.session.events.tell(started).await;
            last = self.attempt(stage, task, place, halt).await;
            if last.passed() || last.interrupted || attempt > task.retries {
                break;
            }
            tokio::select! {
                () = tokio::time::sleep(task.every) => {}
                () = self.stop.cancelled() => break,
            }
        }
        report.outcome = match &last {
            ran if ran.interrupted => Outcome::Interrupted,
            ran if ran.passed() => Outcome::Passed,
            _ => Outcome::Failed,
        };
        (report.exit, report.failure, report.tail) = (last.exit, last.failure, last.tail);
        if let Some(error) = last.error.filter(|_| !task.allow_failure && !self.stop.is_cancelled()) {
            let error = error.of_machine(place).of_environment(&self.session.row.name);
            self.errors.lock().unwrap_or_else(PoisonError::into_inner).push(error);
        }
        self.collect(stage, task, place, &mut report).await;
        report.millis = u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX);
        self.session.events.tell(Event::TaskFinished(report.clone())).await;
        report
    }

    async fn attempt(&self, stage: &Stage, task: &Task, place: &str, halt: &Halt) -> Ran {
        match (&task.action, &task.on) {
            (TaskAction::Step(action), On::Controller) => controller::run(self, stage, task, action, halt).await,
            (TaskAction::Step(action), On::Machines(_)) => machine::run(self, stage, task, action, (place, halt)).await,
            (TaskAction::Control { verb, .. }, _) => control::run(self, task, *verb, place).await,
            (TaskAction::Finish { task }, _) => Ran::failed(format!("`{task}` does not run in the background")),
        }
    }

    /// Keeps the task's files, also after a failure; one that cannot be had fails a task that had passed.
    async fn collect(&self, stage: &Stage, task: &Task, place: &str, report: &mut TaskReport) {
        if task.junit.is_empty() && task.artifacts.is_empty() {
            return;
        }
        let collected = match &task.on {
            On::Controller => self.results.collect_here(&self.spec.folder, stage, task, report),
            On::Machines(_) => self.results.collect(self, stage, task, place, report).await,
        };
        if let Err(error) = collected {
            let text = format!("its files could not be kept: {}", Report(&error));
            if report.outcome == Outcome::Passed {
                report.outcome = Outcome::Failed;
            }
            report.failure.get_or_insert(text);
        }
        if report.outcome == Outcome::Passed && report.tests.failed > 0 {
            report.outcome = Outcome::Failed;
            report.failure = Some(format!(
                "{} of {} tests failed",
                report.tests.failed, report.tests.total
            ));
        }
    }

    pub(super) fn viewer(place: &str) -> Viewer {
        encamp_core::Name::new(place).map_or(Viewer::Controller, Viewer::Member)
    }
}
