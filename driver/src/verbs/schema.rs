//! `encamp schema`: what editors check an environment file with, for the kinds that this program carries.

use encamp::{Error, ErrorKind, file};

use crate::context::Desk;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::output;

pub(super) fn schema(desk: &Desk) -> Result<Exit, Failure> {
    let schema = file::schema(&desk.kinds);
    let text = serde_json::to_string_pretty(&schema)
        .map_err(|error| Error::new(ErrorKind::Internal, "the schema cannot be written as JSON").caused_by(error))?;
    // It is JSON whether that was asked for or not, and has a version of its own.
    output::said(&output::escaped_lines(&text));
    Ok(Exit::Well)
}
