//! The provider against a real daemon. Each test has a controller of its own and leaves nothing of it behind.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking, in its helpers too")]
#![expect(clippy::disallowed_methods, reason = "a real daemon keeps the real time")]

mod absent;
mod bed;
mod endpoint;
mod execs;
mod files;
mod hardening;
mod health;
mod images;
mod lifecycle;
mod listing;
mod logs;
mod memory;
mod network;
mod podman;
mod relay;
mod scope;
