//! Seeded faults around any provider.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use super::chance::Draw;
use super::layered::{Answer, Call, Layer, Once};
use crate::{Error, ErrorKind, Retry, Verb};

/// What a fault does to a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Effect {
    /// The call is made, and its answer is lost: unavailable, outcome unknown.
    LoseReply,
    /// The call is not made: unavailable, safe to retry.
    FailBefore,
    /// The call is not made, and the error does not say so: unavailable, outcome unknown.
    FailBeforeUnknown,
    /// The call is not made: throttled, to be retried after this long.
    Throttle(Duration),
    /// The call is made after this long.
    Delay(Duration),
}

/// An effect on some verbs with a probability.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct Fault {
    /// What happens.
    pub effect: Effect,
    /// How likely, from 0 to 1.
    pub probability: f64,
    /// To which verbs; to all where none is named.
    pub verbs: BTreeSet<Verb>,
}

impl Fault {
    /// A fault of every verb.
    pub fn new(effect: Effect, probability: f64) -> Self {
        Self {
            effect,
            probability,
            verbs: BTreeSet::new(),
        }
    }

    /// Of these verbs alone.
    #[must_use]
    pub fn of(mut self, verbs: impl IntoIterator<Item = Verb>) -> Self {
        self.verbs.extend(verbs);
        self
    }
}

/// Faults drawn from a seed: the n-th call of a verb for a key meets the same faults in every run, whatever else
/// runs beside it.
#[derive(Debug)]
pub struct Chaos {
    seed: u64,
    faults: Vec<Fault>,
    calls: Mutex<BTreeMap<(Verb, String), u64>>,
}

impl Chaos {
    /// Faults of a seed.
    pub fn new(seed: u64, faults: impl IntoIterator<Item = Fault>) -> Self {
        Self {
            seed,
            faults: faults.into_iter().collect(),
            calls: Mutex::default(),
        }
    }

    fn effects(&self, verb: Verb, key: &str) -> Vec<Effect> {
        let count = {
            let mut calls = self.calls.lock().unwrap_or_else(PoisonError::into_inner);
            let count = calls.entry((verb, key.to_owned())).or_default();
            *count += 1;
            *count
        };
        let draw = Draw::seeded(self.seed).text(verb.as_str()).text(key).number(count);
        let met = self.faults.iter().enumerate().filter(|(index, fault)| {
            (fault.verbs.is_empty() || fault.verbs.contains(&verb))
                && draw.number(*index as u64).happens(fault.probability)
        });
        met.map(|(_, fault)| fault.effect).collect()
    }
}

fn injected(kind: ErrorKind, message: &'static str, retry: Retry) -> Error {
    Error::new(kind, message).retry(retry)
}

impl Layer for Chaos {
    fn around<'a, T: Send + 'a>(&'a self, call: Call<'a>, next: Once<'a, T>) -> Answer<'a, T> {
        let key = call.about.key.as_ref().map_or("", |key| key.as_str());
        let effects = self.effects(call.verb, key);
        Box::pin(async move {
            let mut lose_reply = false;
            for effect in effects {
                match effect {
                    Effect::Delay(span) => tokio::time::sleep(span).await,
                    Effect::LoseReply => lose_reply = true,
                    Effect::FailBefore => {
                        return Err(injected(ErrorKind::Unavailable, "injected: not sent", Retry::Safe));
                    }
                    Effect::FailBeforeUnknown => {
                        return Err(injected(ErrorKind::Unavailable, "injected: no answer", Retry::Unknown));
                    }
                    Effect::Throttle(span) => {
                        return Err(injected(
                            ErrorKind::Throttled,
                            "injected: throttled",
                            Retry::After(span),
                        ));
                    }
                }
            }
            let answer = next(call.cx.clone()).await;
            if lose_reply {
                return Err(injected(
                    ErrorKind::Unavailable,
                    "injected: the answer was lost",
                    Retry::Unknown,
                ));
            }
            answer
        })
    }
}
