#![doc = include_str!("../README.md")]
#![forbid(unsafe_code)]

mod camp;
mod helper;
mod installation;
mod keep;
mod look;
mod outcome;
mod run;
mod tell;
mod typed;
mod watch;

pub use camp::Camp;
pub use encamp;
pub use encamp::{Endpoint, Environment, Machine, Share};
pub use encamp_test_macros::{environment, test};

/// Lets this test program be started again as the keeper of an environment. To be written once, at the root of each test
/// program: a file in `tests/`, or `src/lib.rs` below `#[cfg(test)]`.
///
/// ```no_run
/// encamp_test::helper!();
/// ```
///
/// It is a test of its own, called `encamp_helper`, which does nothing unless it is asked to. Kinds of providers beside
/// the built-in ones are named here, so that keepers know them as well: `encamp_test::helper!(vec![acme::kind()]);`.
#[macro_export]
macro_rules! helper {
    () => {
        $crate::helper!(::std::vec::Vec::new());
    };
    ($kinds:expr) => {
        #[doc(hidden)]
        #[derive(Debug)]
        struct __EncampTestHelper;

        impl $crate::__private::Here for __EncampTestHelper {
            const SETUP: &'static $crate::__private::Setup =
                &$crate::__private::Setup::new(::std::option_env!("CARGO_TARGET_TMPDIR"), || $kinds);
        }

        #[test]
        fn encamp_helper() {
            $crate::__private::play(<__EncampTestHelper as $crate::__private::Here>::SETUP);
        }
    };
}

/// What the macros speak of.
#[doc(hidden)]
pub mod __private {
    pub use crate::helper::{Here, Setup, play};
    pub use crate::outcome::Outcome;
    pub use crate::run::{Test, run};
    pub use crate::typed::{Member, declared, described, member};

    /// What a test finds where its program has no `helper!()`.
    pub mod missing {
        #[derive(Debug)]
        pub struct __EncampTestHelper;
    }
}
