#![doc = include_str!("../README.md")]
#![forbid(unsafe_code)]

mod bed;
mod cases;
mod factory;
mod promise;
mod report;
mod stamps;
mod suite;

pub use factory::{Bounds, Factory};
pub use promise::Verdict;
pub use report::{Report, Tried};
pub use stamps::StampMaker;
pub use suite::{examine, examine_only, suite};
