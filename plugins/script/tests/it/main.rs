//! Scripts as they are written: badly, slowly, and all at once.

mod bed;
mod calls;
mod nspawn;
mod streams;
mod turns;
mod yard;
