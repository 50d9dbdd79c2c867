//! `encamp provider`: which there are, whether one keeps its promises, and a new one to begin with.

mod check;
mod ls;
mod new;

pub(super) use check::check;
pub(super) use ls::ls;
pub(super) use new::new;
