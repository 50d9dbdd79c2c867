//! `run`: a command in the machine exits 0.

use std::time::Duration;

use encamp_core::Report;
use encamp_file::spec::Command;
use tokio_util::sync::CancellationToken;

use super::Judged;
use crate::command;

/// Characters of a command's output that a message shows.
const SHOWN: usize = 200;

pub(super) async fn attempt(judged: Judged<'_>, command: &Command, limit: Duration) -> Result<(), String> {
    let inside = judged.inside;
    let line = command::line(command, judged.facts, &judged.viewer())?;
    let said = inside
        .run(
            line.exec(inside.target.clone()),
            line.input.as_deref(),
            limit,
            &CancellationToken::new(),
        )
        .await
        .map_err(|error| Report(&error).to_string())?;
    if said.exit.success() {
        return Ok(());
    }
    let last = said.text.lines().rfind(|line| !line.trim().is_empty()).unwrap_or("");
    let last: String = last.chars().take(SHOWN).collect();
    Err(if last.is_empty() {
        said.exit.to_string()
    } else {
        format!("{} \"{last}\"", said.exit)
    })
}
