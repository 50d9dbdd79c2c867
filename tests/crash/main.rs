//! The real program on a real daemon: killed at every place where a crash matters, in crowds, and cut off from the
//! daemon. Whatever happens, the next command leaves nothing behind and touches nothing of another's.
#![expect(clippy::print_stdout, reason = "a suite says what it covered")]

mod claimants;
mod clock;
mod crowd;
mod daemon;
mod deaths;
mod decoys;
mod dice;
mod elsewhere;
mod files;
mod here;
mod hosts;
mod installation;
mod keepers;
mod leases;
mod losses;
mod matrix;
mod outages;
mod program;
mod proxy;
mod story;
mod surroundings;
