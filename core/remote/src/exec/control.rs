//! The handle of a running command.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use encamp_core::{Control, Cx, Error, ErrorKind, Exit, Result, Signal, Size};
use tokio::sync::watch;

use crate::host::Host;
use crate::run::{RunId, Script};

/// How long a signal may take; a connection may have to be made first.
const ASK_TIMEOUT: Duration = Duration::from_secs(30);

pub(super) struct Handle {
    pub(super) host: Arc<Host>,
    /// Another one where the first never began.
    pub(super) run: watch::Receiver<RunId>,
    pub(super) user: Option<String>,
    pub(super) terminal: bool,
    /// A terminal's session is killed with its command, and then nobody is left to say so.
    pub(super) killed: Arc<AtomicBool>,
    pub(super) exit: watch::Receiver<Option<Exit>>,
}

impl Handle {
    fn has_ended(&self) -> bool {
        self.exit.borrow().is_some()
    }

    fn id(&self) -> RunId {
        self.run.borrow().clone()
    }
}

#[async_trait]
impl Control for Handle {
    async fn signal(&mut self, signal: Signal) -> Result<()> {
        if self.has_ended() {
            return Ok(());
        }
        if signal == Signal::Kill {
            self.killed.store(true, Ordering::Release);
        }
        let script = Script::signal(&self.id(), &signal, self.user.as_deref());
        self.host.ask(&Cx::within(ASK_TIMEOUT), &script).await.map(drop)
    }

    async fn resize(&mut self, size: Size) -> Result<()> {
        if !self.terminal {
            return Err(Error::new(ErrorKind::Unsupported, "the command has no terminal"));
        }
        if self.has_ended() {
            return Ok(());
        }
        let script = Script::resize(&self.id(), size);
        self.host.ask(&Cx::within(ASK_TIMEOUT), &script).await.map(drop)
    }

    async fn wait(&mut self) -> Result<Exit> {
        let ended = self.exit.wait_for(Option::is_some).await;
        let exit = ended.ok().and_then(|exit| exit.clone());
        Ok(exit.unwrap_or_else(|| Exit::Lost("nobody attends to the command any more".to_owned())))
    }
}
