//! What runs on a ready environment: stages in order, each task on its machines.

mod controller;
mod machine;
mod task;
mod watch;

use std::future::Future;
use std::sync::{Arc, Mutex, PoisonError};

use encamp_core::Error;
use encamp_file::spec::{Environment, Stage};
use tokio_util::sync::CancellationToken;

use crate::collect::Results;
use crate::execute::Raised;
use crate::report::{Outcome, TaskReport};
use crate::session::Session;

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
    };
    let mut staged = Staged::default();
    let done = CancellationToken::new();
    let watching = watch::deaths(session, spec, raised, &done);
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
    staged.tasks = tasks;
    staged.errors.extend(death);
    staged
        .errors
        .append(&mut staging.errors.lock().unwrap_or_else(PoisonError::into_inner));
    staged
}

impl Staging<'_> {
    async fn stage(&self, stage: &Stage, failed: bool) -> Vec<TaskReport> {
        if stage.parallel {
            let tasks = stage.tasks.iter().map(|task| self.task(stage, task, failed));
            return futures_util::future::join_all(tasks)
                .await
                .into_iter()
                .flatten()
                .collect();
        }
        let mut failed = failed;
        let mut reports = Vec::new();
        for task in &stage.tasks {
            let of_task = self.task(stage, task, failed).await;
            failed |= of_task
                .iter()
                .any(|report| report.outcome != Outcome::Passed && !report.allowed);
            reports.extend(of_task);
        }
        reports
    }

    pub(crate) fn provider_of(
        &self,
        row: &crate::journal::IntentRow,
    ) -> impl Future<Output = encamp_core::Result<Arc<dyn encamp_core::Provider>>> {
        let camp = Arc::clone(&self.session.camp);
        let row = row.clone();
        async move { camp.provider_of(&row).await }
    }
}
