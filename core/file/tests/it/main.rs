//! Environment files, right and wrong, through the public door.

mod fake;
mod good;
mod mutate;
mod scale;
mod texts;
mod wrong;
mod wrong_references;
