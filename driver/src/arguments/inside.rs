//! The arguments of what is done to machines that stand, and inside them.

use clap::Args;
use clap_complete::ArgValueCompleter;
use encamp::spec::ByteSize;

use super::{OfEnvironment, pair};
use crate::completion;

#[derive(Debug, Args)]
pub(crate) struct InMachine {
    /// The machine
    #[arg(add = ArgValueCompleter::new(completion::machines))]
    pub(crate) machine: String,
    #[command(flatten)]
    pub(crate) of: OfEnvironment,
    /// As this user
    #[arg(long, value_name = "USER")]
    pub(crate) user: Option<String>,
}

/// One of the two is MACHINE:PATH; relative paths of machines start from /.
#[derive(Debug, Args)]
pub(crate) struct Cp {
    /// A file or folder, MACHINE:PATH, or - for a tar stream on standard input; with /. at its end what is in the folder
    #[arg(value_name = "FROM", allow_hyphen_values = true, add = ArgValueCompleter::new(completion::machine_paths))]
    pub(crate) from: String,
    /// A path, MACHINE:PATH, or - for a tar stream on standard output
    #[arg(value_name = "TO", allow_hyphen_values = true, add = ArgValueCompleter::new(completion::machine_paths))]
    pub(crate) to: String,
    #[command(flatten)]
    pub(crate) of: OfEnvironment,
    /// The most that is taken from a machine, 2GiB for example [default: 256MiB]
    #[arg(long, value_name = "SIZE", value_parser = size)]
    pub(crate) limit: Option<u64>,
}

#[derive(Debug, Args)]
pub(crate) struct Forward {
    /// The machine
    #[arg(add = ArgValueCompleter::new(completion::machines))]
    pub(crate) machine: String,
    /// A port of the machine, by number or by its name in the file, and the port here [default: a free one]
    #[arg(value_name = "PORT[:LOCAL]", required = true)]
    pub(crate) ports: Vec<String>,
    #[command(flatten)]
    pub(crate) of: OfEnvironment,
}

#[derive(Debug, Args)]
pub(crate) struct Start {
    /// The machines or groups [default: all]
    #[arg(value_name = "MACHINE", add = ArgValueCompleter::new(completion::machines_and_groups))]
    pub(crate) machines: Vec<String>,
    #[command(flatten)]
    pub(crate) of: OfEnvironment,
}

#[derive(Debug, Args)]
pub(crate) struct Sync {
    /// The machines or groups [default: all that have a tree]
    #[arg(value_name = "MACHINE", add = ArgValueCompleter::new(completion::machines_and_groups))]
    pub(crate) machines: Vec<String>,
    #[command(flatten)]
    pub(crate) of: OfEnvironment,
    /// Go on as files change, until Ctrl-C
    #[arg(short = 'w', long)]
    pub(crate) watch: bool,
}

#[derive(Debug, Args)]
pub(crate) struct Stop {
    #[command(flatten)]
    pub(crate) which: Start,
    /// How long its processes have to end, before they are killed
    #[arg(long, value_name = "TIME", default_value = "10s", value_parser = crate::moment::span)]
    pub(crate) grace: std::time::Duration,
}

#[derive(Debug, Args)]
pub(crate) struct Exec {
    /// The machine
    #[arg(add = ArgValueCompleter::new(completion::machines))]
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
    /// The machines or groups [default: all]; a service of them as MACHINE/SERVICE
    #[arg(value_name = "MACHINE", add = ArgValueCompleter::new(completion::machines_and_groups))]
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

/// `512MiB`, `2GiB`, `1GB`.
fn size(text: &str) -> Result<u64, String> {
    let wrong = || format!("`{text}` is no size: write a number with its unit, \"512MiB\" or \"2GiB\"");
    ByteSize::parse(text).map(|size| size.0).ok_or_else(wrong)
}

fn since(text: &str) -> Result<encamp::Time, String> {
    let wrong = |_| {
        format!(
            "`{text}` is neither a length of time (\"90s\", \"10m\", \"1h 30m\") nor a moment \
             (\"2026-05-01T14:30:00Z\")"
        )
    };
    encamp::Time::parse(text).map_or_else(|| crate::moment::span(text).map(crate::moment::ago).map_err(wrong), Ok)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_have_units() {
        assert_eq!(size("2GiB"), Ok(2 << 30));
        assert_eq!(size("5 MB"), Ok(5_000_000));
        for wrong in ["5", "GiB", "-1MiB", "99999999999GiB"] {
            assert!(size(wrong).is_err(), "{wrong}");
        }
    }
}
