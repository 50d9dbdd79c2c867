//! What this host allows this user: tried, and not concluded.

use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use encamp_core::helper::{Helper, Role};
use encamp_core::{Cx, Error, ErrorKind, Result};
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

/// What was found out about name spaces, kept for as long as this host is up.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct Found {
    boot: String,
    user: u32,
    version: String,
    processes: Result<(), String>,
    overlay: Result<(), String>,
}

/// What was found out since this host was started; found out now where nothing was.
pub(super) async fn known(_: &Cx, root: &Path, helper: &Helper) -> Result<Abilities> {
    let boot = boot_id().map_err(io(Path::new("/proc")))?;
    let kept: Option<Found> = read_json(&root.join(FILE)).unwrap_or_default();
    match kept {
        Some(found) if found.boot == boot && found.user == user() && found.version == VERSION => Ok(with_groups(found)),
        _ => fresh(root, helper).await,
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
pub(super) async fn fresh(root: &Path, helper: &Helper) -> Result<Abilities> {
    let (processes, overlay) = match probe(root, helper, true, true).await? {
        Ok(()) => (Ok(()), Ok(())),
        Err(_) => (
            probe(root, helper, true, false).await?,
            probe(root, helper, false, true).await?,
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
    write_json(&file, &found).map_err(io(&file))?;
    Ok(with_groups(found))
}

/// Tries it. The outer error is the helper's, which cannot be started.
async fn probe(root: &Path, helper: &Helper, processes: bool, overlay: bool) -> Result<Result<(), String>> {
    let name = fresh_name().map_err(io(root))?;
    let place = Place::new(root.join(format!("{NEW}{name}")));
    crate::place::private_folder(&place.folder).map_err(io(&place.folder))?;
    let _lock = place.take().map_err(io(&place.lock()))?;
    let tried = attempt(&place, helper, processes, overlay).await;
    if let Err(error) = remove_tree(&place.folder) {
        tracing::debug!(%error, "a probe's folder stays");
    }
    tried
}

async fn attempt(place: &Place, helper: &Helper, processes: bool, overlay: bool) -> Result<Result<(), String>> {
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
    let running = tokio::time::timeout(PATIENCE, command.output());
    let output = match running.await {
        Ok(output) => output.map_err(|native| helper_missing(helper, native))?,
        Err(_) => return Ok(Err("it did not answer in time".to_owned())),
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

/// The helper that cannot be started: it was removed since.
pub(super) fn helper_missing(helper: &Helper, native: std::io::Error) -> Error {
    Error::new(
        ErrorKind::Unavailable,
        "the program that stands for machines cannot be started",
    )
    .with("program", helper.program().display())
    .next_step("it may have been replaced while this program ran: try again")
    .caused_by(native)
}
