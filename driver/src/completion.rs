//! Completion in shells. A shell calls encamp while it completes, so that the names of environments and machines are
//! those of the store; it makes nothing, and says nothing where something is wrong.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};

use clap::CommandFactory;
use clap_complete::CompletionCandidate;
use clap_complete::env::{Bash, CompleteEnv, EnvCompleter, Fish, Zsh};
use encamp::{Encamp, Environment, Error, ErrorKind};

use crate::arguments::{Arguments, Shell};
use crate::context::{FILE, folder_of};
use crate::exit::Exit;
use crate::settings::{self, Places};
use crate::variables::Variables;

/// Set by the shell's script when it asks.
const VARIABLE: &str = "ENCAMP_COMPLETE";
/// What the program is called.
const PROGRAM: &str = "encamp";

/// Answers a shell that asks; nothing where this is an ordinary call.
pub(crate) fn answer() -> Option<Exit> {
    let folder = std::env::current_dir().ok();
    let asked = CompleteEnv::with_factory(Arguments::command).var(VARIABLE);
    match asked.try_complete(std::env::args_os(), folder.as_deref()) {
        Ok(false) => None,
        Ok(true) => Some(Exit::Well),
        Err(_) => Some(Exit::Refused),
    }
}

/// What a shell is to source.
pub(crate) fn script(shell: Shell) -> Result<String, Error> {
    let completer: &dyn EnvCompleter = match shell {
        Shell::Bash => &Bash,
        Shell::Zsh => &Zsh,
        Shell::Fish => &Fish,
    };
    let mut script = Vec::new();
    completer
        .write_registration(VARIABLE, PROGRAM, PROGRAM, &program(), &mut script)
        .map_err(|error| Error::new(ErrorKind::Internal, "the script cannot be written").caused_by(error))?;
    Ok(String::from_utf8_lossy(&script).into_owned())
}

/// The program as it was called: by its name where the shell found it, else by its whole path.
fn program() -> String {
    let called = std::env::args_os().next().map(PathBuf::from).unwrap_or_default();
    if called.components().count() < 2 {
        return PROGRAM.to_owned();
    }
    std::path::absolute(&called).unwrap_or(called).display().to_string()
}

/// Names of environments.
pub(crate) fn environments(current: &OsStr) -> Vec<CompletionCandidate> {
    let names = with_store(|encamp| async move {
        let all = encamp.environments().await?;
        Ok(all
            .into_iter()
            .map(|summary| (summary.name, summary.state.to_owned()))
            .collect())
    });
    candidates(current, names.unwrap_or_default())
}

/// Names of machines.
pub(crate) fn machines(current: &OsStr) -> Vec<CompletionCandidate> {
    let names = with_environment(|environment| names_of(environment, false));
    candidates(current, names.unwrap_or_default())
}

/// Names of machines and groups.
pub(crate) fn machines_and_groups(current: &OsStr) -> Vec<CompletionCandidate> {
    let names = with_environment(|environment| names_of(environment, true));
    candidates(current, names.unwrap_or_default())
}

/// Names of machines with the colon that a path follows; the shell itself completes paths of this host.
pub(crate) fn machine_paths(current: &OsStr) -> Vec<CompletionCandidate> {
    let names = with_environment(|environment| names_of(environment, false)).unwrap_or_default();
    let names = names.into_iter().map(|(name, help)| (format!("{name}:"), help));
    candidates(current, names.collect())
}

fn names_of(environment: &Environment, groups: bool) -> Vec<(String, String)> {
    let mut names: Vec<(String, String)> = environment
        .machines()
        .map(|machine| (machine.name().to_owned(), machine.instance().to_string()))
        .collect();
    if groups {
        names.extend(
            environment
                .groups()
                .into_iter()
                .map(|group| (group, "group".to_owned())),
        );
    }
    names
}

fn candidates(current: &OsStr, names: Vec<(String, String)>) -> Vec<CompletionCandidate> {
    let begun = current.to_string_lossy();
    let names = names.into_iter().filter(|(name, _)| name.starts_with(&*begun));
    names
        .map(|(name, help)| CompletionCandidate::new(name).help(Some(help.into())))
        .collect()
}

fn with_environment<T: Default>(read: impl FnOnce(&Environment) -> T) -> Option<T> {
    let named = flag(&["-e", "--environment"]);
    let environment = with_store(|encamp| async move {
        let name = match named {
            Some(name) => name,
            None => {
                let file = std::env::current_dir().unwrap_or_default().join(FILE);
                let names = encamp.environments_of_file(&file).await?;
                let [name] = names.as_slice() else {
                    return Err(Error::new(
                        ErrorKind::NotFound,
                        "it is not clear which environment is meant",
                    ));
                };
                name.clone()
            }
        };
        encamp.environment(&name).await
    });
    environment.map(|environment| read(&environment))
}

/// Opens the store, where there is one.
fn with_store<T, F: Future<Output = Result<T, Error>>>(read: impl FnOnce(Encamp) -> F) -> Option<T> {
    let variables = Variables::of_process();
    let state = flag(&["--state"]).map(PathBuf::from);
    let folder = settings::state_folder(&Places {
        lists: &[],
        variables: &variables,
        state: state.as_deref(),
        project: folder_of(Path::new(FILE)),
        kinds: &[],
        bare: &[],
    })?;
    if !folder.join("store.db").exists() {
        return None;
    }
    let encamp = Encamp::builder().state_dir(folder).open().ok()?;
    let runtime = tokio::runtime::Builder::new_current_thread().build().ok()?;
    runtime.block_on(read(encamp)).ok()
}

/// The value of a flag on the line that is being completed.
fn flag(names: &[&str]) -> Option<String> {
    let words: Vec<String> = std::env::args().collect();
    let with_value = |at: usize, word: &str| {
        names.iter().find_map(|name| {
            if word == *name {
                return words.get(at + 1).cloned();
            }
            Some(word.strip_prefix(name)?.strip_prefix('=')?.to_owned())
        })
    };
    words.iter().enumerate().find_map(|(at, word)| with_value(at, word))
}
