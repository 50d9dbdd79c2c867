//! The life of one object, machine or scope item, as a pure function.
//!
//! `transition(state, event)` gives the next state and the one effect to perform; the shell in
//! `execute` performs it and answers with the next event. There is no clock, store or provider here.

mod effect;
mod event;
mod state;
mod transition;

pub use effect::Effect;
pub use event::Event;
pub use state::State;
pub use transition::transition;
