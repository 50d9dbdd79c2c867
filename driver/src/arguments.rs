//! What can be typed.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};

use crate::variables::TABLE;
use crate::words;

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

const AFTER: &str =
    "Exit codes: 0 all well · 1 a task failed · 2 the file, settings or usage are wrong · 3 a provider failed
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
    /// Bring an environment up, run its stages, collect results, take it down
    Run(Run),
    /// Bring an environment to what its file says, and keep it
    Up(OfFile),
    /// Take an environment down
    Down(OfEnvironment),
    /// List environments
    Ls,
    /// Show an environment: machines, addresses, outputs
    Show(OfEnvironment),
    /// Run a command in a machine
    Exec(Exec),
    /// Print what machines have said
    Logs(Logs),
    /// Dispose of everything that is due, on every site that was ever used
    Gc,
}

impl Verb {
    pub(crate) fn as_str(&self) -> &'static str {
        match self {
            Self::Run(_) => "run",
            Self::Up(_) => "up",
            Self::Down(_) => "down",
            Self::Ls => "ls",
            Self::Show(_) => "show",
            Self::Exec(_) => "exec",
            Self::Logs(_) => "logs",
            Self::Gc => "gc",
        }
    }

    /// The environment file that was named.
    pub(crate) fn file(&self) -> Option<&PathBuf> {
        match self {
            Self::Run(Run { file, .. }) | Self::Up(file) => file.file.as_ref(),
            _ => None,
        }
    }
}

#[derive(Debug, Args)]
pub(crate) struct OfFile {
    /// The environment file, or a folder with an encamp.toml [default: encamp.toml]
    #[arg(value_name = "FILE")]
    pub(crate) file: Option<PathBuf>,
    /// Set an input (inputs.version=1.5), or a machine's provider (machines.web.provider=docker)
    #[arg(long = "set", value_name = "KEY=VALUE", value_parser = pair)]
    pub(crate) set: Vec<(String, String)>,
}

#[derive(Debug, Args)]
pub(crate) struct Run {
    #[command(flatten)]
    pub(crate) file: OfFile,
    /// Where reports, logs and artifacts go
    #[arg(long, value_name = "DIR", default_value = "encamp-out")]
    pub(crate) out: PathBuf,
    /// Keep the machines until the lease ends
    #[arg(long, value_name = "WHEN", num_args = 0..=1, require_equals = true, default_missing_value = "always")]
    pub(crate) keep: Option<KeepWhen>,
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
    #[arg(short = 'e', long = "environment", value_name = "NAME")]
    pub(crate) environment: Option<String>,
}

#[derive(Debug, Args)]
pub(crate) struct Exec {
    /// The machine
    pub(crate) machine: String,
    #[command(flatten)]
    pub(crate) of: OfEnvironment,
    /// As this user
    #[arg(long, value_name = "USER")]
    pub(crate) user: Option<String>,
    /// In this folder
    #[arg(long, value_name = "DIR")]
    pub(crate) cwd: Option<String>,
    /// Add a variable
    #[arg(long = "env", value_name = "NAME=VALUE", value_parser = pair)]
    pub(crate) env: Vec<(String, String)>,
    /// With a terminal [default: where standard input and output are one]
    #[arg(short = 't', long, overrides_with = "no_tty")]
    pub(crate) tty: bool,
    /// Without a terminal
    #[arg(short = 'T', long, overrides_with = "tty")]
    pub(crate) no_tty: bool,
    /// Pass standard input on although it is a terminal
    #[arg(short = 'i', long)]
    pub(crate) stdin: bool,
    /// The command and its arguments
    #[arg(last = true, required = true, value_name = "COMMAND")]
    pub(crate) command: Vec<String>,
}

#[derive(Debug, Args)]
pub(crate) struct Logs {
    /// The machines [default: all]
    #[arg(value_name = "MACHINE")]
    pub(crate) machines: Vec<String>,
    #[command(flatten)]
    pub(crate) of: OfEnvironment,
    /// Go on as more is said
    #[arg(short = 'f', long)]
    pub(crate) follow: bool,
    /// From so long ago on (10m), or from a moment on (RFC 3339)
    #[arg(long, value_name = "WHEN", value_parser = since)]
    pub(crate) since: Option<encamp::Time>,
    /// The last so many lines of each machine
    #[arg(long, value_name = "LINES")]
    pub(crate) tail: Option<u32>,
}

fn pair(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((key, value)) if !key.is_empty() => Ok((key.to_owned(), value.to_owned())),
        _ => Err("write it as name=value".into()),
    }
}

fn since(text: &str) -> Result<encamp::Time, String> {
    encamp::Time::parse(text).map_or_else(|| crate::moment::span(text).map(crate::moment::ago), Ok)
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_command_is_sound() {
        Arguments::command().debug_assert();
    }
}
