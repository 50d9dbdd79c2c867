//! Locks that outlive a panic of their holder: a test that fails must not hide behind a poisoned world.

use std::sync::{Mutex, MutexGuard, PoisonError};

pub(super) fn lock<T: ?Sized>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
