//! Values into values, without any input or output.

mod environment;
mod log;
mod needs;
mod phase;
mod plan;
mod record;

pub(crate) use environment::{HOME, base, default_folder};
pub(crate) use log::{Head, LastLines, Said, frame};
pub(crate) use needs::{Offer, with_needs};
pub(crate) use phase::{Sight, phase_of};
pub(crate) use plan::{Abilities, Plan, plan};
pub(crate) use record::{Record, refuse_limits, request_hash};
