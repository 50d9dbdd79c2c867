//! A program as the keeper of one environment.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use encamp_core::helper::Helper;
use encamp_core::{Ambient, Error, ErrorKind, Kind, Result};

use super::builder::Builder;
use crate::keeper::Request;

/// Plays the keeper that `request` asks for, until its environment is gone. Blocks; returns at once where the environment
/// has a keeper already. What it does stands in the environment's `keeper.log`.
///
/// `kinds` are those that the program knows; their instances are configured as they were when machines were made.
pub fn keep(request: &Path, kinds: Vec<Arc<dyn Kind>>, ambient: Ambient, helper: Option<Helper>) -> Result<()> {
    let request = Request::read(request)?;
    // The signals of the command's terminal and of its process group are not for this one.
    if let Err(error) = rustix::process::setsid() {
        tracing::debug!(%error, "it leads a session already");
    }
    let mut builder = Builder::new()
        .state_dir(&request.state)
        .ambient(ambient)
        .policy(request.policy.clone())
        .user(request.user.clone());
    if let Some(runtime) = &request.runtime {
        builder = builder.runtime_dir(PathBuf::from(runtime));
    }
    if let Some(helper) = helper {
        builder = builder.helper(helper);
    }
    for kind in kinds {
        builder = builder.kind(kind);
    }
    let encamp = builder.open()?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .build()
        .map_err(|e| Error::new(ErrorKind::Internal, "the keeper's runtime cannot be started").caused_by(e))?;
    runtime.block_on(encamp.watch(request))
}
