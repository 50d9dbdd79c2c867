//! The objects that programs use. Everything runs on a thread of the engine's own, so that any runtime may call it.

mod builder;
mod copy;
mod description;
mod encamp;
mod environment;
mod exec;
mod forward;
mod guard;
mod keep;
mod lending;
mod machine;
mod runtime;
mod sharing;
mod up;

pub use builder::Builder;
pub use copy::Copied;
pub use description::Description;
pub use encamp::{Checked, Encamp, Summary};
pub use environment::{Environment, Looked};
pub use exec::{Exec, Output};
pub use forward::Endpoint;
pub use guard::Guard;
pub use keep::keep;
pub use machine::{Command, Machine};
pub use sharing::{Share, SharedGuard};

pub use crate::setup::DeadService;
pub use up::Up;
