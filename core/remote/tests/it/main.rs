//! Sessions to real OpenSSH servers: processes of the tests' own, on ports of loopback.
#![expect(
    clippy::unwrap_used,
    clippy::print_stderr,
    clippy::format_collect,
    clippy::duration_suboptimal_units,
    reason = "a test fails by panicking, in its helpers too, and says what the server said"
)]

mod bed;
mod cuts;
mod derived;
mod execs;
mod masters;
mod questions;
mod refusals;
mod relay;
mod streams;
mod sweeps;
mod terminals;
mod waits;
