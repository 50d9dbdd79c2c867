//! Signals to the processes of a command, which the engine's interface has no call for.
//!
//! A second command, `sh` with a script of builtins, finds everything that the first one started and signals it.
//! It has no more rights than the first: no capability is added to it, because the image's own `sh` runs it.

use std::time::Duration;

use bollard::Docker;
use bollard::exec::{StartExecOptions, StartExecResults};
use bollard::models::ExecConfig;
use encamp_core::{Error, ErrorKind, Result, Retry, Signal};
use futures_util::StreamExt;

use super::exec::MARK;
use crate::error::{Effect, Failure, Place, translate};

const SCRIPT: &str = include_str!("signals.sh");

/// How long one pass may take.
const PASS_TIMEOUT: Duration = Duration::from_secs(20);

/// Users that processes of one command may have.
const MAX_USERS: usize = 8;

/// Root sees its own processes and may signal those of others.
const ROOT: &str = "0:0";

/// What one pass told.
#[derive(Debug, Default, PartialEq, Eq)]
struct Pass {
    /// There were some.
    found: bool,
    /// Processes that are still there after KILL.
    left: u32,
    /// `uid:gid` of processes that this pass could not look into.
    owners: Vec<String>,
}

/// Sends a signal to every process of the command with this mark. Whether there was one.
pub(super) async fn send(docker: &Docker, place: &Place, container: &str, mark: &str, signal: &Signal) -> Result<bool> {
    let mark = format!("{MARK}={mark}");
    let mut users = vec![ROOT.to_owned()];
    let mut asked = 0;
    let (mut found, mut stubborn) = (false, false);
    while let Some(user) = users.get(asked) {
        asked += 1;
        let Some(pass) = pass(docker, place, container, &mark, signal, user).await? else {
            return Ok(found);
        };
        found |= pass.found;
        stubborn |= pass.left > 0;
        for owner in pass.owners {
            if !users.contains(&owner) && users.len() < MAX_USERS {
                users.push(owner);
            }
        }
    }
    if stubborn {
        // What one user could not end another may have.
        let left = pass(docker, place, container, &mark, signal, ROOT)
            .await?
            .map_or(0, |pass| pass.left);
        if left > 0 {
            let text = format!("{left} processes of the command could not be killed");
            return Err(Error::new(ErrorKind::Unavailable, text).retry(Retry::Safe));
        }
    }
    Ok(found)
}

/// One pass as one user; none where the machine does not run, so that there is nothing to signal.
async fn pass(
    docker: &Docker,
    place: &Place,
    container: &str,
    mark: &str,
    signal: &Signal,
    user: &str,
) -> Result<Option<Pass>> {
    let cmd = ["sh", "-c", SCRIPT, "sh", mark, signal.as_str()];
    let config = ExecConfig {
        attach_stdout: Some(true),
        attach_stderr: Some(true),
        cmd: Some(cmd.map(str::to_owned).into()),
        user: Some(user.to_owned()),
        working_dir: Some("/".to_owned()),
        ..ExecConfig::default()
    };
    let ran = tokio::time::timeout(PASS_TIMEOUT, run(docker, container, config)).await;
    let (text, code) = match ran.unwrap_or(Err(Failure::Deadline)) {
        Ok(ran) => ran,
        Err(failure) if failure.status() == Some(404) => return Ok(None),
        Err(failure) if failure.text().contains("is not running") => return Ok(None),
        Err(failure) => return Err(translate(failure, Effect::Change, place)),
    };
    match (read_pass(&text), code) {
        (Some(pass), _) => Ok(Some(pass)),
        (None, 126 | 127) => Err(Error::new(
            ErrorKind::Unsupported,
            "the machine's image has no `sh`, so that its commands cannot be signalled",
        )
        .next_step("use an image with a shell; until then, stopping the machine ends its commands")
        .caused_by(text)),
        // The machine ended under it.
        (None, 137) => Ok(None),
        (None, _) => Err(
            Error::new(ErrorKind::Internal, "the processes of the command could not be found")
                .retry(Retry::Unknown)
                .with("status", code)
                .caused_by(text),
        ),
    }
}

async fn run(docker: &Docker, container: &str, config: ExecConfig) -> Result<(String, i64), Failure> {
    let id = docker.create_exec(container, config).await?.id;
    let mut text = Vec::new();
    if let StartExecResults::Attached { mut output, .. } = docker.start_exec(&id, None::<StartExecOptions>).await? {
        while let Some(part) = output.next().await {
            text.extend_from_slice(&part?.into_bytes());
        }
    }
    let mut exec = docker.inspect_exec(&id).await?;
    while exec.running == Some(true) {
        tokio::time::sleep(Duration::from_millis(5)).await;
        exec = docker.inspect_exec(&id).await?;
    }
    Ok((
        String::from_utf8_lossy(&text).into_owned(),
        exec.exit_code.unwrap_or(-1),
    ))
}

/// The script ends with `left N`; without that it did not run to its end.
fn read_pass(text: &str) -> Option<Pass> {
    let mut pass = Pass::default();
    let mut ended = false;
    for line in text.lines() {
        if let Some(owner) = line.strip_prefix("owner ") {
            let owner = owner.trim().to_owned();
            if !pass.owners.contains(&owner) {
                pass.owners.push(owner);
            }
        } else if line == "found" {
            pass.found = true;
        } else if let Some(left) = line.strip_prefix("left ") {
            pass.left = left.trim().parse().ok()?;
            ended = true;
        }
    }
    ended.then_some(pass)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pass_that_did_not_end_says_nothing() {
        assert_eq!(read_pass("owner 1:1\n"), None);
        let pass = read_pass("owner 1:1\nowner 1:1\nleft 2\n").unwrap();
        assert_eq!((pass.left, pass.owners), (2, vec!["1:1".to_owned()]));
    }
}
