//! A described command as it is run. A secret never becomes an argument, which every user of the machine could read.

use encamp_core::{Env, Exec, Target};
use encamp_file::spec::Command;
use encamp_file::text::{Facts, Text, Viewer};

/// Runs a script that comes through standard input, all of it before the first command of it runs.
const FROM_STDIN: &str = "eval \"$(cat)\"";

/// Arguments, and what goes to standard input.
#[derive(Debug, Clone)]
pub(crate) struct Line {
    pub(crate) argv: Vec<String>,
    pub(crate) input: Option<String>,
}

/// A command as `viewer` sees it.
pub(crate) fn line(command: &Command, facts: &Facts, viewer: &Viewer) -> Result<Line, String> {
    match command {
        Command::Shell(text) if text.is_secret() => Ok(Line {
            argv: vec!["sh".into(), "-c".into(), FROM_STDIN.into()],
            input: Some(render(text, facts, viewer)?),
        }),
        Command::Shell(text) => Ok(Line {
            argv: vec!["sh".into(), "-c".into(), render(text, facts, viewer)?],
            input: None,
        }),
        Command::Argv(words) => Ok(Line {
            argv: arguments(words, facts, viewer)?,
            input: None,
        }),
    }
}

/// Arguments, none of which may hold a secret.
pub(crate) fn arguments(words: &[Text], facts: &Facts, viewer: &Viewer) -> Result<Vec<String>, String> {
    if let Some(word) = words.iter().find(|word| word.is_secret()) {
        return Err(format!(
            "`{}` holds a secret, and arguments show in the machine's list of processes: give it by `env`, read it from \
             its file, or write the command as one string",
            word.source()
        ));
    }
    words.iter().map(|word| render(word, facts, viewer)).collect()
}

pub(crate) fn render(text: &Text, facts: &Facts, viewer: &Viewer) -> Result<String, String> {
    text.render(facts, viewer).map_err(|e| e.to_string())
}

/// An environment as `viewer` sees it.
pub(crate) fn env<'t>(
    texts: impl IntoIterator<Item = (&'t String, &'t Text)>,
    facts: &Facts,
    viewer: &Viewer,
) -> Result<Env, String> {
    texts
        .into_iter()
        .map(|(name, text)| Ok((name.clone(), render(text, facts, viewer)?)))
        .collect()
}

impl Line {
    /// The same as a command of a machine.
    pub(crate) fn exec(&self, target: Target) -> Exec {
        let mut exec = Exec::new(target, self.argv.iter().cloned());
        exec.stdin = self.input.is_some();
        exec
    }
}
