//! Real time: the processes and the daemon of these tests know no other.

use std::thread;
use std::time::{Duration, Instant};

const PAUSE: Duration = Duration::from_millis(5);

#[expect(
    clippy::disallowed_methods,
    reason = "what is waited for here lives in other processes"
)]
pub(crate) fn now() -> Instant {
    Instant::now()
}

#[expect(
    clippy::disallowed_methods,
    reason = "what is waited for here lives in other processes"
)]
pub(crate) fn pause() {
    thread::sleep(PAUSE);
}

/// Asks again and again until there is an answer; none after `within`.
pub(crate) fn until<T>(within: Duration, mut ask: impl FnMut() -> Option<T>) -> Option<T> {
    let end = now() + within;
    loop {
        if let Some(answer) = ask() {
            return Some(answer);
        }
        if now() >= end {
            return None;
        }
        pause();
    }
}
