//! Which layers stand around a provider, and in which order.

use std::sync::Arc;

use super::chance::Jitter;
use super::chaos::Chaos;
use super::context::AddContext;
use super::deadline::TimeReads;
use super::layered::Layered;
use super::limit::{Limit, Rate};
use super::require::Require;
use super::retry_reads::RetryReads;
use super::trace::TraceCalls;
use crate::{InstanceName, Provider};

/// How often a read is made at most.
const ATTEMPTS: u32 = 5;

/// What the layers need to know.
#[derive(Debug)]
#[non_exhaustive]
pub struct Options {
    /// The instance's name, for errors and spans.
    pub provider: InstanceName,
    /// From where the jitter between two reads comes.
    pub jitter_seed: u64,
    /// How often a read is made at most.
    pub attempts: u32,
    /// How often anything is called; as often as the concurrency allows where none is given.
    pub rate: Option<Rate>,
    /// Faults to inject below all other layers.
    pub chaos: Option<Chaos>,
}

impl Options {
    /// Five attempts, no rate limit, no faults.
    pub fn new(provider: InstanceName) -> Self {
        Self {
            provider,
            jitter_seed: 0,
            attempts: ATTEMPTS,
            rate: None,
            chaos: None,
        }
    }

    /// With jitter from this seed.
    #[must_use]
    pub fn jitter_seed(mut self, seed: u64) -> Self {
        self.jitter_seed = seed;
        self
    }

    /// With a rate limit.
    #[must_use]
    pub fn rate(mut self, rate: Rate) -> Self {
        self.rate = Some(rate);
        self
    }

    /// With injected faults.
    #[must_use]
    pub fn chaos(mut self, chaos: Chaos) -> Self {
        self.chaos = Some(chaos);
        self
    }
}

/// Puts the layers that are always on around a provider.
///
/// From the outside in: context, trace, require, deadline, retry of reads, limit, and faults where they are asked for.
pub fn stack(provider: Arc<dyn Provider>, options: Options) -> Arc<dyn Provider> {
    let Options {
        provider: name,
        jitter_seed,
        attempts,
        rate,
        chaos,
    } = options;
    let capabilities = provider.capabilities().clone();
    let limit = Limit::new(capabilities.limits, rate);
    let retry = RetryReads {
        attempts,
        jitter: Jitter::seeded(jitter_seed),
    };
    let provider = match chaos {
        Some(chaos) => Layered::around(provider, chaos),
        None => provider,
    };
    let provider = Layered::around(provider, limit);
    let provider = Layered::around(provider, retry);
    let provider = Layered::around(provider, TimeReads);
    let provider = Layered::around(provider, Require { capabilities });
    let provider = Layered::around(provider, TraceCalls { provider: name.clone() });
    Layered::around(provider, AddContext { provider: name })
}
