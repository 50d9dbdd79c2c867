//! What test programs leave behind and say, however they end: this program, started again in many ways.

mod bed;
mod failures;
mod kept;
mod killed;
mod runs;
mod scenes;

encamp_test::helper!();
