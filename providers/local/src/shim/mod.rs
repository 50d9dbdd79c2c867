//! The program that stands between this host and the processes of a machine.
//!
//! It is the same program again, in one part after the other: the *guard* outside of the machine, the *first* process in
//! it, and, for a moment each, what becomes a command or carries files. None of them has a runtime.

mod archive;
mod command;
mod first;
mod guard;
mod output;
mod reaper;
mod server;
mod spaces;
mod start;
mod view;

pub(crate) use archive::{NOT_THERE, OUT_OF_BOUNDS};
pub(crate) use first::SOCKET;
pub(crate) use server::DESCRIPTORS;

use std::io;
use std::path::Path;
use std::process::ExitCode;

use crate::message::Part;

/// The program was asked for something that it cannot read.
const NOT_UNDERSTOOD: u8 = 2;

/// Plays the part that a request asks for.
pub(crate) fn play(request: &Path) -> ExitCode {
    let part = match read(request) {
        Ok(part) => part,
        Err(error) => {
            complain(&format!("the request at {} cannot be read: {error}", request.display()));
            return ExitCode::from(NOT_UNDERSTOOD);
        }
    };
    match part {
        Part::Shim { folder } => guard::guard(&folder),
        Part::First { folder } => first::first(&folder),
        Part::Command(command) => command::become_it(&command),
        Part::Unpack { folder, bounds } => archive::unpack(&folder, &bounds),
        Part::Pack { path, bounds } => archive::pack(&path, &bounds),
        Part::Probe { folder, cage } => guard::probe(&folder, cage),
        Part::ProbeFirst { folder, cage } => first::probe(&folder, cage),
    }
}

fn read(request: &Path) -> io::Result<Part> {
    Ok(serde_json::from_slice(&std::fs::read(request)?)?)
}

/// Says something on standard error: a file of the machine's folder, or that of a command that cannot be started.
fn complain(text: &str) {
    use std::io::Write;
    let _ = writeln!(io::stderr(), "encamp: {text}");
}
