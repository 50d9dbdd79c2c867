#![doc = include_str!("../README.md")]
#![forbid(unsafe_code)]

mod capabilities;
mod client;
mod config;
mod convert;
mod error;
mod kind;
mod provider;
pub mod table;

use std::sync::Arc;

use encamp_core::{Kind, KindName};

pub use config::{Permission, Settings, TlsSettings};
pub use table::Table;

/// The kind's name, which is also the name of its table in an environment file.
pub const NAME: &str = "docker";

/// The kind.
///
/// # Panics
/// Never: [`NAME`] is a name.
pub fn kind() -> Arc<dyn Kind> {
    #[expect(clippy::expect_used, reason = "a constant")]
    let name = KindName::new(NAME).expect("the kind's name is a name");
    Arc::new(kind::DockerKind::new(name))
}
