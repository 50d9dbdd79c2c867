//! What an examination found.

use std::fmt;

use crate::promise::Verdict;

/// One promise and its verdict.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Tried {
    /// The promise's name, `creation::a_repeated_create_finds_the_same_machine`.
    pub promise: String,
    /// How it turned out.
    pub verdict: Verdict,
}

impl Tried {
    /// The promise as people read it, `creation: a repeated create finds the same machine`.
    pub fn words(promise: &str) -> String {
        promise.replace("::", ": ").replace('_', " ")
    }
}

/// Every promise and how it turned out. `Display` prints one line for each, and the reasons.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Report {
    /// In the order in which they were tried.
    pub tried: Vec<Tried>,
    /// Whether nothing stopped it before all that was wanted had been tried.
    pub is_whole: bool,
}

impl Default for Report {
    fn default() -> Self {
        Self {
            tried: Vec::new(),
            is_whole: true,
        }
    }
}

impl Report {
    /// Whether nothing is broken.
    pub fn is_good(&self) -> bool {
        self.broken().next().is_none()
    }

    /// The broken promises.
    pub fn broken(&self) -> impl Iterator<Item = &Tried> {
        self.tried
            .iter()
            .filter(|tried| matches!(tried.verdict, Verdict::Broken(_)))
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut counts = [0; 3];
        for Tried { promise, verdict } in &self.tried {
            let promise = Tried::words(promise);
            match verdict {
                Verdict::Held => {
                    counts[0] += 1;
                    writeln!(f, "held         {promise}")?;
                }
                Verdict::Broken(why) => {
                    counts[1] += 1;
                    writeln!(f, "broken       {promise}\n             {why}")?;
                }
                Verdict::NotOffered(why) => {
                    counts[2] += 1;
                    writeln!(f, "not offered  {promise} ({why})")?;
                }
            }
        }
        write!(f, "{} held, {} broken, {} not offered", counts[0], counts[1], counts[2])
    }
}
