//! Waiting for no longer than the caller does.

use std::future::Future;

use encamp_core::{Cx, Error, ErrorKind, Result};

/// What `future` comes to, where that is before the caller's deadline and before they give up. `late` says what was
/// waited for in vain.
pub(crate) async fn within<T>(
    cx: &Cx,
    future: impl Future<Output = Result<T>>,
    late: impl FnOnce() -> Error,
) -> Result<T> {
    tokio::select! {
        biased;
        outcome = future => outcome,
        gave_up = over(cx) => Err(gave_up.unwrap_or_else(late)),
    }
}

/// Completes when nobody waits any longer: with an error where the caller gave up, and without one at the deadline.
pub(crate) async fn over(cx: &Cx) -> Option<Error> {
    tokio::select! {
        biased;
        () = cx.cancelled() => Some(Error::new(ErrorKind::Cancelled, "cancelled while waiting for a host")),
        () = tokio::time::sleep_until(cx.deadline) => None,
    }
}
