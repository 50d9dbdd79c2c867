//! A value that is not to be seen.

use std::fmt;

/// Holds a secret. `Debug` is redacted; there is no `Display` and no `Serialize`; what it held is overwritten when it
/// is dropped. A copy that was made of what [`reveal`](Self::reveal) gives is its maker's to care for.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret<T: Wipe = String>(T);

impl<T: Wipe> Secret<T> {
    /// Wraps a value.
    pub fn new(value: T) -> Self {
        Self(value)
    }

    /// The value; every use of this is a place to look at.
    pub fn reveal(&self) -> &T {
        &self.0
    }
}

impl<T: Wipe> fmt::Debug for Secret<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(…)")
    }
}

impl<T: Wipe> Drop for Secret<T> {
    fn drop(&mut self) {
        self.0.wipe();
    }
}

/// What can be overwritten.
pub trait Wipe {
    /// Overwrites it where it lies.
    fn wipe(&mut self);
}

impl Wipe for [u8] {
    fn wipe(&mut self) {
        self.fill(0);
        // Somebody may look at it, as far as the compiler knows: a write that nobody reads would be left out.
        std::hint::black_box(self);
    }
}

impl<const N: usize> Wipe for [u8; N] {
    fn wipe(&mut self) {
        self.as_mut_slice().wipe();
    }
}

impl Wipe for Vec<u8> {
    fn wipe(&mut self) {
        // What was cut off at its end lies there still.
        self.resize(self.capacity(), 0);
        self.as_mut_slice().wipe();
    }
}

impl Wipe for String {
    fn wipe(&mut self) {
        std::mem::take(self).into_bytes().wipe();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_of_it_is_shown() {
        let secret = Secret::new("hunter22".to_owned());
        assert_eq!(format!("{secret:?}"), "Secret(…)");
        assert_eq!(secret.reveal(), "hunter22");
    }

    #[test]
    fn wiping_overwrites_what_was_cut_off_too() {
        let mut bytes = b"hunter22".to_vec();
        bytes.truncate(2);
        bytes.wipe();
        assert!(bytes.len() >= 8 && bytes.iter().all(|byte| *byte == 0), "{bytes:?}");
        let mut key = [7; 4];
        key.wipe();
        assert_eq!(key, [0; 4]);
        let mut text = "hunter22".to_owned();
        text.wipe();
        assert!(text.is_empty());
    }

    /// Counts how often it is wiped.
    struct Counted<'a>(&'a std::cell::Cell<u32>);
    impl Wipe for Counted<'_> {
        fn wipe(&mut self) {
            self.0.set(self.0.get() + 1);
        }
    }

    #[test]
    fn dropping_wipes() {
        let wiped = std::cell::Cell::new(0);
        drop(Secret::new(Counted(&wiped)));
        assert_eq!(wiped.get(), 1);
    }
}
