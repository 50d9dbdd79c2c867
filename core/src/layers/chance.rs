//! Seeded chance: the same seed and the same facts give the same draw, in whatever order they are drawn.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// The finisher of splitmix64: every bit of the input decides about every bit of the output.
fn mix(seed: u64) -> u64 {
    let mut z = seed.wrapping_add(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

/// One draw, made of a seed and the facts that it depends on.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Draw(u64);

impl Draw {
    /// Begins with a seed.
    pub(crate) fn seeded(seed: u64) -> Self {
        Self(mix(seed))
    }

    /// Depends on a text too.
    #[must_use]
    pub(crate) fn text(self, text: &str) -> Self {
        // FNV-1a; the length keeps ("ab", "c") apart from ("a", "bc").
        let hash = text.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
            (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3)
        });
        Self(mix(self.0 ^ hash ^ (text.len() as u64).rotate_left(32)))
    }

    /// Depends on a number too.
    #[must_use]
    pub(crate) fn number(self, number: u64) -> Self {
        Self(mix(self.0 ^ mix(number)))
    }

    /// The bits.
    pub(crate) fn bits(self) -> u64 {
        self.0
    }

    /// From 0 up to, not including, 1.
    #[expect(clippy::cast_precision_loss, reason = "53 bits fit exactly")]
    pub(crate) fn unit(self) -> f64 {
        (self.0 >> 11) as f64 / (1_u64 << 53) as f64
    }

    /// Whether something of this probability happens.
    pub(crate) fn happens(self, probability: f64) -> bool {
        self.unit() < probability
    }

    /// From zero up to `most`.
    pub(crate) fn span(self, most: Duration) -> Duration {
        most.mul_f64(self.unit())
    }
}

/// A sequence of draws.
#[derive(Debug)]
pub(super) struct Jitter(AtomicU64);

impl Jitter {
    pub(super) fn seeded(seed: u64) -> Self {
        Self(AtomicU64::new(seed))
    }

    /// The next draw.
    pub(super) fn draw(&self) -> Draw {
        Draw::seeded(self.0.fetch_add(1, Ordering::Relaxed))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn draws_depend_on_every_fact_and_on_nothing_else() {
        let draw = |seed, text, number| Draw::seeded(seed).text(text).number(number).bits();
        assert_eq!(draw(1, "a", 1), draw(1, "a", 1));
        assert_ne!(draw(1, "a", 1), draw(2, "a", 1));
        assert_ne!(draw(1, "a", 1), draw(1, "b", 1));
        assert_ne!(draw(1, "a", 1), draw(1, "a", 2));
    }

    #[test]
    fn a_probability_is_met() {
        let hits = (0..10_000).filter(|n| Draw::seeded(7).number(*n).happens(0.25)).count();
        assert!((2300..2700).contains(&hits), "{hits}");
    }
}
