//! The only I/O of this crate.

mod candidates;
mod context;
mod endpoint;
mod engine;
mod exec;
mod files;
mod host;
mod images;
mod inside;
mod listing;
mod machines;
mod memory;
#[cfg(not(feature = "tls"))]
mod no_secure;
mod output;
mod pack;
mod podman;
mod prune;
mod refusal;
mod scope;
#[cfg(feature = "tls")]
mod secure;
mod signals;
mod terminal;
mod tls;

pub(crate) use engine::Engine;
