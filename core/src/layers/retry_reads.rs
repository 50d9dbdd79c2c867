//! Repeats reads that failed for now. Changes are repeated by the executor alone, from the journal.

use std::time::Duration;

use super::chance::{Draw, Jitter};
use super::layered::{Again, Answer, Call, Layer, Once};
use crate::{Error, ErrorKind, Retry};

/// The first pause, and the longest.
const PAUSE: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(5));

/// Repeats reads by the retry class of their errors, with jittered and growing pauses, within the deadline.
#[derive(Debug)]
pub(super) struct RetryReads {
    pub(super) attempts: u32,
    pub(super) jitter: Jitter,
}

/// How long to wait before the read is made again; `None` where it is not.
fn pause_after(error: &Error, failures: u32, draw: Draw) -> Option<Duration> {
    let backoff = PAUSE
        .0
        .saturating_mul(1 << failures.saturating_sub(1).min(10))
        .min(PAUSE.1);
    let jittered = backoff / 2 + draw.span(backoff / 2);
    match error.retryable() {
        Retry::Safe => Some(jittered),
        Retry::After(least) => Some(least + draw.span(backoff / 2)),
        // A read has no effect that could have happened.
        Retry::Unknown if matches!(error.kind(), ErrorKind::Unavailable | ErrorKind::Throttled) => Some(jittered),
        Retry::Unknown | Retry::Never => None,
    }
}

impl Layer for RetryReads {
    fn around<'a, T: Send + 'a>(&'a self, call: Call<'a>, next: Once<'a, T>) -> Answer<'a, T> {
        next(call.cx.clone())
    }

    fn around_read<'a, T: Send + 'a>(&'a self, call: Call<'a>, next: Again<'a, T>) -> Answer<'a, T> {
        Box::pin(async move {
            let mut failures = 0;
            loop {
                let cx = call.cx.clone().with_attempt(call.cx.attempt + failures);
                let error = match next(cx).await {
                    Ok(answer) => return Ok(answer),
                    Err(error) => error,
                };
                failures += 1;
                let told = |error: Error| {
                    if failures > 1 {
                        error.with("attempts", failures)
                    } else {
                        error
                    }
                };
                let Some(pause) = pause_after(&error, failures, self.jitter.draw()) else {
                    return Err(told(error));
                };
                if failures >= self.attempts || pause >= call.cx.remaining() || call.cx.is_cancelled() {
                    return Err(told(error));
                }
                tokio::select! {
                    () = tokio::time::sleep(pause) => {}
                    () = call.cx.cancelled() => return Err(told(error)),
                }
            }
        })
    }
}
