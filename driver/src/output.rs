//! The only place that writes to standard output and standard error.
//!
//! Standard output is what was asked for, standard error is progress and diagnostics. Nobody reading any more is no
//! failure: what a command does to machines goes on.

use std::io::{self, IsTerminal, Write};

use anstream::{AutoStream, ColorChoice};
use encamp::Value;

/// Writes a line of what was asked for.
pub(crate) fn result(line: &str) {
    let _ = try_result(line);
}

/// Writes a line of what was asked for, and says whether it could be.
pub(crate) fn try_result(line: &str) -> io::Result<()> {
    let mut stdout = AutoStream::auto(io::stdout().lock());
    writeln!(stdout, "{line}")?;
    stdout.flush()
}

/// Writes an object for programs, its version first.
pub(crate) fn json(object: &Value) {
    let _ = try_json(object);
}

/// Writes an object for programs, and says whether it could be.
pub(crate) fn try_json(object: &Value) -> io::Result<()> {
    let text = object.to_string();
    try_result(&format!("{{\"v\":1,{}", text.trim_start_matches('{')))
}

/// Writes a line of progress or diagnosis.
pub(crate) fn tell(line: &str) {
    let mut stderr = AutoStream::auto(io::stderr().lock());
    let _ = writeln!(stderr, "{line}");
}

/// Writes a text that has its line ends already.
pub(crate) fn tell_text(text: &str) {
    let mut stderr = AutoStream::auto(io::stderr().lock());
    let _ = write!(stderr, "{text}");
}

/// Writes a question, and stays on its line.
pub(crate) fn ask(question: &str) {
    tell_text(&format!("{question} "));
    let _ = io::stderr().flush();
}

/// Writes a frame of a live display: `moves` as they are, and lines with their colours where those are wanted.
pub(crate) fn frame(moves: &str, lines: &str) {
    let mut stderr = io::stderr().lock();
    let lines = if has_colour() {
        lines.to_owned()
    } else {
        anstream::adapter::strip_str(lines).to_string()
    };
    let _ = stderr.write_all(format!("{moves}{lines}").as_bytes());
    let _ = stderr.flush();
}

/// Whether standard error takes colours.
pub(crate) fn has_colour() -> bool {
    AutoStream::choice(&io::stderr()) != ColorChoice::Never
}

/// Whether somebody reads standard error on a terminal.
pub(crate) fn is_terminal() -> bool {
    io::stderr().is_terminal()
}

/// Standard output for the bytes of a command in a machine, as they are.
pub(crate) fn raw_stdout() -> tokio::io::Stdout {
    tokio::io::stdout()
}

/// Standard error for the bytes of a command in a machine, as they are.
pub(crate) fn raw_stderr() -> tokio::io::Stderr {
    tokio::io::stderr()
}
