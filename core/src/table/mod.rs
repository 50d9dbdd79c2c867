//! What kinds make their tables and settings of, so that the same thing is written in the same way everywhere: a command,
//! a size, a duration.

mod line;
mod quantity;

pub use line::Line;
pub use quantity::{ByteSize, Span};
