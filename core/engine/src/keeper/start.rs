//! Starting a keeper, and seeing that it is there before anything is made.

use std::fs::{self, DirBuilder};
use std::os::unix::fs::DirBuilderExt;
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use encamp_core::helper::{Helper, Role};
use encamp_core::{EnvId, Error, ErrorKind, Report, Result};
use tokio::process::{Child, Command};

use super::dismiss::dismiss;
use super::seat::Seat;
use super::{FORMAT, Keepers, Request, Settings, Survival, folder, log};
use crate::camp::Camp;
use crate::clock::monotonic_now as now;

/// How long a keeper has to sit down. One that dies is seen at once; this is for one that a busy machine lets wait.
const PATIENCE: Duration = Duration::from_secs(30);
/// The same where systemd starts it, which may not answer.
const PATIENCE_SCOPE: Duration = Duration::from_secs(5);
/// How often somebody looks.
const GLANCE: Duration = Duration::from_millis(5);

impl Keepers {
    /// Sees to it that an environment has a keeper: the one that is there, or a new one. Where none can be had, nothing
    /// is an error: the answer says who ends the environment instead.
    pub(crate) async fn ensure(&self, camp: &Camp, environment: &EnvId) -> Survival {
        let Some(settings) = self.0.as_ref().filter(|settings| settings.wanted) else {
            return without("");
        };
        match settings.ensure(camp, environment).await {
            Ok(pid) => Survival::Keeper {
                pid,
                apart: is_apart(pid),
            },
            Err(error) => without(&Report(&error).to_string()),
        }
    }
}

fn without(why: &str) -> Survival {
    Survival::NextCommand { why: why.to_owned() }
}

impl Settings {
    async fn ensure(&self, camp: &Camp, environment: &EnvId) -> Result<u32> {
        let seat = Seat::of(&self.state, environment);
        if let Some(pid) = seat.keeper()? {
            if seat.knows_the_store()? {
                return Ok(pid);
            }
            dismiss(&seat).await?;
        }
        let Some(helper) = &self.helper else {
            return Err(Error::new(
                ErrorKind::Unsupported,
                "no program was named that could be one",
            ));
        };
        self.write_request(camp, environment)?;
        if let Some(scope) = self.scope(helper, environment)
            && let Ok(pid) = self.sit_down(scope, PATIENCE_SCOPE, &seat, environment).await
        {
            return Ok(pid);
        }
        let command = self.command(helper, environment);
        self.sit_down(command, PATIENCE, &seat, environment).await
    }

    fn write_request(&self, camp: &Camp, environment: &EnvId) -> Result<()> {
        let request = Request {
            format: FORMAT,
            environment: environment.clone(),
            state: self.state.clone(),
            runtime: self.runtime.clone(),
            policy: camp.policy.clone(),
            user: camp.user.clone(),
        };
        let there = folder(&self.state, environment);
        let failed = |e: std::io::Error| {
            Error::new(ErrorKind::Unavailable, format!("{} cannot be written", there.display())).caused_by(e)
        };
        let text = serde_json::to_vec(&request)
            .map_err(|e| Error::new(ErrorKind::Internal, "a request cannot be written").caused_by(e))?;
        DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(&there)
            .map_err(failed)?;
        fs::write(there.join("keeper.json"), text).map_err(failed)
    }

    fn command(&self, helper: &Helper, environment: &EnvId) -> Command {
        Command::from(helper.command(Role::Keeper, &folder(&self.state, environment).join("keeper.json")))
    }

    /// In a scope of its own under the user's systemd, where there is one: that outlives the session.
    fn scope(&self, helper: &Helper, environment: &EnvId) -> Option<Command> {
        let session = self
            .session
            .as_ref()
            .filter(|folder| folder.join("systemd/private").exists())?;
        let inner = helper.command(Role::Keeper, &folder(&self.state, environment).join("keeper.json"));
        let mut command = Command::new("systemd-run");
        command
            .args(["--user", "--scope", "--quiet", "--collect", "--"])
            .arg(inner.get_program())
            .args(inner.get_args())
            .env("XDG_RUNTIME_DIR", session);
        for (name, value) in inner.get_envs() {
            if let Some(value) = value {
                command.env(name, value);
            }
        }
        Some(command)
    }

    /// Starts it and waits until it sits there.
    async fn sit_down(
        &self,
        mut command: Command,
        patience: Duration,
        seat: &Seat,
        environment: &EnvId,
    ) -> Result<u32> {
        let said = log::open(&self.state, environment)?;
        let failed = |e| Error::new(ErrorKind::Unavailable, "the keeper could not be started").caused_by(e);
        let mut child = command
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(said)
            .current_dir("/")
            .spawn()
            .map_err(failed)?;
        let began = now();
        while began.elapsed() < patience {
            if let Some(pid) = seat.keeper()? {
                return Ok(pid);
            }
            if let Some(ended) = ended(&mut child) {
                // Somebody else's may have been faster.
                return seat.keeper()?.ok_or_else(|| self.gone(&ended, environment));
            }
            tokio::time::sleep(GLANCE).await;
        }
        let _ = child.start_kill();
        Err(self.gone(&format!("it was not there within {patience:?}"), environment))
    }

    fn gone(&self, why: &str, environment: &EnvId) -> Error {
        let log = log::path(&self.state, environment);
        Error::new(ErrorKind::Unavailable, format!("the keeper did not stay: {why}")).with("log", log.display())
    }
}

fn ended(child: &mut Child) -> Option<String> {
    match child.try_wait() {
        Ok(None) => None,
        Ok(Some(status)) => Some(status.to_string()),
        Err(error) => Some(error.to_string()),
    }
}

/// Whether a process is in another control group than this one.
fn is_apart(pid: u32) -> bool {
    let group = |of: &str| fs::read_to_string(Path::new("/proc").join(of).join("cgroup")).ok();
    match (group(&pid.to_string()), group("self")) {
        (Some(theirs), Some(ours)) => theirs != ours,
        _ => false,
    }
}
