//! JUnit files of tasks, in a build that reads and writes none.

use encamp_core::{Error, ErrorKind, Result};

use crate::report::{TaskReport, Tests};

/// There is none.
#[derive(Debug)]
pub(crate) enum Suite {}

#[derive(Debug)]
pub(crate) struct Suites {
    pub(crate) suites: Vec<Suite>,
    pub(crate) tests: Tests,
}

pub(crate) fn read(_: &str, file: &str, _: &TaskReport) -> Result<Suites> {
    Err(Error::new(
        ErrorKind::Unsupported,
        format!("{file} is not read: this build knows nothing of JUnit"),
    )
    .next_step("build `encamp` with its feature `junit`"))
}
