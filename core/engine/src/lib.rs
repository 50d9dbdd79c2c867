//! The engine: plans the difference, journals every intent before it is sent, executes, settles, sweeps.
//!
//! [`plan`] and [`machine`] are pure. [`journal`] keeps what must survive. `execute` is the thin shell that performs
//! effects against providers, store and clock. [`api`] holds the objects that programs use.
#![forbid(unsafe_code)]

mod adopt;
pub mod api;
pub mod camp;
pub mod clock;
mod collect;
mod command;
mod deaths;
mod due;
pub mod entropy;
pub mod events;
mod execute;
pub mod failpoint;
mod hostile;
pub mod identity;
mod inside;
pub mod journal;
#[cfg(feature = "junit")]
mod junit;
pub mod keeper;
mod kept;
pub mod machine;
#[cfg(not(feature = "junit"))]
mod no_junit;
mod numbers;
pub mod plan;
pub mod policy;
pub mod providers;
pub mod queue;
mod ready;
pub mod report;
pub mod secrets;
mod session;
mod settle;
mod setup;
mod stages;
pub mod state_folder;
pub mod sweep;
pub mod tenure;
pub mod users;
mod verbs;

pub use execute::Renewal;
pub use verbs::extend::Extended;
pub use verbs::preview::{Change, Moved, Preview, Prospect, Shared, Usual};
pub use verbs::recover::{Recovered, Recovery, Standing, Unproved};
pub use verbs::run::{Inspection, Keep, RunOptions};
pub use verbs::sync::Synced;
pub use verbs::touch::Touched;
pub use verbs::up::{Pending, UpReport};
