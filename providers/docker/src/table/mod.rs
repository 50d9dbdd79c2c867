//! The machine table: what stands under `docker` at a machine.

mod build;
mod examine;
mod health;
mod machine;
mod volume;

pub use build::Build;
pub use encamp_core::table::{ByteSize, Line, Span};
pub use health::HealthCheck;
pub use machine::{Table, Ulimit};
pub use volume::{Volume, VolumeSource};

pub(crate) use examine::{examine, is_default_capability, is_image, mounts_socket, read};
