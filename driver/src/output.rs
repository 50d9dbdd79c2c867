//! The only place that writes to standard output and standard error.
//!
//! Standard output is what was asked for, standard error is progress and diagnostics. Nobody reading any more is no
//! failure: what a command does to machines goes on.
//!
//! What machines, files and names bring along cannot move a cursor, set a title or write to a clipboard: every text that
//! passes here is cleaned once more, and keeps its line ends, its tabs and its colours.

use std::fmt::Write as _;
use std::io::{self, IsTerminal, Write};
use std::sync::OnceLock;

use anstream::{AutoStream, ColorChoice};
use encamp::Value;

use crate::clean;
use crate::flagged::flagged;

/// ` --state DIR` of this command, where it was given.
static STATE: OnceLock<String> = OnceLock::new();

/// From now on the commands to type that stand in encamp's own lines have this flag.
pub(crate) fn keep_state(flag: &str) {
    // It is typed once, so a second time says the same.
    let _ = STATE.set(flag.to_owned());
}

/// A line of encamp's own, whose commands find the same store.
pub(crate) fn own(line: &str) -> String {
    flagged(line, STATE.get().map_or("", String::as_str))
}

/// Writes a line of what was asked for, in encamp's own words.
pub(crate) fn result(line: &str) {
    said(&own(line));
}

/// Writes a line of what was asked for, as a machine, a file or a program has it.
pub(crate) fn said(line: &str) {
    let _ = try_said(line);
}

/// The same, and says whether it could be.
pub(crate) fn try_said(line: &str) -> io::Result<()> {
    let mut stdout = AutoStream::auto(io::stdout().lock());
    writeln!(stdout, "{}", clean::text(line))?;
    stdout.flush()
}

/// Writes an object for programs, its version first.
pub(crate) fn json(object: &Value) {
    let _ = try_json(object);
}

/// Writes an object for programs, and says whether it could be.
pub(crate) fn try_json(object: &Value) -> io::Result<()> {
    let text = escaped(&object.to_string());
    try_said(&format!("{{\"v\":1,{}", text.trim_start_matches('{')))
}

/// JSON in which no control character stands as itself: those beyond ASCII are left alone by its writer.
pub(crate) fn escaped(json: &str) -> String {
    let mut text = String::with_capacity(json.len());
    for c in json.chars() {
        if c.is_control() {
            // Writing to a text does not fail.
            let _ = write!(text, "\\u{:04x}", u32::from(c));
        } else {
            text.push(c);
        }
    }
    text
}

/// The same for JSON in several lines.
pub(crate) fn escaped_lines(json: &str) -> String {
    json.lines().map(escaped).collect::<Vec<_>>().join("\n")
}

/// Writes a line of progress or diagnosis, in encamp's own words.
pub(crate) fn tell(line: &str) {
    tell_said(&own(line));
}

/// Writes a line of progress or diagnosis, as a machine has it.
pub(crate) fn tell_said(line: &str) {
    let mut stderr = AutoStream::auto(io::stderr().lock());
    let _ = writeln!(stderr, "{}", clean::text(line));
}

/// Writes a text that has its line ends already.
pub(crate) fn tell_text(text: &str) {
    let mut stderr = AutoStream::auto(io::stderr().lock());
    let _ = write!(stderr, "{}", clean::text(text));
}

/// Writes a question, and stays on its line.
pub(crate) fn ask(question: &str) {
    tell_text(&format!("{question} "));
    let _ = io::stderr().flush();
}

/// Writes a frame of a live display: `moves` as they are, and lines with their colours where those are wanted.
pub(crate) fn frame(moves: &str, lines: &str) {
    let mut stderr = io::stderr().lock();
    let lines = clean::text(lines);
    let lines = if has_colour() {
        lines
    } else {
        anstream::adapter::strip_str(&lines).to_string()
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn json_says_every_control_character_by_its_number() {
        let said = serde_json::json!({ "line": "a\u{9b}2J\u{7f}\u{1b}ü" }).to_string();
        let text = escaped(&said);
        assert_eq!(text, r#"{"line":"a\u009b2J\u007f\u001bü"}"#);
        let back: Value = serde_json::from_str(&text).unwrap();
        assert_eq!(back["line"], "a\u{9b}2J\u{7f}\u{1b}ü");
    }
}
