#![doc = include_str!("../README.md")]
#![cfg(target_os = "linux")]
#![forbid(unsafe_code)]

mod capabilities;
mod cgroup;
mod client;
mod config;
mod convert;
mod error;
mod frames;
mod kind;
mod message;
mod place;
mod process;
mod provider;
mod shim;
pub mod table;

use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;

use encamp_core::{Kind, KindName};

pub use config::{Cage, Files, Settings};
pub use table::Table;

/// The kind's name, which is also the name of its table in an environment file.
pub const NAME: &str = "local";

/// The kind.
///
/// # Panics
/// Never: [`NAME`] is a name.
pub fn kind() -> Arc<dyn Kind> {
    #[expect(clippy::expect_used, reason = "a constant")]
    let name = KindName::new(NAME).expect("the kind's name is a name");
    Arc::new(kind::LocalKind::new(name))
}

/// Plays the part of the [shim](encamp_core::helper::Role::Shim), to which a program turns that was started as one. To
/// be called before the program has started a thread.
pub fn shim(request: &Path) -> ExitCode {
    shim::play(request)
}
