//! The exit codes, as a type.

use std::process::ExitCode;

/// How the process ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Exit {
    /// All well.
    Well,
    /// The file, settings or usage are wrong.
    Refused,
    /// A provider failed.
    Provider,
    /// Something could not be disposed of yet.
    Left,
    /// Interrupted.
    Interrupted,
    /// What a command in a machine, or a run, says.
    Code(u8),
}

impl Exit {
    /// The number.
    pub(crate) fn code(self) -> u8 {
        match self {
            Self::Well => 0,
            Self::Refused => 2,
            Self::Provider => 3,
            Self::Left => 4,
            Self::Interrupted => 130,
            Self::Code(code) => code,
        }
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit.code())
    }
}
