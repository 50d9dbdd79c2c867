//! The terminal: its size, and its raw mode while a command in a machine has it.

use std::io;
use std::os::fd::AsFd;

use encamp::Size;
use rustix::termios::{OptionalActions, Termios, isatty, tcgetattr, tcgetwinsize, tcsetattr};

/// The size of the terminal behind standard error.
pub(crate) fn size_of_stderr() -> Option<Size> {
    size(io::stderr())
}

/// The size of the terminal behind standard output.
pub(crate) fn size_of_stdout() -> Option<Size> {
    size(io::stdout())
}

fn size(of: impl AsFd) -> Option<Size> {
    let size = tcgetwinsize(of).ok()?;
    (size.ws_row > 0 && size.ws_col > 0).then(|| Size::new(size.ws_row, size.ws_col))
}

/// Whether standard input is a terminal.
pub(crate) fn stdin_is_one() -> bool {
    isatty(io::stdin())
}

/// Whether standard output is a terminal.
pub(crate) fn stdout_is_one() -> bool {
    isatty(io::stdout())
}

/// Standard input hands every key on at once, and the terminal does nothing by itself. Ends when dropped.
#[derive(Debug)]
pub(crate) struct Raw(Termios);

impl Raw {
    /// Nothing where standard input is no terminal.
    pub(crate) fn enter() -> Option<Self> {
        let before = tcgetattr(io::stdin()).ok()?;
        let mut raw = before.clone();
        raw.make_raw();
        tcsetattr(io::stdin(), OptionalActions::Now, &raw).ok()?;
        Some(Self(before))
    }
}

impl Drop for Raw {
    fn drop(&mut self) {
        let _ = tcsetattr(io::stdin(), OptionalActions::Now, &self.0);
    }
}
