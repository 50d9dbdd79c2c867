//! `run`: a command in the machine exits 0.

use std::time::Duration;

use encamp_core::{Exec, Report};
use encamp_file::spec::{self, Command};
use encamp_file::text::{Facts, Viewer};

use crate::inside::Inside;

/// Characters of a command's output that a message shows.
const SHOWN: usize = 200;

pub(super) async fn attempt(
    inside: &Inside,
    spec: &spec::Machine,
    command: &Command,
    limit: Duration,
) -> Result<(), String> {
    let argv = argv(command, &Facts::default(), &Viewer::Member(spec.name.clone()))?;
    let said = inside
        .run(Exec::new(inside.target.clone(), argv), limit)
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

/// A command as arguments.
pub(crate) fn argv(command: &Command, facts: &Facts, viewer: &Viewer) -> Result<Vec<String>, String> {
    let render = |text: &encamp_file::text::Text| text.render(facts, viewer).map_err(|e| e.to_string());
    match command {
        Command::Shell(text) => Ok(vec!["sh".into(), "-c".into(), render(text)?]),
        Command::Argv(texts) => texts.iter().map(render).collect(),
    }
}
