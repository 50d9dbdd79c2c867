//! The shim of a machine: started, and asked to let it run.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use encamp_core::helper::{Role, VARIABLE};
use encamp_core::{Cx, Error, ErrorKind, Result, Retry};
use tokio::io::{AsyncBufReadExt, BufReader};

use super::Host;
use super::ability::helper_missing;
use super::end::SHIM;
use super::host::Sandbox;
use super::talk::Talk;
use crate::error::{io, unknown};
use crate::message::{Answer, Ask, Word};

/// How long a shim may take until it is ready.
const PATIENCE: Duration = Duration::from_secs(30);

/// How often a machine that nobody stands for is given a shim in one call.
const TRIES: u32 = 3;
const BETWEEN: Duration = Duration::from_millis(50);

/// Who stands for a machine now.
enum Raised {
    /// A shim of ours, with the gate closed.
    Ours,
    /// Another one.
    Theirs,
}

impl Host {
    /// A shim for a machine that has none; with the gate closed, nothing of the user's runs.
    pub(super) async fn hold(&self, sandbox: &Sandbox) -> Result<()> {
        for _ in 0..TRIES {
            let sight = self.sight(sandbox)?;
            if sight.shim {
                if self.first_lives(sandbox)? {
                    return Ok(());
                }
                // It ends just now: that may be written down already, but its shim still has the lock.
                self.wait_free(&sandbox.place, SHIM).await?;
                continue;
            }
            if sight.alive && sight.life.is_some() {
                // What is left of a machine whose shim has died.
                self.end_all(sandbox).await?;
            }
            match self.raise(sandbox).await? {
                Raised::Ours => return Ok(()),
                Raised::Theirs => tokio::time::sleep(BETWEEN).await,
            }
        }
        Err(unknown("another process starts or ends this machine just now").of_machine(sandbox.name()))
    }

    /// Lets a machine run, whoever holds it.
    pub(super) async fn release(&self, cx: &Cx, sandbox: &Sandbox) -> Result<()> {
        let before = written(sandbox);
        for _ in 0..TRIES {
            self.hold(sandbox).await?;
            let Some(mut talk) = self.reach(cx, sandbox).await? else {
                continue;
            };
            let asking = async {
                talk.say(&Ask::Go).await?;
                talk.hear().await
            };
            let answer = tokio::time::timeout(cx.remaining().min(PATIENCE), asking).await;
            // Whoever held it may have been killed a moment ago: a connection is reset then, or closed.
            let answer = match answer {
                Ok(Err(error)) if error.kind() == ErrorKind::Unavailable => Ok(Ok(None)),
                answer => answer,
            };
            match answer {
                Ok(Ok(Some(Answer::Going))) => {
                    self.gates().remove(sandbox.key());
                    return Ok(());
                }
                Ok(Ok(Some(Answer::Failed(text)))) => {
                    return Err(Error::new(ErrorKind::Unavailable, text).of_machine(sandbox.name()));
                }
                // The answer was lost, and what it would have said is written down.
                Ok(Ok(None) | Err(_)) if written(sandbox) != before => return Ok(()),
                // It ends just now.
                Ok(Ok(_)) => {
                    self.wait_free(&sandbox.place, SHIM.min(cx.remaining())).await?;
                }
                Ok(Err(error)) => return Err(error.retry(Retry::Unknown)),
                Err(_) => return Err(unknown("the machine did not answer in time")),
            }
        }
        let (shim_log, error) = (sandbox.place.shim_log(), unknown("the machine does not begin to run"));
        Err(with_last_line(error, &shim_log).of_machine(sandbox.name()))
    }

    /// A connection to the first process of a machine that is held; nothing where that has ended meanwhile. One that
    /// begins just now has no socket yet.
    async fn reach(&self, cx: &Cx, sandbox: &Sandbox) -> Result<Option<Talk>> {
        let reaching = async {
            while self.first_lives(sandbox)? {
                if let Ok(talk) = sandbox.talk(&[]) {
                    return Ok(Some(talk));
                }
                tokio::time::sleep(BETWEEN).await;
            }
            Ok(None)
        };
        tokio::time::timeout(SHIM.min(cx.remaining()), reaching)
            .await
            .unwrap_or(Ok(None))
    }

    fn first_lives(&self, sandbox: &Sandbox) -> Result<bool> {
        Ok(self.run(&sandbox.place)?.is_some_and(|run| run.first.lives()))
    }

    async fn raise(&self, sandbox: &Sandbox) -> Result<Raised> {
        let place = &sandbox.place;
        let log = crate::place::private()
            .append(true)
            .create(true)
            .open(place.shim_log())
            .map_err(io(&place.shim_log()))?;
        let asked = self.helper.command(Role::Shim, &place.request());
        let variable = asked.get_envs().find(|(name, _)| *name == VARIABLE);
        let variable = variable
            .and_then(|(_, value)| value)
            .map(ToOwned::to_owned)
            .unwrap_or_default();
        let mut command = tokio::process::Command::from(asked);
        // Nothing of this process reaches the machine by its environment.
        command.env_clear().env(VARIABLE, variable).current_dir("/");
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(log);
        let mut child = command.spawn().map_err(|native| helper_missing(&self.helper, native))?;
        let (gate, said) = (child.stdin.take(), child.stdout.take());
        tokio::spawn(async move { child.wait().await });
        let (Some(gate), Some(said)) = (gate, said) else {
            return Err(Error::new(
                ErrorKind::Internal,
                "the shim was started without its streams",
            ));
        };
        let mut line = String::new();
        let mut said = BufReader::new(said);
        let heard = tokio::time::timeout(PATIENCE, said.read_line(&mut line)).await;
        let word = match heard {
            Ok(Ok(_)) => serde_json::from_str::<Word>(&line).ok(),
            _ => None,
        };
        match word {
            Some(Word::Ready) => {
                self.gates().insert(sandbox.key().to_owned(), gate);
                Ok(Raised::Ours)
            }
            Some(Word::Taken) => Ok(Raised::Theirs),
            Some(Word::Failed(text)) => Err(Error::new(
                ErrorKind::Unavailable,
                format!("the machine cannot be held on this host: {text}"),
            )
            .of_machine(sandbox.name())
            .next_step("encamp doctor")),
            // With the gate it goes, and nothing has run.
            _ => {
                let error = Error::new(ErrorKind::Unavailable, "the shim of the machine did not become ready");
                Err(with_last_line(error, &place.shim_log()).of_machine(sandbox.name()))
            }
        }
    }
}

/// Which writing of its life it is: each is a file of its own.
fn written(sandbox: &Sandbox) -> Option<(u64, i64, i64)> {
    let seen = fs::metadata(sandbox.place.life()).ok()?;
    Some((seen.ino(), seen.mtime(), seen.mtime_nsec()))
}

fn with_last_line(error: Error, log: &Path) -> Error {
    let text = fs::read_to_string(log).unwrap_or_default();
    match text.lines().rfind(|line| !line.trim().is_empty()) {
        Some(line) => error.with("said", line),
        None => error,
    }
}
