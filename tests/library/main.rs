//! The library as a program uses it: guards that go, whatever happens to their process; handles that outlive runtimes;
//! environments that are shared.
#![expect(clippy::print_stderr, reason = "a child says why it failed")]

mod bed;
mod described;
mod guards;
mod runtimes;
mod scenes;
mod shared;
