//! Starting this program again, in another part.

use std::collections::BTreeMap;
use std::io::{self, Write};
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::Command;

use encamp_core::helper::{Helper, Role};
use rustix::fs::MemfdFlags;

use crate::message::Part;

/// The program itself, wherever its file is, and also where that is out of sight.
const SELF: &str = "/proc/self/exe";

/// The command that starts this program in the part that a request says.
pub(super) fn again(request: &Path) -> Command {
    let mut arguments = std::env::args_os();
    let name = arguments.next();
    let mut command = Helper::new(SELF).arguments(arguments).command(Role::Shim, request);
    if let Some(name) = name {
        command.arg0(name);
    }
    command
}

/// The same for a part that no file says: it lies in memory, and is to be kept until the part has begun.
pub(super) fn as_part(part: &Part, env: &BTreeMap<String, String>) -> io::Result<(Command, OwnedFd)> {
    let memory = rustix::fs::memfd_create("encamp", MemfdFlags::CLOEXEC)?;
    std::fs::File::from(memory.try_clone()?).write_all(&serde_json::to_vec(part)?)?;
    let request = format!("/proc/{}/fd/{}", std::process::id(), memory.as_raw_fd());
    let mut command = again(Path::new(&request));
    // The variable that asks for the part is the command's own.
    let asked: Vec<_> = command
        .get_envs()
        .filter_map(|(name, value)| Some((name.to_owned(), value?.to_owned())))
        .collect();
    command.env_clear().envs(env).envs(asked);
    Ok((command, memory))
}
