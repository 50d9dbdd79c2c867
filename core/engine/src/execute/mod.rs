//! The thin shell: performs effects against providers, store and clock. One executor holds one environment.

mod dispose;
mod life;
mod raise;
mod request;
mod scope;

pub(crate) use dispose::destroy_found;
pub(crate) use dispose::dispose;
pub(crate) use raise::{Raised, raise};
pub(crate) use request::rendered;
