//! One promise of the contract, and how it turns out.

use std::fmt;
use std::future::Future;
use std::pin::Pin;

use encamp_core::{Capabilities, Error, Report};

use crate::bed::Bed;

/// How a promise turned out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// The provider does what it promises.
    Held,
    /// It does not; the text says what happened.
    Broken(String),
    /// The promise does not apply; the text says why.
    NotOffered(String),
}

/// Why a case ends early.
#[derive(Debug)]
pub(crate) enum Stop {
    Broken(String),
    NotOffered(String),
}

pub(crate) type Outcome<T = ()> = Result<T, Stop>;

impl Stop {
    /// The same with what had been done before.
    pub(crate) fn after(self, what: impl fmt::Display) -> Self {
        match self {
            Self::Broken(why) => Self::Broken(format!("{what}: {why}")),
            Self::NotOffered(why) => Self::NotOffered(why),
        }
    }
}

impl From<Error> for Stop {
    fn from(error: Error) -> Self {
        let mut text = format!("{} ({}", Report(&error), error.kind().as_str());
        if let Some(verb) = error.verb() {
            text.extend([", at `", verb.as_str(), "`"]);
        }
        for (name, value) in error.context() {
            text.extend([", ", name, " ", value]);
        }
        text.push(')');
        if let Some(next) = error.hint() {
            text.extend(["; ", next]);
        }
        Self::Broken(text)
    }
}

impl From<std::io::Error> for Stop {
    fn from(error: std::io::Error) -> Self {
        Self::Broken(format!("a stream broke: {error}"))
    }
}

impl fmt::Display for Stop {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Broken(why) => f.write_str(why),
            Self::NotOffered(why) => write!(f, "not offered: {why}"),
        }
    }
}

impl From<Stop> for Verdict {
    fn from(stop: Stop) -> Self {
        match stop {
            Stop::Broken(why) => Self::Broken(why),
            Stop::NotOffered(why) => Self::NotOffered(why),
        }
    }
}

/// Ends the case as broken, with a text, unless the condition holds.
macro_rules! ensure {
    ($condition:expr, $($text:tt)+) => {
        if !$condition {
            return Err($crate::promise::Stop::Broken(format!($($text)+)));
        }
    };
}
pub(crate) use ensure;

pub(crate) type Running<'b> = Pin<Box<dyn Future<Output = Outcome> + Send + 'b>>;

/// A promise: when it applies, and the case that tries it.
pub(crate) struct Promise {
    /// `creation::a_repeated_create_finds_the_same_machine`.
    pub(crate) name: &'static str,
    /// Why it does not apply, if it does not.
    pub(crate) missing: fn(&Capabilities) -> Option<&'static str>,
    pub(crate) case: for<'b> fn(&'b Bed) -> Running<'b>,
}

/// Whether a promise applies to a provider.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Applies {
    Yes,
    NotOffered(&'static str),
    /// It speaks of what is not declared, and that is declared here.
    Beside,
}

impl Promise {
    pub(crate) fn applies(&self, capabilities: &Capabilities) -> Applies {
        match (self.missing)(capabilities) {
            None => Applies::Yes,
            Some(_) if self.name.starts_with("unoffered::") => Applies::Beside,
            Some(why) => Applies::NotOffered(why),
        }
    }
}

/// Lists cases of a module as promises: `module { case, case if condition or "why not" }`.
macro_rules! promises {
    ($module:ident { $($case:ident $(if $condition:expr, or $why:literal)?),* $(,)? }) => {
        [$($crate::promise::Promise {
            name: concat!(stringify!($module), "::", stringify!($case)),
            missing: |_capabilities| {
                $(if !$condition(_capabilities) { return Some($why); })?
                None
            },
            case: |bed| Box::pin($case(bed)),
        }),*]
    };
}
pub(crate) use promises;
