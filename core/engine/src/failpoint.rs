//! Named places before and after each commit and each send.
//!
//! The simulation crashes the engine there; the crash suite kills the real process there.

use std::fmt::Debug;

use async_trait::async_trait;

/// Is told whenever the engine reaches a place where a crash matters.
#[async_trait]
pub trait Failpoints: Debug + Send + Sync + 'static {
    /// The engine is at `point`, `send.create.web-0.before` for example. May never return.
    async fn reach(&self, point: &str);
}

/// Nothing happens anywhere.
#[derive(Debug, Clone, Copy, Default)]
pub struct NoFailpoints;

#[async_trait]
impl Failpoints for NoFailpoints {
    async fn reach(&self, _: &str) {}
}
