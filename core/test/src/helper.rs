//! The test program that is started again.

use std::fmt;
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;

use encamp::helper::{Asked, Helper, VARIABLE};
use encamp::{Ambient, Error, Kind, Report, Result, builtin_kinds};

/// Where a program says that it can be started again.
#[diagnostic::on_unimplemented(
    message = "this test program has no helper",
    label = "it cannot be started again as the keeper of this test's environments",
    note = "write `encamp_test::helper!();` at the root of the program: in the file below `tests/`, or in `src/lib.rs` \
            below `#[cfg(test)]`"
)]
pub trait Here {
    /// What it was compiled with.
    const SETUP: &'static Setup;
}

/// What a test program was compiled with.
pub struct Setup {
    /// Cargo's folder for files of integration tests.
    pub(crate) folder: Option<&'static str>,
    kinds: fn() -> Vec<Arc<dyn Kind>>,
}

impl fmt::Debug for Setup {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Setup")
            .field("folder", &self.folder)
            .finish_non_exhaustive()
    }
}

impl Setup {
    /// For the macro.
    pub const fn new(folder: Option<&'static str>, kinds: fn() -> Vec<Arc<dyn Kind>>) -> Self {
        Self { folder, kinds }
    }

    /// The kinds that this program knows.
    pub(crate) fn kinds(&self) -> Vec<Arc<dyn Kind>> {
        builtin_kinds().into_iter().chain((self.kinds)()).collect()
    }
}

/// The name of the test that turns into the helper.
const TEST: &str = "encamp_helper";

/// This program, to be started again as keeper; and the program that stands for sandboxes, where one is there.
pub(crate) fn helper(ambient: &Ambient) -> Option<Helper> {
    let keeper = encamp::helper::this()?.arguments([TEST, "--exact", "--nocapture", "--test-threads=1"]);
    let shim = option_env!("ENCAMP_TEST_SHIM")
        .map(Path::new)
        .filter(|program| program.is_file())
        .map(Path::to_owned);
    // Where tests run elsewhere than they were compiled.
    let shim = shim.or_else(|| Some(encamp::helper::find(ambient)?.program().to_owned()));
    Some(match shim {
        Some(shim) => keeper.shim(shim),
        None => keeper,
    })
}

/// Plays the part that this process was started for and ends it; returns at once where it was started for its tests.
pub fn play(setup: &Setup) {
    let ambient = Ambient::of_process();
    let Some(asked) = ambient.variable(VARIABLE).map(ToOwned::to_owned) else {
        return;
    };
    end(match played(&asked, setup, ambient) {
        Ok(code) => i32::from(code != ExitCode::SUCCESS),
        Err(error) => {
            tell(&error);
            2
        }
    })
}

fn played(asked: &str, setup: &Setup, ambient: Ambient) -> Result<ExitCode> {
    let asked: Asked = asked.parse()?;
    let again = helper(&ambient);
    encamp::helper::play(&asked, setup.kinds(), ambient, again)
}

#[expect(clippy::print_stderr, reason = "it is the log of whoever started it")]
fn tell(error: &Error) {
    eprintln!("{}", Report(error));
}

#[expect(
    clippy::exit,
    reason = "the process is there for this part alone, and the harness is not to go on"
)]
fn end(code: i32) -> ! {
    std::process::exit(code)
}
