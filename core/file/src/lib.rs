//! From the text of an environment file to a checked specification.
//!
//! [`load`] reads a file, renders what is known before anything exists, and gives either an
//! [`Environment`](spec::Environment), or a [`Failure`] that names everything that is wrong with
//! the file, each with its place. What is known only once machines run stays a late
//! [`Text`](text::Text).
//!
//! This crate knows no provider and does no I/O but reading files through [`Sources`]; it does
//! not panic, whatever the file holds.
#![forbid(unsafe_code)]

mod built;
mod checker;
pub mod codes;
mod cx;
mod depends;
mod depth;
mod diagnose;
mod expr;
mod files;
pub mod hash;
mod ignore;
mod inputs;
mod jinja;
mod kinds;
mod literal;
mod load;
mod machines;
mod members;
mod misfit;
mod nearest;
mod needs;
mod node;
mod objects;
mod outputs;
mod overrides;
mod page;
mod ports;
pub mod program;
mod ready;
mod refs;
mod render;
mod scan;
mod schema;
mod secrets;
mod services;
mod source;
pub mod spec;
mod stages;
mod steps;
mod tables;
mod tasks;
mod template;
mod template_file;
pub mod text;
mod toml;
mod toml_version;
mod tree;
mod typed;
mod warn;
mod world;

pub use codes::Code;
pub use diagnose::{Diagnostic, Failure, Secondary, Severity};
pub use kinds::{Kinds, is_reserved};
pub use load::{Load, Loaded, load};
pub use nearest::did_you_mean;
pub use schema::schema;
pub use source::{Disk, FileKind, Found, Sources};
