//! A span around every call.

use tracing::field::{Empty, display};
use tracing::{Instrument, Span};

use super::layered::{Again, Answer, Call, Layer, Once};
use crate::{Cx, InstanceName, Result};

/// Opens a span with verb, provider and machine, and records the outcome in it.
#[derive(Debug)]
pub(super) struct TraceCalls {
    pub(super) provider: InstanceName,
}

impl TraceCalls {
    fn span(&self, call: &Call<'_>) -> Span {
        let span = tracing::info_span!(
            parent: &call.cx.span,
            "provider",
            verb = %call.verb,
            provider = %self.provider,
            machine = Empty,
            outcome = Empty,
        );
        if let Some(machine) = &call.about.machine {
            span.record("machine", display(machine));
        }
        span
    }
}

fn within<'a, T: Send + 'a>(span: Span, cx: &Cx, next: impl FnOnce(Cx) -> Answer<'a, T>) -> Answer<'a, T> {
    let mut cx = cx.clone();
    cx.span = span.clone();
    let answer = next(cx);
    Box::pin(async move {
        let answer: Result<T> = answer.instrument(span.clone()).await;
        match &answer {
            Ok(_) => span.record("outcome", "ok"),
            Err(error) => span.record("outcome", error.kind().as_str()),
        };
        answer
    })
}

impl Layer for TraceCalls {
    fn around<'a, T: Send + 'a>(&'a self, call: Call<'a>, next: Once<'a, T>) -> Answer<'a, T> {
        within(self.span(&call), call.cx, next)
    }

    fn around_read<'a, T: Send + 'a>(&'a self, call: Call<'a>, next: Again<'a, T>) -> Answer<'a, T> {
        within(self.span(&call), call.cx, next)
    }
}
