//! What can be typed.

mod inside;
mod provider;

use std::path::PathBuf;

use clap::error::{ContextKind, ContextValue};
use clap::{Args, CommandFactory, Parser, Subcommand, ValueEnum, ValueHint};
use clap_complete::ArgValueCompleter;

pub(crate) use self::inside::{Cp, Exec, Forward, InMachine, Logs, Start, Stop, Sync};
pub(crate) use self::provider::{CheckProvider, Language, NewProvider, Provider};
use crate::variables::TABLE;
use crate::{completion, words};

/// Sets up environments of machines, runs work on them, and takes them down with nothing left.
#[derive(Debug, Parser)]
#[command(
    name = "encamp",
    version,
    disable_help_subcommand = true,
    arg_required_else_help = true,
    max_term_width = 100,
    after_help = AFTER,
    after_long_help = after_long()
)]
pub(crate) struct Arguments {
    #[command(flatten)]
    pub(crate) global: Global,
    #[command(subcommand)]
    pub(crate) verb: Verb,
}

const AFTER: &str = "Exit codes: 0 all well · 1 a task failed · 3 a provider failed
            2 the file, settings or usage are wrong, or what was asked was declined
            4 something could not be disposed of yet · 130 interrupted";

fn after_long() -> String {
    let rows: Vec<Vec<String>> = TABLE
        .iter()
        .map(|variable| vec![variable.name.to_owned(), variable.meaning.to_owned()])
        .collect();
    let rows = words::table(&rows);
    format!("Variables:\n  {}\n\n{AFTER}", rows.join("\n  "))
}

#[derive(Debug, Args)]
pub(crate) struct Global {
    /// Print JSON for programs
    #[arg(long, global = true, help_heading = "Everywhere")]
    pub(crate) json: bool,
    /// Where the store is [default: encamp in the user's folder for state]
    #[arg(long = "state", value_name = "DIR", global = true, help_heading = "Everywhere")]
    pub(crate) state: Option<PathBuf>,
    /// Do what would be asked about without asking
    #[arg(long, global = true, help_heading = "Everywhere")]
    pub(crate) yes: bool,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Verb {
    /// Write an environment file to begin with, for what lies in the folder
    Init(Init),
    /// Check an environment file, and say everything that is wrong with it
    Validate(OfFile),
    /// Show what `up` would change, and change nothing
    Plan(OfFile),
    /// Bring an environment up, run its stages, collect results, take it down
    Run(Run),
    /// Bring an environment to what its file says, and keep it
    Up(Up),
    /// Take an environment down, or some of its machines
    Down(Down),
    /// Let an environment live longer: at least so long from now
    ///
    /// The lease ends so long from now, or as before where that is later: it is never shortened. A run that is on its way
    /// goes on for as long. Machines that end by themselves are told; what nothing ends by itself, as on Docker, keeps the
    /// former end on its label, which counts again if the store is lost.
    Extend(Extend),
    /// List environments
    Ls,
    /// Show an environment: machines, addresses, outputs
    Show(Show),
    /// Run a command in a machine
    Exec(Exec),
    /// Open a shell in a machine
    Shell(InMachine),
    /// Copy files into a machine or out of it
    Cp(Cp),
    /// Listen here for ports of a machine, until Ctrl-C
    Forward(Forward),
    /// Print what machines have said
    Logs(Logs),
    /// Stop machines; what was stopped on purpose has not died
    Stop(Stop),
    /// Start machines that were stopped, and wait until they are ready
    Start(Start),
    /// Bring working trees on machines up to date, as `sync` in their set-up says
    Sync(Sync),
    /// Dispose of everything that is due, on every site that was ever used
    Gc,
    /// After the store was lost: record again what this installation has made; nothing is destroyed
    ///
    /// Lists every configured provider and every site that the store knows, and takes for ours what carries a proof of this
    /// installation's owner.key. Names and files are lost with the store: an environment comes back as recovered-ID, wanted
    /// until the end on its labels, and for 10 minutes at least. `ls`, `show`, `exec`, `extend` and `down` work on it.
    Recover,
    /// Look at everything that encamp stands on: settings, store, providers, what is due
    Doctor,
    /// Look at providers: which there are, and whether one keeps its promises; begin a new one
    #[command(subcommand)]
    Provider(Provider),
    /// Show the keys of a host, or vouch for one by its fingerprint
    Trust(Trust),
    /// Print the JSON Schema of environment files, for editors
    Schema,
    /// Say what a code such as E0103 means
    Explain(Explain),
    /// Print what makes a shell complete encamp's words: source <(encamp completions bash)
    Completions(Completions),
}

#[derive(Debug, Args)]
pub(crate) struct Trust {
    /// A host of the settings by its name, or an address: 10.0.0.7, [10.0.0.7]:2222
    #[arg(value_name = "HOST")]
    pub(crate) host: String,
    /// What its key must have, from whoever set the host up: SHA256:…
    #[arg(value_name = "FINGERPRINT")]
    pub(crate) fingerprint: Option<String>,
}

impl Verb {
    pub(crate) fn as_str(&self) -> &'static str {
        match self {
            Self::Init(_) => "init",
            Self::Validate(_) => "validate",
            Self::Plan(_) => "plan",
            Self::Run(_) => "run",
            Self::Up(_) => "up",
            Self::Down(_) => "down",
            Self::Extend(_) => "extend",
            Self::Ls => "ls",
            Self::Show(_) => "show",
            Self::Exec(_) => "exec",
            Self::Shell(_) => "shell",
            Self::Cp(_) => "cp",
            Self::Forward(_) => "forward",
            Self::Logs(_) => "logs",
            Self::Stop(_) => "stop",
            Self::Start(_) => "start",
            Self::Sync(_) => "sync",
            Self::Gc => "gc",
            Self::Recover => "recover",
            Self::Doctor => "doctor",
            Self::Provider(_) => "provider",
            Self::Trust(_) => "trust",
            Self::Schema => "schema",
            Self::Explain(_) => "explain",
            Self::Completions(_) => "completions",
        }
    }

    /// The environment file that was named.
    pub(crate) fn file(&self) -> Option<&PathBuf> {
        match self {
            Self::Run(Run { file, .. }) | Self::Up(Up { file, .. }) | Self::Validate(file) | Self::Plan(file) => {
                file.file.as_ref()
            }
            _ => None,
        }
    }

    /// How long it waits for places that others have.
    pub(crate) fn wait(&self) -> std::time::Duration {
        match self {
            Self::Run(Run { waits, .. }) | Self::Up(Up { waits, .. }) => waits.wait.unwrap_or_default(),
            _ => std::time::Duration::ZERO,
        }
    }
}

#[derive(Debug, Args)]
pub(crate) struct Init {
    /// The folder [default: this one]
    #[arg(value_name = "FOLDER", value_hint = ValueHint::DirPath)]
    pub(crate) folder: Option<PathBuf>,
}

#[derive(Debug, Clone, Args)]
pub(crate) struct OfFile {
    /// The environment file, or a folder with an encamp.toml [default: encamp.toml]
    #[arg(value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub(crate) file: Option<PathBuf>,
    /// Set an input (inputs.version=1.5), or a machine's provider (machines.web.provider=docker)
    #[arg(long = "set", value_name = "KEY=VALUE", value_parser = pair)]
    pub(crate) set: Vec<(String, String)>,
    /// A TOML file with values of inputs (version = "1.5"); --set overrides it
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub(crate) inputs: Option<PathBuf>,
    /// Let secrets stand in `env`, where everybody who may look at the machine sees them
    #[arg(long)]
    pub(crate) allow_visible: bool,
}

impl OfFile {
    /// The options again, for a command to type; each with a space before it.
    pub(crate) fn options(&self) -> String {
        let set = self.set.iter().map(|(key, value)| ("--set ", format!("{key}={value}")));
        let inputs = self.inputs.iter().map(|path| ("--inputs ", path.display().to_string()));
        let mut options = String::new();
        for (option, value) in set.chain(inputs) {
            options.extend([" ", option, &encamp::shell::quote(&value)]);
        }
        if self.allow_visible {
            options.push_str(" --allow-visible");
        }
        options
    }
}

#[derive(Debug, Clone, Args)]
pub(crate) struct Up {
    #[command(flatten)]
    pub(crate) file: OfFile,
    #[command(flatten)]
    pub(crate) waits: Waits,
}

#[derive(Debug, Clone, Args)]
pub(crate) struct Waits {
    /// Wait for hosts that others have, in the order of those who came [default: 30m if no time is given]
    #[arg(long, value_name = "DURATION", num_args = 0..=1, require_equals = true, default_missing_value = "30m", value_parser = crate::moment::span)]
    pub(crate) wait: Option<std::time::Duration>,
}

#[derive(Debug, Clone, Args)]
pub(crate) struct Run {
    #[command(flatten)]
    pub(crate) file: OfFile,
    #[command(flatten)]
    pub(crate) waits: Waits,
    /// Where reports, logs and artifacts go
    #[arg(long, value_name = "DIR", default_value = "encamp-out")]
    pub(crate) out: PathBuf,
    /// Keep the machines until the lease ends
    #[arg(long, value_name = "WHEN", num_args = 0..=1, require_equals = true, default_missing_value = "always")]
    pub(crate) keep: Option<KeepWhen>,
    /// Run it so many times, each on fresh machines; results go to OUT/1, OUT/2 and so on
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=10_000))]
    pub(crate) repeat: Option<u32>,
    /// With --repeat: end with the first run that does not pass
    #[arg(long, requires = "repeat")]
    pub(crate) until_failed: bool,
    /// Open a shell in the machine of the task that failed, before everything is taken down
    #[arg(long)]
    pub(crate) shell_on_failure: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum KeepWhen {
    /// Whatever happens
    Always,
    /// If something fails
    OnFailure,
}

#[derive(Debug, Args)]
pub(crate) struct OfEnvironment {
    /// The environment [default: the one that came from this folder's encamp.toml]
    #[arg(short = 'e', long = "environment", value_name = "NAME", add = ArgValueCompleter::new(completion::environments))]
    pub(crate) environment: Option<String>,
}

#[derive(Debug, Args)]
pub(crate) struct Show {
    /// Look at the machines as well, for 2s at most: who is gone, who ended, which services died
    #[arg(long)]
    pub(crate) live: bool,
    #[command(flatten)]
    pub(crate) of: OfEnvironment,
}

#[derive(Debug, Args)]
pub(crate) struct Down {
    /// Machines or groups that go early; the rest stays [default: the whole environment]
    #[arg(value_name = "MACHINE", add = ArgValueCompleter::new(completion::machines_and_groups))]
    pub(crate) machines: Vec<String>,
    #[command(flatten)]
    pub(crate) of: OfEnvironment,
}

#[derive(Debug, Args)]
pub(crate) struct Extend {
    /// How long from now at least: 90s, 30m, 2h, 1h30m
    #[arg(value_name = "DURATION", value_parser = crate::moment::span)]
    pub(crate) span: std::time::Duration,
    #[command(flatten)]
    pub(crate) of: OfEnvironment,
}

#[derive(Debug, Args)]
pub(crate) struct Explain {
    /// The code [default: list them all]
    #[arg(value_name = "CODE")]
    pub(crate) code: Option<String>,
}

#[derive(Debug, Args)]
pub(crate) struct Completions {
    /// For which shell
    pub(crate) shell: Shell,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Shell {
    Bash,
    Zsh,
    Fish,
}

/// Adds the verb that was meant where two letters were swapped or one is wrong: by clap's measure, short words such as
/// `rnu` are like nothing.
pub(crate) fn suggest(error: &mut clap::Error) {
    let is_suggested = error.get(ContextKind::SuggestedSubcommand).is_some();
    let Some(ContextValue::String(typed)) = error.get(ContextKind::InvalidSubcommand) else {
        return;
    };
    let command = Arguments::command();
    let verbs = command.get_subcommands().map(clap::Command::get_name);
    let near: Vec<String> = verbs.filter(|verb| is_near(typed, verb)).map(str::to_owned).collect();
    if !is_suggested && !near.is_empty() {
        error.insert(ContextKind::SuggestedSubcommand, ContextValue::Strings(near));
    }
}

/// Whether two words differ by one letter, or by two neighbours that are swapped.
fn is_near(one: &str, other: &str) -> bool {
    let (mut one, mut other): (Vec<char>, Vec<char>) = (one.chars().collect(), other.chars().collect());
    for _ in 0..2 {
        // What they end with in common goes; the second time round that is what they began with.
        while one.last().is_some_and(|last| other.last() == Some(last)) {
            one.pop();
            other.pop();
        }
        one.reverse();
        other.reverse();
    }
    match (one.as_slice(), other.as_slice()) {
        ([a, b], [c, d]) => (a, b) == (d, c),
        (one, other) => one.len() <= 1 && other.len() <= 1,
    }
}

fn pair(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((key, value)) if !key.is_empty() => Ok((key.to_owned(), value.to_owned())),
        _ => Err("write it as name=value".into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slip_of_the_fingers_is_near() {
        for (typed, verb) in [
            ("rnu", "run"),
            ("u", "up"),
            ("pu", "up"),
            ("lgs", "logs"),
            ("sho", "show"),
            ("upp", "up"),
        ] {
            assert!(is_near(typed, verb), "{typed} {verb}");
        }
        for (typed, verb) in [("nur", "run"), ("x", "up"), ("gone", "logs"), ("", "up")] {
            assert!(!is_near(typed, verb), "{typed} {verb}");
        }
    }

    #[test]
    fn the_command_is_sound() {
        Arguments::command().debug_assert();
    }
}
