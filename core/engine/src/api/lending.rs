//! What the guards of one installation share in this process.

use std::future::Future;
use std::time::Duration;

use encamp_core::{Error, ErrorKind, Result};
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::runtime::Engine;
use crate::verbs::lend::Wish;

/// Everything that guards hold.
#[derive(Debug, Clone)]
pub(super) struct Lending {
    /// Cancelled where all of them are to let go.
    stop: CancellationToken,
    at_work: TaskTracker,
    pub(super) drop_grace: Duration,
    pub(super) wish: Wish,
}

impl Lending {
    pub(super) fn new(drop_grace: Duration, wish: Wish) -> Self {
        Self {
            stop: CancellationToken::new(),
            at_work: TaskTracker::new(),
            drop_grace,
            wish,
        }
    }

    /// Cancelled with all the others.
    pub(super) fn stop(&self) -> CancellationToken {
        self.stop.child_token()
    }

    /// The same work, which is waited for where everything is disposed of.
    pub(super) fn at_work<F: Future>(&self, work: F) -> impl Future<Output = F::Output> + use<F> {
        self.at_work.track_future(work)
    }

    pub(super) fn dispose_on_signals(&self, engine: &Engine) -> Result<()> {
        let lending = self.clone();
        engine.enter(|| {
            let signals =
                signal(SignalKind::interrupt()).and_then(|first| Ok((first, signal(SignalKind::terminate())?)));
            let (mut interrupts, mut terminations) =
                signals.map_err(|e| Error::new(ErrorKind::Internal, "signals cannot be listened for").caused_by(e))?;
            tokio::spawn(async move {
                let status = tokio::select! {
                    _ = interrupts.recv() => 130,
                    _ = terminations.recv() => 143,
                };
                lending.stop.cancel();
                lending.at_work.close();
                lending.at_work.wait().await;
                end(status);
            });
            Ok(())
        })?
    }
}

#[expect(clippy::exit, reason = "whoever asked for this wants the signal to end the process")]
fn end(status: i32) -> ! {
    std::process::exit(status)
}
