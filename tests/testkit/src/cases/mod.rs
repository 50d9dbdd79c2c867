//! The promises, by area.

mod access;
mod commands;
mod creation;
mod decoys;
mod files;
mod health;
mod killed;
mod kind;
mod life;
mod listing;
mod logs;
mod mounts;
mod network;
mod pause;
mod removal;
mod reservation;
mod scope;
mod streams;
mod unoffered;

use encamp_core::{Capabilities, Keeps, Settle, Verb};

use crate::promise::Promise;

/// What the names of promises begin with that are tried by killing calls.
pub const KILLED: &str = "killed::";

/// Every promise, in the order in which they are tried.
pub(crate) fn all() -> impl Iterator<Item = Promise> {
    kind::promises()
        .into_iter()
        .chain(creation::promises())
        .chain(removal::promises())
        .chain(decoys::promises())
        .chain(listing::promises())
        .chain(scope::promises())
        .chain(reservation::promises())
        .chain(life::promises())
        .chain(pause::promises())
        .chain(health::promises())
        .chain(mounts::promises())
        .chain(access::promises())
        .chain(commands::promises())
        .chain(streams::promises())
        .chain(files::promises())
        .chain(logs::promises())
        .chain(network::promises())
        .chain(unoffered::promises())
        .chain(killed::promises())
}

fn labels(capabilities: &Capabilities) -> bool {
    capabilities.keeps == Keeps::Labels
}

fn replays(capabilities: &Capabilities) -> bool {
    matches!(capabilities.unknown_machine, Settle::Replay { .. })
}

fn exec(capabilities: &Capabilities) -> bool {
    capabilities.offers(Verb::Exec)
}

fn stops(capabilities: &Capabilities) -> bool {
    capabilities.offers(Verb::Stop)
}
