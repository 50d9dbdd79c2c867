//! Ends reads at the deadline. Changes are never ended here: a change without an answer is the executor's to settle.

use super::layered::{Again, Answer, Call, Layer, Once};
use crate::{Error, ErrorKind, Retry};

/// Times reads alone.
#[derive(Debug)]
pub(super) struct TimeReads;

impl Layer for TimeReads {
    fn around<'a, T: Send + 'a>(&'a self, call: Call<'a>, next: Once<'a, T>) -> Answer<'a, T> {
        next(call.cx.clone())
    }

    fn around_read<'a, T: Send + 'a>(&'a self, call: Call<'a>, next: Again<'a, T>) -> Answer<'a, T> {
        Box::pin(async move {
            tokio::select! {
                biased;
                answer = next(call.cx.clone()) => answer,
                () = call.cx.cancelled() => {
                    Err(Error::new(ErrorKind::Cancelled, "cancelled while reading").retry(Retry::Safe))
                }
                () = tokio::time::sleep_until(call.cx.deadline) => {
                    Err(Error::new(ErrorKind::Unavailable, "no answer within the time given").retry(Retry::Safe))
                }
            }
        })
    }
}
