//! Colour marks the status word and the words `error`, `warning`, `help`; nothing else.

use anstyle::{AnsiColor, Style};
use encamp::events::Status;
use encamp::report::Outcome;

pub(crate) const ERROR: Style = AnsiColor::Red.on_default().bold();
pub(crate) const HELP: Style = AnsiColor::Cyan.on_default().bold();
const GOOD: Style = AnsiColor::Green.on_default();
const BUSY: Style = AnsiColor::Yellow.on_default();
pub(crate) const PALE: Style = Style::new().dimmed();

/// A text in a style.
pub(crate) fn paint(style: Style, text: &str) -> String {
    format!("{style}{text}{style:#}")
}

/// The style of a status.
pub(crate) fn of_status(status: Status) -> Style {
    match status {
        Status::Ready | Status::Gone => GOOD,
        Status::Failed => ERROR,
        Status::Creating | Status::Starting | Status::Setup | Status::Waiting | Status::Destroying => BUSY,
    }
}

/// The style of `ok`, `warn` and `fail`.
pub(crate) fn of_word(word: &str) -> Style {
    match word {
        "ok" => GOOD,
        "warn" => BUSY,
        _ => ERROR,
    }
}

/// The word and the style of a task's outcome.
pub(crate) fn of_outcome(outcome: Outcome) -> (&'static str, Style) {
    match outcome {
        Outcome::Passed => ("passed", GOOD),
        Outcome::Failed => ("FAILED", ERROR),
        Outcome::Skipped => ("skipped", PALE),
        Outcome::Interrupted => ("stopped", BUSY),
    }
}
