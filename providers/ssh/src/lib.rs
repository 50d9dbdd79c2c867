#![doc = include_str!("../README.md")]
#![forbid(unsafe_code)]

mod access;
mod capabilities;
mod client;
mod config;
mod convert;
mod error;
mod inventory;
mod kind;
mod provider;
mod table;
mod tool;
mod trust;

use std::sync::Arc;

use encamp_core::{Kind, KindName};

pub use config::{HostSettings, Settings};
pub use table::Table;
pub use trust::{ShownKey, Trusted, trust};

/// The kind's name, which is also the name of its table in an environment file.
pub const NAME: &str = "ssh";

/// The kind.
///
/// # Panics
/// Never: [`NAME`] is a name.
pub fn kind() -> Arc<dyn Kind> {
    #[expect(clippy::expect_used, reason = "a constant")]
    let name = KindName::new(NAME).expect("the kind's name is a name");
    Arc::new(kind::SshKind::new(name))
}
