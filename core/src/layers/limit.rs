//! Bounds how much is under way at once, and how often.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::Semaphore;
use tokio::time::Instant;

use super::layered::{Answer, Call, Layer, Once};
use crate::{Cx, Error, ErrorKind, Limits, Result, Retry, Verb};

/// A rate limit: a bucket of `burst` calls that fills by `per_second`.
#[derive(Debug, Clone, Copy, PartialEq)]
#[non_exhaustive]
pub struct Rate {
    /// Calls a second in the long run.
    pub per_second: f64,
    /// Calls at once after a silence.
    pub burst: u32,
}

impl Rate {
    /// So many calls a second, so many of them at once.
    pub fn new(per_second: f64, burst: u32) -> Self {
        Self { per_second, burst }
    }
}

/// Concurrency for each class of calls, and a rate for all.
///
/// Waiting here counts as not sent: at the deadline or when it is cancelled the call ends with an error that is
/// safe to retry. What a call leaves behind when it is open (a process, a stream, a connection) holds no permit.
#[derive(Debug)]
pub(super) struct Limit {
    changes: Semaphore,
    reads: Semaphore,
    bucket: Option<Bucket>,
}

impl Limit {
    pub(super) fn new(limits: Limits, rate: Option<Rate>) -> Self {
        let permits = |n: u32| Semaphore::new(usize::try_from(n.max(1)).unwrap_or(Semaphore::MAX_PERMITS));
        Self {
            changes: permits(limits.changes),
            reads: permits(limits.reads),
            bucket: rate.map(Bucket::new),
        }
    }

    /// To pull, to build, to remove images and to reserve weighs as much as a change.
    fn class(&self, verb: Verb) -> &Semaphore {
        if verb.is_change() || matches!(verb, Verb::Prepare | Verb::Prune | Verb::Reserve) {
            &self.changes
        } else {
            &self.reads
        }
    }

    async fn pass(&self, verb: Verb) -> Option<tokio::sync::SemaphorePermit<'_>> {
        // The semaphores are never closed.
        let permit = self.class(verb).acquire().await.ok();
        if let Some(bucket) = &self.bucket {
            tokio::time::sleep_until(bucket.take()).await;
        }
        permit
    }
}

async fn in_time<T>(cx: &Cx, waiting: impl Future<Output = T>) -> Result<T> {
    tokio::select! {
        biased;
        () = cx.cancelled() => Err(Error::new(ErrorKind::Cancelled, "cancelled before it was sent").retry(Retry::Safe)),
        passed = waiting => Ok(passed),
        () = tokio::time::sleep_until(cx.deadline) => {
            Err(Error::new(ErrorKind::Unavailable, "too much is under way; not sent within the time given").retry(Retry::Safe))
        }
    }
}

impl Layer for Limit {
    const WATCHES_OPENING: bool = true;

    fn around<'a, T: Send + 'a>(&'a self, call: Call<'a>, next: Once<'a, T>) -> Answer<'a, T> {
        Box::pin(async move {
            let permit = in_time(call.cx, self.pass(call.verb)).await?;
            let mut answer = next(call.cx.clone());
            if let Some(opened) = call.opened {
                tokio::select! {
                    biased;
                    answer = &mut answer => return answer,
                    _ = opened => drop(permit),
                }
            }
            answer.await
        })
    }
}

/// A token bucket, kept as the moment at which it would be full.
#[derive(Debug)]
struct Bucket {
    between: Duration,
    depth: Duration,
    full_at: Mutex<Option<Instant>>,
}

impl Bucket {
    fn new(rate: Rate) -> Self {
        let between = Duration::try_from_secs_f64(1.0 / rate.per_second.max(1e-6)).unwrap_or_default();
        Self {
            between,
            depth: between.saturating_mul(rate.burst.max(1)),
            full_at: Mutex::new(None),
        }
    }

    /// Takes one token; gives the moment from which it may be used.
    #[expect(
        clippy::disallowed_methods,
        reason = "a rate is measured in the runtime's own time, which tests pause"
    )]
    fn take(&self) -> Instant {
        let now = Instant::now();
        let mut full_at = self.full_at.lock().unwrap_or_else(PoisonError::into_inner);
        let after = full_at.map_or(now, |at| at.max(now)) + self.between;
        *full_at = Some(after);
        let wait = after.duration_since(now).saturating_sub(self.depth);
        now + wait
    }
}
