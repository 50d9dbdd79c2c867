//! Hosts, claimed and given back: over a real OpenSSH server.
#![expect(clippy::unwrap_used, reason = "a test may fail")]

mod bed;
mod check;
mod claims;
mod connections;
mod expiry;
mod guard;
mod lab;
mod refusals;
mod reservations;
