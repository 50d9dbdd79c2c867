//! The thin shell: performs effects against providers, store and clock. One executor holds one environment.

mod attempt;
mod confide;
mod control;
mod dispose;
mod gate;
mod late;
mod life;
mod matching;
mod places;
mod raise;
mod renew;
mod request;
mod rooms;
mod scope;
mod stay;
mod wait;

pub(crate) use control::Controlled;
pub(crate) use dispose::{Reached, destroy_found, dispose, lower_one, what_is_left};
pub(crate) use late::needs as late_needs;
pub(crate) use life::Wanted;
pub(crate) use matching::{Want, assign};
pub(crate) use raise::{Raised, facts_of, raise};
pub use renew::Renewal;
pub(crate) use renew::{due, follow, renew};
pub(crate) use request::{machine_table, rendered};
pub(crate) use scope::scope_object;
