//! Programs of this host that know what we need not know ourselves.

use std::ffi::OsStr;
use std::process::{Output, Stdio};

use encamp_core::{Ambient, Error, ErrorKind, Result};
use tokio::io::AsyncWriteExt;
use tokio::process::Command;

/// Where there is no `ssh-keygen` or `ssh-keyscan`.
pub(crate) const OPENSSH: &str = "apt-get install openssh-client";
/// What such a program may know of the user.
const VARIABLES: [&str; 3] = ["PATH", "LANG", "LC_ALL"];

/// Runs a program to its end, with that input. `missing` is what to do where there is none.
pub(crate) async fn tool(
    ambient: &Ambient,
    missing: &str,
    program: &str,
    arguments: &[&OsStr],
    input: &[u8],
) -> Result<Output> {
    let lacks = |native| {
        Error::new(ErrorKind::Unsupported, format!("`{program}` cannot be started"))
            .caused_by(native)
            .next_step(missing)
    };
    let mut command = Command::new(program);
    command.args(arguments).env_clear().kill_on_drop(true);
    let known = VARIABLES
        .into_iter()
        .filter_map(|name| Some((name, ambient.variable(name)?)));
    command.envs(known);
    if VARIABLES[1..].iter().all(|name| ambient.variable(name).is_none()) {
        // Some refuse to work where text is not UTF-8.
        command.env("LC_ALL", "C.UTF-8");
    }
    if let Some(home) = ambient.home() {
        command.env("HOME", home);
    }
    command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let mut child = command.spawn().map_err(lacks)?;
    if let Some(mut stdin) = child.stdin.take() {
        // A program that reads nothing has ended; what it says tells why.
        let _ = stdin.write_all(input).await;
    }
    child.wait_with_output().await.map_err(lacks)
}
