#![doc = include_str!("../README.md")]
#![forbid(unsafe_code)]

mod bed;
mod call;
mod cases;
mod factory;
mod kill;
mod left;
mod promise;
mod report;
mod stamps;
mod suite;

pub use call::make_call;
pub use cases::KILLED;
pub use factory::{Bounds, Factory};
pub use promise::Verdict;
pub use report::{Report, Tried};
pub use stamps::StampMaker;
pub use suite::{examine, examine_only, examine_until, suite};
