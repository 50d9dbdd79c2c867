//! Reads all secrets of an environment, before anything is started.

use std::collections::BTreeMap;
use std::fs;
use std::io::Read;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use encamp_core::{Ambient, Error, ErrorKind, Name, Result, Secret};
use encamp_file::spec::{Command, Environment, SecretSource};
use encamp_file::text::{Facts, Viewer};

use super::forms::{SHORTEST, is_long_enough};
use super::{InHand, Redactor, command};
use crate::camp::Camp;
use crate::events::Events;

/// Bytes of the longest secret.
pub(super) const LONGEST: usize = 48 << 10;
/// Bytes of all secrets of an environment.
const ALL: usize = 256 << 10;

/// All secrets that the environment speaks of. What is missing or wrong is named at once, each with how to give it.
pub(crate) async fn resolve(camp: &Camp, spec: &Environment, events: &Events) -> Result<InHand> {
    let mut found = Found::default();
    let mut commands = Vec::new();
    for name in spec.secret_names() {
        let (source, of_file) = match (spec.secrets.get(&name), camp.secrets.get(&name)) {
            (Some(source), _) => (source, true),
            (None, Some(source)) => (source, false),
            (None, None) => {
                let variable = name.as_str().to_ascii_uppercase().replace('-', "_");
                let help =
                    format!("nothing says where it comes from: [secrets] {name} = {{ variable = \"{variable}\" }}");
                found.problems.push((name, help));
                continue;
            }
        };
        match source {
            SecretSource::Variable(variable) => found.add(name, variable_of(camp.providers.ambient(), variable)),
            SecretSource::File(path) => {
                let path = if of_file && path.starts_with(&spec.folder) {
                    path.clone()
                } else {
                    spec.folder.join(path)
                };
                let read = file(path, &mut found.notes).await;
                found.add(name, read);
            }
            SecretSource::Command(command) => commands.push((name, command)),
        }
    }
    let running = commands.into_iter().map(|(name, command)| async move {
        let said = match argv(command) {
            Ok(argv) => command::said(&argv, &spec.folder).await,
            Err(problem) => Err(problem),
        };
        (name, said)
    });
    for (name, said) in futures_util::future::join_all(running).await {
        found.add(name, said);
    }
    found.finish(events).await
}

#[derive(Default)]
struct Found {
    values: BTreeMap<Name, Secret>,
    problems: Vec<(Name, String)>,
    notes: Vec<String>,
}

impl Found {
    fn add(&mut self, name: Name, read: Result<String, String>) {
        match read.and_then(|value| checked(&name, value, &mut self.notes)) {
            Ok(value) => drop(self.values.insert(name, value)),
            Err(problem) => self.problems.push((name, problem)),
        }
    }

    async fn finish(mut self, events: &Events) -> Result<InHand> {
        let all: usize = self.values.values().map(|value| value.reveal().len()).sum();
        if all > ALL {
            return Err(Error::new(
                ErrorKind::Invalid,
                format!("the secrets of this environment have {all} bytes, more than {ALL}"),
            ));
        }
        if self.problems.is_empty() {
            for note in self.notes {
                events.note(note).await;
            }
            return Ok(InHand::new(self.values));
        }
        self.problems.sort();
        // What a command complains about may be another secret.
        let redactor = Redactor::of(self.values.values());
        let names: Vec<String> = self.problems.iter().map(|(name, _)| format!("`{name}`")).collect();
        let what = match names.as_slice() {
            [name] => format!("the secret {name} is missing"),
            names => format!("the secrets {} are missing", names.join(", ")),
        };
        let error = Error::new(ErrorKind::NotFound, what);
        Err(self.problems.iter().fold(error, |error, (name, problem)| {
            error.with(name.to_string(), redactor.redact(problem))
        }))
    }
}

/// A value that can be used; a short one with a note.
fn checked(name: &Name, value: String, notes: &mut Vec<String>) -> Result<Secret, String> {
    let value = Secret::new(value);
    let text = value.reveal();
    if text.is_empty() {
        return Err("it is empty".into());
    }
    if text.len() > LONGEST {
        return Err(format!("it has {} bytes, more than {LONGEST}", text.len()));
    }
    if text.contains('\0') {
        return Err("it holds a zero byte, which no variable and no argument can".into());
    }
    if !is_long_enough(text) {
        notes.push(format!(
            "the secret `{name}` has less than {SHORTEST} characters: it is used, and not redacted in output and reports"
        ));
    }
    Ok(value)
}

fn variable_of(ambient: &Ambient, variable: &str) -> Result<String, String> {
    ambient
        .variable(variable)
        .map(str::to_owned)
        .ok_or_else(|| format!("the variable {variable} is not set: export {variable}=…"))
}

async fn file(path: PathBuf, notes: &mut Vec<String>) -> Result<String, String> {
    let failed = |why: String| format!("the file {} cannot be read: {why}", path.display());
    // A pipe that nobody writes into has no end.
    let reading = tokio::task::spawn_blocking({
        let path = path.clone();
        move || read(&path)
    });
    let (mode, text) = match tokio::time::timeout(command::WITHIN, reading).await {
        Ok(Ok(Ok(read))) => read,
        Ok(Ok(Err(error))) if error.kind() == std::io::ErrorKind::NotFound => {
            return Err(format!("the file {} is not there: put it there", path.display()));
        }
        Ok(Ok(Err(error))) => return Err(failed(error.to_string())),
        Ok(Err(error)) => return Err(failed(error.to_string())),
        Err(_) => return Err(failed(format!("it did not end within {:?}", command::WITHIN))),
    };
    if mode & 0o004 != 0 {
        notes.push(format!(
            "{} holds a secret, and everybody can read it: chmod o-r {0}",
            path.display()
        ));
    }
    Ok(without_line_end(text))
}

/// Its mode and its text; once, for a pipe gives it only once.
fn read(path: &Path) -> std::io::Result<(u32, String)> {
    let file = fs::File::open(path)?;
    let found = file.metadata()?;
    let mut text = String::new();
    file.take(LONGEST as u64 + 2).read_to_string(&mut text)?;
    Ok((if found.is_file() { found.mode() } else { 0 }, text))
}

pub(super) fn without_line_end(mut text: String) -> String {
    if text.ends_with('\n') {
        text.pop();
        if text.ends_with('\r') {
            text.pop();
        }
    }
    text
}

/// Nothing is known yet that it could speak of: neither machines nor secrets.
fn argv(command: &Command) -> Result<Vec<String>, String> {
    crate::command::line(command, &Facts::default(), &Viewer::Controller).map(|line| line.argv)
}
