//! The only room that reads and writes for the provider: folders, processes, sockets of machines.

mod ability;
mod end;
mod exec;
mod files;
mod host;
mod listing;
mod logs;
mod machines;
mod network;
mod raise;
mod streams;
mod talk;

pub(crate) use host::Host;
