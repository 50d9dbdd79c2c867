//! What kinds make their tables and settings of, so that the same thing is written in the same way everywhere: a command,
//! a size, a duration.

mod kind_table;
mod line;
mod quantity;

pub use kind_table::KindTable;
pub use line::Line;
pub use quantity::{ByteSize, Span};
