//! `encamp completions`: what a shell is to source.

use crate::arguments::Completions;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::{completion, output};

pub(crate) fn completions(args: &Completions) -> Result<Exit, Failure> {
    output::said(completion::script(args.shell)?.trim_end());
    Ok(Exit::Well)
}
