//! The machine table: what stands under `docker` at a machine.

mod build;
mod examine;
mod health;
mod line;
mod machine;
mod quantity;
mod volume;

pub use build::Build;
pub use health::HealthCheck;
pub use line::Line;
pub use machine::{Table, Ulimit};
pub use quantity::{ByteSize, Span};
pub use volume::{Volume, VolumeSource};

pub(crate) use examine::{examine, is_default_capability, is_image, mounts_socket, read};
