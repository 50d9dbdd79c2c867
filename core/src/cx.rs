//! What the engine hands down with every call.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::{Error, ErrorKind, Result, Secret};

/// What a long verb tells about its progress.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[non_exhaustive]
pub struct Progress {
    /// What is being done, `pull` for example.
    pub step: String,
    /// How far, in `unit`s.
    pub done: u64,
    /// Of how many, where that is known.
    pub total: Option<u64>,
    /// `bytes`, or whatever is counted.
    pub unit: String,
    /// A line of native text.
    pub note: Option<String>,
}

impl Progress {
    /// Progress of `step` without figures.
    pub fn note(step: impl Into<String>, note: impl Into<String>) -> Self {
        Self {
            step: step.into(),
            done: 0,
            total: None,
            unit: String::new(),
            note: Some(note.into()),
        }
    }

    /// `done` of `total` bytes of `step`.
    pub fn bytes(step: impl Into<String>, done: u64, total: Option<u64>) -> Self {
        Self {
            step: step.into(),
            done,
            total,
            unit: "bytes".into(),
            note: None,
        }
    }
}

/// Takes progress. The default drops it.
#[derive(Clone, Default)]
pub struct EventSink(Option<Arc<dyn Fn(Progress) + Send + Sync>>);

impl EventSink {
    /// Hands every progress to `take`, which must not block.
    pub fn new(take: impl Fn(Progress) + Send + Sync + 'static) -> Self {
        Self(Some(Arc::new(take)))
    }

    /// Tells a progress.
    pub fn tell(&self, progress: Progress) {
        if let Some(take) = &self.0 {
            take(progress);
        }
    }
}

impl fmt::Debug for EventSink {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("EventSink")
    }
}

/// Reveals secrets by their reference.
#[async_trait]
pub trait Secrets: fmt::Debug + Send + Sync {
    /// The secret of that name.
    async fn reveal(&self, reference: &str) -> Result<Secret>;
}

/// A handle, not data: the deadline, the way to be cancelled, where progress goes, where secrets come from.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Cx {
    /// When the caller stops waiting.
    pub deadline: Instant,
    /// 1 for the first try.
    pub attempt: u32,
    /// The span that the call belongs to.
    pub span: tracing::Span,
    cancel: CancellationToken,
    events: EventSink,
    secrets: Option<Arc<dyn Secrets>>,
}

impl Cx {
    /// A context that ends after `within`.
    #[expect(
        clippy::disallowed_methods,
        reason = "the deadline is monotonic time of the runtime, which tests pause"
    )]
    pub fn within(within: Duration) -> Self {
        Self {
            deadline: Instant::now() + within,
            attempt: 1,
            span: tracing::Span::current(),
            cancel: CancellationToken::new(),
            events: EventSink::default(),
            secrets: None,
        }
    }

    /// The same, which ends after `within` at the latest.
    #[must_use]
    pub fn no_longer_than(mut self, within: Duration) -> Self {
        self.deadline = self.deadline.min(Self::within(within).deadline);
        self
    }

    /// The same with another cancellation.
    #[must_use]
    pub fn with_cancel(mut self, cancel: CancellationToken) -> Self {
        self.cancel = cancel;
        self
    }

    /// The same with progress going to `events`.
    #[must_use]
    pub fn with_events(mut self, events: EventSink) -> Self {
        self.events = events;
        self
    }

    /// The same with secrets from `secrets`.
    #[must_use]
    pub fn with_secrets(mut self, secrets: Arc<dyn Secrets>) -> Self {
        self.secrets = Some(secrets);
        self
    }

    /// The same as the `attempt`th try.
    #[must_use]
    pub fn with_attempt(mut self, attempt: u32) -> Self {
        self.attempt = attempt;
        self
    }

    /// How long there is until the deadline.
    #[expect(clippy::disallowed_methods, reason = "as in `within`")]
    pub fn remaining(&self) -> Duration {
        self.deadline.saturating_duration_since(Instant::now())
    }

    /// Asks the provider to stop; it may still succeed.
    pub fn cancel(&self) {
        self.cancel.cancel();
    }

    /// Completes when the caller asked to stop.
    pub async fn cancelled(&self) {
        self.cancel.cancelled().await;
    }

    /// Whether the caller asked to stop.
    pub fn is_cancelled(&self) -> bool {
        self.cancel.is_cancelled()
    }

    /// Where progress goes.
    pub fn events(&self) -> &EventSink {
        &self.events
    }

    /// Reveals a secret by its reference.
    pub async fn secret(&self, reference: &str) -> Result<Secret> {
        match &self.secrets {
            Some(secrets) => secrets.reveal(reference).await,
            None => Err(Error::new(
                ErrorKind::NotFound,
                format!("no secret is called `{reference}`"),
            )),
        }
    }
}
