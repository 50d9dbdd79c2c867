//! The arguments and answers of the verbs.

pub(crate) mod cache;
pub(crate) mod change;
pub(crate) mod inside;
pub(crate) mod read;
pub(crate) mod reserve;
