//! A value that is not to be seen.

use std::fmt;

use zeroize::Zeroize;

/// Holds a secret. `Debug` is redacted; there is no `Display` and no `Serialize`; what it held is overwritten when it
/// is dropped. A copy that was made of what [`reveal`](Self::reveal) gives is its maker's to care for.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret<T: Zeroize = String>(T);

impl<T: Zeroize> Secret<T> {
    /// Wraps a value.
    pub fn new(value: T) -> Self {
        Self(value)
    }

    /// The value; every use of this is a place to look at.
    pub fn reveal(&self) -> &T {
        &self.0
    }
}

impl<T: Zeroize> fmt::Debug for Secret<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(…)")
    }
}

impl<T: Zeroize> Drop for Secret<T> {
    fn drop(&mut self) {
        self.0.zeroize();
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

    /// Counts how often it is overwritten.
    struct Counted<'a>(&'a std::cell::Cell<u32>);
    impl Zeroize for Counted<'_> {
        fn zeroize(&mut self) {
            self.0.set(self.0.get() + 1);
        }
    }

    #[test]
    fn dropping_overwrites() {
        let wiped = std::cell::Cell::new(0);
        drop(Secret::new(Counted(&wiped)));
        assert_eq!(wiped.get(), 1);
    }
}
