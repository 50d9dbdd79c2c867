//! Commands, files and connections over SSH, for machines whose provider says no more than where they are.
//!
//! A provider whose machines are reached by SSH gives [`Access::Ssh`](encamp_core::Access::Ssh) and no inside verb;
//! [`Remote`] turns that into sessions, and [`derive()`] into the verbs, in front of the provider itself.
//!
//! A host key is always one of those that the access names. Nothing here learns one by itself.
#![forbid(unsafe_code)]

mod asker;
mod begun;
mod derived;
mod error;
mod exec;
mod files;
mod fingerprint;
mod host;
mod keys;
mod lines;
mod login;
mod marks;
mod pool;
mod question;
mod remote;
mod run;
mod transport;
mod within;

pub use derived::{derive, derived_capabilities};
pub use keys::{EnvironmentKeys, KeyFolder};
pub use remote::{Client, Options, Remote};
