//! A stage: its tasks in order or at once, and those that go on behind them.

use std::collections::BTreeMap;

use encamp_core::Name;
use encamp_file::spec::{Stage, Task, TaskAction};
use futures_util::StreamExt;
use futures_util::future::BoxFuture;
use futures_util::stream::FuturesUnordered;
use tokio_util::sync::CancellationToken;

use super::Staging;
use crate::report::{Outcome, TaskReport};

/// Whether what came of a task fails its stage.
fn fails(reports: &[TaskReport]) -> bool {
    reports
        .iter()
        .any(|report| report.outcome != Outcome::Passed && !report.allowed)
}

/// Background tasks of a stage, and what came of those that have ended.
struct Behind<'a> {
    running: FuturesUnordered<BoxFuture<'a, (&'a Name, Vec<TaskReport>)>>,
    ended: BTreeMap<&'a Name, Vec<TaskReport>>,
    failed: bool,
}

impl Behind<'_> {
    fn new() -> Self {
        Self {
            running: FuturesUnordered::new(),
            ended: BTreeMap::new(),
            failed: false,
        }
    }

    /// Waits for the next one that ends; for ever where none runs.
    async fn next(&mut self) {
        match self.running.next().await {
            Some((name, reports)) => {
                self.failed |= fails(&reports);
                self.ended.insert(name, reports);
            }
            None => std::future::pending().await,
        }
    }

    /// Lets them go on while something else is done.
    async fn beside<T>(&mut self, work: impl Future<Output = T>) -> T {
        let mut work = std::pin::pin!(work);
        loop {
            tokio::select! {
                done = &mut work => return done,
                () = self.next() => {}
            }
        }
    }

    /// Waits for one of them.
    async fn finish(&mut self, task: &Name) -> Option<Vec<TaskReport>> {
        loop {
            if let Some(reports) = self.ended.remove(task) {
                return Some(reports);
            }
            if self.running.is_empty() {
                return None;
            }
            self.next().await;
        }
    }
}

impl Staging<'_> {
    /// Runs the tasks of a stage. After a failure only what is `always` runs.
    pub(super) async fn stage(&self, stage: &Stage, failed: bool) -> Vec<TaskReport> {
        let over = CancellationToken::new();
        if stage.parallel {
            let tasks = stage.tasks.iter().map(|task| self.task(stage, task, failed, &over));
            let reports = futures_util::future::join_all(tasks).await;
            return reports.into_iter().flatten().collect();
        }
        let mut behind = Behind::new();
        let mut reports = Vec::new();
        let mut failed = failed;
        for task in &stage.tasks {
            failed |= behind.failed;
            if task.background {
                let over = over.clone();
                behind.running.push(Box::pin(async move {
                    (&task.name, self.task(stage, task, failed, &over).await)
                }));
                continue;
            }
            let of_task = self.beside(&mut behind, stage, task, failed).await;
            failed |= fails(&of_task);
            reports.extend(of_task);
        }
        over.cancel();
        while let Some((name, of_task)) = behind.running.next().await {
            behind.ended.insert(name, of_task);
        }
        reports.extend(behind.ended.into_values().flatten());
        reports
    }

    /// One task that its stage waits for. What it finishes is judged in its place.
    async fn beside<'a>(
        &'a self,
        behind: &mut Behind<'a>,
        stage: &'a Stage,
        task: &'a Task,
        failed: bool,
    ) -> Vec<TaskReport> {
        // It ends by itself: nothing it waits for outlives its own time.
        let never = CancellationToken::new();
        if let TaskAction::Finish { task: wanted } = &task.action
            && !failed
            && let Some(reports) = behind.finish(wanted).await
        {
            return reports;
        }
        behind.beside(self.task(stage, task, failed, &never)).await
    }
}
