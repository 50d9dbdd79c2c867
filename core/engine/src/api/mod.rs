//! The objects that programs use. Everything runs on a thread of the engine's own, so that any runtime may call it.

mod builder;
mod copy;
mod encamp;
mod environment;
mod keep;
mod runtime;
mod up;

pub use builder::Builder;
pub use copy::Copied;
pub use encamp::{Checked, Encamp, Summary};
pub use environment::{Command, Environment, Looked, Machine};
pub use keep::keep;

pub use crate::setup::DeadService;
pub use up::Up;
