//! What a command does, from its first look at the store to its last line.

pub(crate) mod down;
pub(crate) mod extend;
pub(crate) mod lend;
pub(crate) mod observe;
pub(crate) mod overdue;
pub(crate) mod preview;
pub(crate) mod recover;
pub(crate) mod release;
pub(crate) mod run;
pub(crate) mod sync;
pub(crate) mod tidy;
pub(crate) mod touch;
pub(crate) mod up;
