//! Decorators around any provider: the same trait outside and inside.
//!
//! [`stack`] puts the ones that are always on around a provider, from the outside in:
//! error context, tracing, capability and ticket check, deadline of reads, retry of reads, limits.
//! [`Chaos`] injects faults below all of them, where a test asks for it.
//!
//! None of them repeats or times a change: that is the executor's, which knows the journal.

mod chance;
mod chaos;
mod context;
mod deadline;
mod layered;
mod limit;
mod require;
mod retry_reads;
mod stack;
#[cfg(test)]
mod tests;
mod trace;

pub(crate) use chance::Draw;
pub use chaos::{Chaos, Effect, Fault};
pub use limit::Rate;
pub use stack::{Options, stack};
