//! Why a condition does not hold.

#[derive(Debug, PartialEq, Eq)]
pub(super) enum Missed {
    /// It may hold a moment later.
    Yet(String),
    /// Nothing that happens in the machine by itself makes it hold any more.
    ForGood(String),
}

impl From<String> for Missed {
    fn from(why: String) -> Self {
        Self::Yet(why)
    }
}
