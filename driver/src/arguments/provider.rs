//! The arguments of `encamp provider`.

use std::path::PathBuf;

use clap::{Args, Subcommand, ValueEnum, ValueHint};

/// What can be done with providers.
#[derive(Debug, Subcommand)]
pub(crate) enum Provider {
    /// List provider instances: kind, version, where it came from, whether it works
    Ls,
    /// Hold a provider to every promise of the contract: held, broken, or not offered
    ///
    /// Makes and destroys machines. For a provider that is not a script, --table says what a plain machine is made of.
    /// With --kill its calls are killed as well, at moments that are spread over the time that they take: another process
    /// makes the call, and it is killed, or for a script the command that it has started. Then the call is repeated, as
    /// encamp does after a crash, and there must be one whole machine, or none and nothing of it.
    Check(CheckProvider),
    /// Write a provider in shell that works, to begin with
    New(NewProvider),
}

#[derive(Debug, Args)]
pub(crate) struct CheckProvider {
    /// The provider instance
    #[arg(value_name = "NAME")]
    pub(crate) name: String,
    /// What a plain machine is made of, as JSON [default: the first example of the kind's schema; `docker` has none]
    #[arg(long, value_name = "JSON")]
    pub(crate) table: Option<String>,
    /// How long a machine may take to run, and to be gone [default: 1m]
    #[arg(long, value_name = "DURATION", value_parser = crate::moment::span)]
    pub(crate) within: Option<std::time::Duration>,
    /// Only promises whose names have this in them, as they are printed or as the report has them
    #[arg(long, value_name = "WORD")]
    pub(crate) only: Option<String>,
    /// Kill calls in the middle as well; takes a few minutes where machines are slow
    #[arg(long)]
    pub(crate) kill: bool,
    /// Make the one call that standard input asks for
    #[arg(long, hide = true)]
    pub(crate) one_call: bool,
}

#[derive(Debug, Args)]
pub(crate) struct NewProvider {
    /// The kind's name
    #[arg(value_name = "NAME")]
    pub(crate) name: String,
    /// The language of it
    #[arg(long, value_enum, default_value_t = Language::Shell)]
    pub(crate) lang: Language,
    /// Where it is written [default: a folder of that name here]
    #[arg(long = "in", value_name = "DIR", value_hint = ValueHint::DirPath)]
    pub(crate) folder: Option<PathBuf>,
}

/// What a provider can be written in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Language {
    /// A script of a POSIX shell.
    Shell,
}
