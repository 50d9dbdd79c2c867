//! The program `encamp`, as a library: arguments, settings, terminal, exit codes.
//!
//! A program of one's own with another kind linked in is as short as encamp's:
//!
//! ```no_run
//! # fn kind() -> std::sync::Arc<dyn encamp::Kind> { unimplemented!() }
//! fn main() -> std::process::ExitCode {
//!     encamp_driver::Driver::new().kind(kind()).run()
//! }
//! ```
//!
//! Everything about environments is the facade's business; nothing here decides what is created or destroyed.
#![forbid(unsafe_code)]

mod arguments;
mod board;
mod clean;
mod codes;
mod completion;
mod context;
mod driver;
mod exit;
mod explanations;
#[cfg(feature = "failpoints")]
mod failpoints;
mod failure;
mod flagged;
mod follow;
mod helper;
mod holder;
mod interrupts;
mod moment;
mod outlook;
mod output;
mod place;
mod plugins;
mod progress;
mod remote;
mod settings;
mod style;
mod terminal;
mod timeline;
mod variables;
mod verbs;
mod words;

pub use driver::Driver;
