//! The first process of a command, and the group that it leads.

use std::os::fd::OwnedFd;
use std::time::Duration;

use encamp_core::Exit;
use rustix::process::{Pid, PidfdFlags, Signal, WaitId, WaitIdOptions, WaitIdStatus};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;
use tokio::process::Child;

/// How long the streams of a command that has ended may take: what holds them on is none of its group.
pub(super) const LINGER: Duration = Duration::from_secs(1);

/// What becomes of the group where nobody waits any more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Left {
    Killed,
    Alone,
}

/// It is not reaped before this goes: until then nobody else gets its number, and signals mean its group.
#[derive(Debug)]
pub(super) struct Leader {
    group: Pid,
    end: AsyncFd<OwnedFd>,
    left: Left,
    /// Reaped when it is dropped, after everything else.
    _child: Child,
}

impl Leader {
    pub(super) fn new(mut child: Child, left: Left) -> std::io::Result<Self> {
        let watched = child
            .id()
            .and_then(|pid| Pid::from_raw(i32::try_from(pid).ok()?))
            .ok_or_else(|| std::io::Error::other("it has no number"))
            .and_then(|group| {
                let end = rustix::process::pidfd_open(group, PidfdFlags::NONBLOCK)?;
                #[expect(
                    deprecated,
                    reason = "the other one is unsafe, for the sake of what does not own its descriptor"
                )]
                let end = AsyncFd::with_interest(end, Interest::READABLE)?;
                Ok((group, end))
            });
        match watched {
            Ok((group, end)) => Ok(Self {
                group,
                end,
                left,
                _child: child,
            }),
            Err(error) => {
                child.start_kill()?;
                Err(error)
            }
        }
    }

    /// How it ended, once it has.
    pub(super) async fn ended(&self) -> std::io::Result<Exit> {
        loop {
            let mut ready = self.end.readable().await?;
            match self.look()? {
                Some(exit) => return Ok(exit),
                None => ready.clear_ready(),
            }
        }
    }

    pub(super) fn is_over(&self) -> bool {
        matches!(self.look(), Ok(Some(_)))
    }

    fn look(&self) -> std::io::Result<Option<Exit>> {
        let options = WaitIdOptions::EXITED | WaitIdOptions::NOHANG | WaitIdOptions::NOWAIT;
        let status = rustix::process::waitid(WaitId::Pid(self.group), options)?;
        Ok(status.as_ref().map(exit))
    }

    /// Kills all of its group, and waits a moment for its end.
    pub(super) async fn kill(&self) {
        self.signal(Signal::KILL);
        if tokio::time::timeout(LINGER, self.ended()).await.is_err() {
            tracing::warn!("a command that was killed does not end");
        }
    }

    /// The same of one whose streams are read meanwhile: what it leaves in its group is killed, and what is not read a
    /// moment later is not waited for.
    pub(super) async fn ended_with(&self, streams: impl Future<Output = ()>) -> std::io::Result<Exit> {
        tokio::pin!(streams);
        let (exit, drained) = tokio::select! {
            exit = self.ended() => (exit, false),
            () = streams.as_mut() => (self.ended().await, true),
        };
        self.signal(Signal::KILL);
        if !drained && tokio::time::timeout(LINGER, streams).await.is_err() {
            tracing::debug!("something that a command has started holds its streams");
        }
        exit
    }

    /// To all of its group.
    pub(super) fn signal(&self, signal: Signal) {
        if let Err(error) = rustix::process::kill_process_group(self.group, signal) {
            tracing::debug!(%error, "a command's processes are gone already");
        }
    }
}

impl Drop for Leader {
    fn drop(&mut self) {
        if self.left == Left::Killed {
            self.signal(Signal::KILL);
        }
    }
}

fn exit(status: &WaitIdStatus) -> Exit {
    match (status.exit_status(), status.terminating_signal()) {
        (Some(code), _) => Exit::Code(code),
        (None, Some(signal)) => Exit::Code(128 + signal),
        (None, None) => Exit::Lost("the kernel tells neither a status nor a signal".to_owned()),
    }
}
