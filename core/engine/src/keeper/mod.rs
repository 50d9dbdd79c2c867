//! Keepers: a detached process for each environment, which outlives the command that made it.
//!
//! A keeper watches the tenure of its environment. When a command dies, it ends the environment where that was for one
//! run, and else settles what the command had sent; when the lease ends, it ends the environment. It works by the same
//! tenure and the same journal as any command, so it may die itself at any point: the next command, or the next keeper,
//! goes on. There is one for each environment; whoever comes later adopts it.

mod dismiss;
mod duty;
mod log;
mod reserve;
mod seat;
mod start;
mod watch;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use encamp_core::helper::Helper;
use encamp_core::{EnvId, Error, ErrorKind, Result};
use serde::{Deserialize, Serialize};

use crate::policy::Policy;
pub(crate) use watch::watch;

/// The verb under which a keeper holds a tenure.
pub(crate) const VERB: &str = "keeper";

/// What ends an environment if its command cannot.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case", tag = "by")]
#[non_exhaustive]
pub enum Survival {
    /// A keeper, within seconds.
    Keeper {
        /// Its process.
        pid: u32,
        /// Whether it is in another control group than the command: what kills the command's as a whole spares it.
        apart: bool,
    },
    /// The next command on the state folder, or `gc`.
    NextCommand {
        /// Why there is no keeper; empty where none is wanted.
        why: String,
    },
}

/// What a keeper is told by whoever starts it.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Request {
    /// The version of this.
    format: u32,
    pub(crate) environment: EnvId,
    pub(crate) state: PathBuf,
    pub(crate) runtime: Option<PathBuf>,
    pub(crate) policy: Policy,
    pub(crate) user: String,
}

impl Request {
    pub(crate) fn read(path: &Path) -> Result<Self> {
        let failed = |why: &str| Error::new(ErrorKind::Invalid, format!("{} {why}", path.display()));
        let text = std::fs::read(path).map_err(|e| failed("cannot be read").caused_by(e))?;
        let request: Self =
            serde_json::from_slice(&text).map_err(|e| failed("is no request to keep an environment").caused_by(e))?;
        if request.format != FORMAT {
            return Err(failed("was written by another version"));
        }
        Ok(request)
    }
}

/// The version of [`Request`].
const FORMAT: u32 = 1;

/// Where what a keeper writes and reads lies.
fn folder(state: &Path, environment: &EnvId) -> PathBuf {
    state.join("environments").join(environment.as_str())
}

/// The keepers of one installation.
#[derive(Debug, Clone)]
pub struct Keepers(Option<Arc<Settings>>);

#[derive(Debug)]
struct Settings {
    state: PathBuf,
    runtime: Option<PathBuf>,
    helper: Option<Helper>,
    wanted: bool,
    /// The folder of the user's runtime files, where systemd listens if it is there.
    session: Option<PathBuf>,
}

impl Keepers {
    /// None, and none are started: for simulations.
    pub fn none() -> Self {
        Self(None)
    }

    pub(crate) fn new(
        state: PathBuf,
        runtime: Option<PathBuf>,
        helper: Option<Helper>,
        wanted: bool,
        session: Option<PathBuf>,
    ) -> Self {
        Self(Some(Arc::new(Settings {
            state,
            runtime,
            helper,
            wanted,
            session,
        })))
    }

    /// The process that keeps an environment, if one does.
    pub(crate) fn of(&self, environment: &EnvId) -> Result<Option<u32>> {
        match &self.0 {
            Some(settings) => seat::Seat::of(&settings.state, environment).keeper(),
            None => Ok(None),
        }
    }

    /// Removes what keepers of an environment have left, once nothing speaks of it any more.
    pub(crate) fn forget(&self, environment: &EnvId) {
        let Some(settings) = &self.0 else { return };
        let there = folder(&settings.state, environment);
        let gone = std::fs::remove_dir_all(&there);
        if let Err(error) = gone.and_then(|()| seat::Seat::of(&settings.state, environment).remove()) {
            tracing::debug!(%environment, %error, "nothing of a keeper is there to be removed");
        }
    }

    /// What the keeper of an environment writes.
    pub(crate) fn log(&self, environment: &EnvId) -> Option<PathBuf> {
        Some(log::path(&self.0.as_ref()?.state, environment))
    }
}
