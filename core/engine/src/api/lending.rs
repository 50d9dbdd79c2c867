//! What guards share in this process, and how signals end them.

use std::future::Future;
use std::sync::OnceLock;
use std::time::Duration;

use encamp_core::{Error, ErrorKind, Result};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::verbs::lend::Wish;

/// Everything that guards of one installation hold.
#[derive(Debug, Clone)]
pub(super) struct Lending {
    held: Held,
    pub(super) drop_grace: Duration,
    pub(super) wish: Wish,
}

/// What is let go together, and waited for.
#[derive(Debug, Clone)]
struct Held {
    /// Cancelled where all of it is to go.
    stop: CancellationToken,
    at_work: TaskTracker,
}

impl Held {
    fn new() -> Self {
        Self {
            stop: CancellationToken::new(),
            at_work: TaskTracker::new(),
        }
    }
}

/// What goes at a signal: of all installations of this process that want so. A handler is never taken back, so it has a
/// thread of its own that outlives every installation.
static AT_SIGNALS: OnceLock<std::result::Result<Held, String>> = OnceLock::new();

impl Lending {
    pub(super) fn new(drop_grace: Duration, wish: Wish, on_signals: bool) -> Result<Self> {
        let held = if on_signals {
            let listening = AT_SIGNALS.get_or_init(|| listen().map_err(|error| error.to_string()));
            listening
                .clone()
                .map_err(|why| Error::new(ErrorKind::Internal, format!("signals cannot be listened for: {why}")))?
        } else {
            Held::new()
        };
        Ok(Self { held, drop_grace, wish })
    }

    /// Cancelled with all the others.
    pub(super) fn stop(&self) -> CancellationToken {
        self.held.stop.child_token()
    }

    /// The same work, which is waited for where everything is disposed of.
    pub(super) fn at_work<F: Future>(&self, work: F) -> impl Future<Output = F::Output> + use<F> {
        self.held.at_work.track_future(work)
    }
}

/// Begins to listen; the first signal lets everything go and ends the process after that, a second one at once.
fn listen() -> std::io::Result<Held> {
    let held = Held::new();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let signals = {
        let _entered = runtime.enter();
        [(SignalKind::interrupt(), 130), (SignalKind::terminate(), 143)]
            .map(|(kind, status)| signal(kind).map(|signal| (signal, status)))
    };
    let [interrupts, terminations] = signals;
    let (mut interrupts, mut terminations) = (interrupts?, terminations?);
    let everything = held.clone();
    std::thread::Builder::new()
        .name("encamp-signals".to_owned())
        .spawn(move || {
            let status = runtime.block_on(async {
                let status = next(&mut interrupts, &mut terminations).await;
                everything.stop.cancel();
                everything.at_work.close();
                tokio::select! {
                    () = everything.at_work.wait() => status,
                    again = next(&mut interrupts, &mut terminations) => again,
                }
            });
            end(status);
        })?;
    Ok(held)
}

async fn next(interrupts: &mut (Signal, i32), terminations: &mut (Signal, i32)) -> i32 {
    tokio::select! {
        _ = interrupts.0.recv() => interrupts.1,
        _ = terminations.0.recv() => terminations.1,
    }
}

#[expect(clippy::exit, reason = "whoever asked for this wants the signal to end the process")]
fn end(status: i32) -> ! {
    std::process::exit(status)
}
