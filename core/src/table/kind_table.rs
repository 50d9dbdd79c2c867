//! The typed tables of kinds, for programs that describe machines.

use crate::Value;

/// What a machine of one kind is made of, as a Rust type.
pub trait KindTable {
    /// The kind, which is also the key of its table in a file.
    fn kind(&self) -> &str;

    /// The table as a file has it.
    fn to_json(&self) -> Value;
}
