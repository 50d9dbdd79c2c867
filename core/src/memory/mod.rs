//! The simulated kind, `memory`: machines that exist in a [`World`] alone.
//!
//! The world is infrastructure as the protocol fears it: slow, forgetful, throttling, losing answers, and
//! letting requests take effect after the caller has given up. What goes wrong is drawn from the world's seed, the key,
//! the verb and how often it was called, so that a seed means the same run however calls interleave.
//! It uses tokio's time, so a paused clock makes hours pass in no time, and it outlives any engine that uses it.
//!
//! A machine of it runs a small shell without processes: enough for commands, files, logs and connections.

mod archive;
mod builtin;
mod changes;
mod clock;
mod faults;
mod files;
mod foreign;
mod history;
mod host;
mod images;
mod inside;
mod instance;
mod kind;
mod listing;
mod lock;
mod log;
mod process;
mod program;
mod provider;
mod scopes;
mod script;
mod settings;
mod state;
mod table;
#[cfg(test)]
mod tests;
mod thing;
mod things;
mod world;

pub use foreign::Foreign;
pub use history::{Entry, Outcome, What};
pub use kind::kind;
pub use settings::{Faults, Settings, Settling};
pub use table::{Fail, HealthCheck, Table};
pub use world::{Standing, World};
