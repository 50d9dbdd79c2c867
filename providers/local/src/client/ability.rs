//! What this host allows this user: tried, and not concluded.

use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use encamp_core::helper::{Helper, Role};
use encamp_core::{Cx, Error, ErrorKind, Result, Retry};
use serde::{Deserialize, Serialize};

use super::host::NEW;
use crate::cgroup::Groups;
use crate::convert::Abilities;
use crate::error::io;
use crate::message::{Confinement, Part};
use crate::place::{Place, fresh_name, read_json, remove_tree, write_json};
use crate::process::boot_id;

/// How long one try may take.
const PATIENCE: Duration = Duration::from_secs(20);

/// What was found out about name spaces, kept for as long as this host is up where everything is allowed: what is refused
/// may be allowed an hour later.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct Found {
    boot: String,
    user: u32,
    version: String,
    processes: Result<(), String>,
    overlay: Result<(), String>,
}

/// What was found out since this host was started; found out now where nothing was.
pub(super) async fn known(cx: &Cx, root: &Path, helper: &Helper) -> Result<Abilities> {
    let boot = boot_id().map_err(io(Path::new("/proc")))?;
    let kept: Option<Found> = read_json(&root.join(FILE)).unwrap_or_default();
    match kept {
        Some(found) if found.boot == boot && found.user == user() && found.version == VERSION => Ok(with_groups(found)),
        _ => fresh(cx, root, helper).await.or_else(unknown),
    }
}

/// Where there is no room to find it out, machines can still be removed, which makes room. What is not known is believed:
/// a machine that is made nevertheless fails where it is not so, and is never given less.
fn unknown(error: Error) -> Result<Abilities> {
    if error.kind() != ErrorKind::Capacity {
        return Err(error);
    }
    tracing::debug!(%error, "what machines can be on this host is not known");
    Ok(Abilities {
        root: user() == 0,
        groups: Groups::of_this_host(),
        processes: Ok(()),
        overlay: Ok(()),
    })
}

impl Found {
    fn is_everything(&self) -> bool {
        self.processes.is_ok() && self.overlay.is_ok()
    }
}

const FILE: &str = ".abilities.json";
const VERSION: &str = env!("CARGO_PKG_VERSION");

fn user() -> u32 {
    rustix::process::geteuid().as_raw()
}

fn with_groups(found: Found) -> Abilities {
    Abilities {
        root: user() == 0,
        groups: Groups::of_this_host(),
        processes: found.processes,
        overlay: found.overlay,
    }
}

/// Found out now.
pub(super) async fn fresh(cx: &Cx, root: &Path, helper: &Helper) -> Result<Abilities> {
    let (processes, overlay) = match probe(cx, root, helper, true, true).await? {
        Ok(()) => (Ok(()), Ok(())),
        Err(_) => (
            probe(cx, root, helper, true, false).await?,
            probe(cx, root, helper, false, true).await?,
        ),
    };
    let found = Found {
        boot: boot_id().map_err(io(Path::new("/proc")))?,
        user: user(),
        version: VERSION.to_owned(),
        processes,
        overlay,
    };
    let file = root.join(FILE);
    if found.is_everything() {
        // What is not kept is found out again.
        if let Err(error) = write_json(&file, &found) {
            tracing::debug!(%error, file = %file.display(), "what this host allows is not kept");
        }
    } else if let Err(error) = std::fs::remove_file(&file)
        && error.kind() != std::io::ErrorKind::NotFound
    {
        return Err(io(&file)(error));
    }
    Ok(with_groups(found))
}

/// Tries it. The outer error is the helper's, which cannot be started or does not answer: what this host allows is not
/// known then, and a machine must not be given less for that.
async fn probe(cx: &Cx, root: &Path, helper: &Helper, processes: bool, overlay: bool) -> Result<Result<(), String>> {
    let name = fresh_name().map_err(io(root))?;
    let place = Place::new(root.join(format!("{NEW}{name}")));
    crate::place::private_folder(&place.folder).map_err(io(&place.folder))?;
    let _lock = place.take().map_err(io(&place.lock()))?;
    let tried = attempt(cx, &place, helper, processes, overlay).await;
    if let Err(error) = remove_tree(&place.folder) {
        tracing::debug!(%error, "a probe's folder stays");
    }
    tried
}

async fn attempt(
    cx: &Cx,
    place: &Place,
    helper: &Helper,
    processes: bool,
    overlay: bool,
) -> Result<Result<(), String>> {
    place.furnish().map_err(io(&place.folder))?;
    let cage = Confinement {
        users: user() != 0,
        processes,
        overlay,
    };
    let part = Part::Probe {
        folder: place.folder.clone(),
        cage,
    };
    write_json(&place.request(), &part).map_err(io(&place.request()))?;
    let mut command = tokio::process::Command::from(helper.command(Role::Shim, &place.request()));
    command
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .kill_on_drop(true);
    let running = tokio::time::timeout(PATIENCE.min(cx.remaining()), command.output());
    let output = match running.await {
        Ok(output) => output.map_err(|native| helper_missing(helper, native))?,
        Err(_) => return Err(silent(helper)),
    };
    if output.status.success() {
        return Ok(Ok(()));
    }
    let said = String::from_utf8_lossy(&output.stderr);
    let last = said
        .lines()
        .rfind(|line| !line.trim().is_empty())
        .unwrap_or("it says nothing");
    Ok(Err(last.to_owned()))
}

fn silent(helper: &Helper) -> Error {
    let text = "the program that finds out what machines can be on this host did not answer in time";
    Error::new(ErrorKind::Unavailable, text)
        .retry(Retry::Safe)
        .with("program", helper.shim_program().display())
        .next_step("try again when this host has less to do")
}

/// The helper that cannot be started: it was removed since.
pub(super) fn helper_missing(helper: &Helper, native: std::io::Error) -> Error {
    Error::new(
        ErrorKind::Unavailable,
        "the program that stands for machines cannot be started",
    )
    .with("program", helper.shim_program().display())
    .next_step("it may have been replaced while this program ran: try again")
    .caused_by(native)
}
