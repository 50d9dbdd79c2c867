//! The size of a command's terminal.

use std::time::Duration;

use bollard::exec::ResizeExecOptions;
use encamp_core::{Exit, Result, Size};
use tokio::sync::watch;
use tokio_util::task::AbortOnDropHandle;

use super::Engine;
use crate::error::{Effect, Failure, Place, translate};

/// A terminal that has just been asked for is not there at once.
const TIMEOUT: Duration = Duration::from_secs(10);
const PAUSE: Duration = Duration::from_millis(20);

/// The pauses, in milliseconds, after which a size is told again to an engine that may have lost it. To a terminal that
/// has it already this is nothing, not even a signal; what a program sets itself in this time is undone.
const AGAIN: [u64; 4] = [100, 300, 1000, 3000];

/// The terminal of one command.
pub(super) struct Terminal {
    teller: Teller,
    /// Podman leaves sizes to conmon and does not wait, and a conmon that finds two at once takes the first one twice
    /// (mended by containers/conmon#566, which few hosts have).
    forgets: bool,
    again: Option<AbortOnDropHandle<()>>,
}

impl Terminal {
    /// Of the command with this id at the engine; `exit` tells when it has ended.
    pub(super) fn new(engine: &Engine, id: String, exit: watch::Receiver<Option<Exit>>) -> Self {
        let teller = Teller {
            docker: engine.docker.clone(),
            place: engine.endpoint.place.clone(),
            id,
            exit,
        };
        Self {
            teller,
            forgets: engine.learnt.podman,
            again: None,
        }
    }

    /// Gives it this size.
    pub(super) async fn resize(&mut self, size: Size) -> Result<()> {
        self.again = None;
        self.teller.tell(size).await?;
        if self.forgets {
            let teller = self.teller.clone();
            self.again = Some(AbortOnDropHandle::new(tokio::spawn(teller.tell_again(size))));
        }
        Ok(())
    }
}

#[derive(Clone)]
struct Teller {
    docker: bollard::Docker,
    place: Place,
    id: String,
    exit: watch::Receiver<Option<Exit>>,
}

impl Teller {
    async fn tell(&self, size: Size) -> Result<()> {
        let options = ResizeExecOptions {
            height: size.rows,
            width: size.cols,
        };
        let told = tokio::time::timeout(TIMEOUT, async {
            loop {
                match self.docker.resize_exec(&self.id, options).await {
                    Ok(()) => return Ok(()),
                    // A command that has ended needs no size.
                    Err(_) if self.has_ended().await => return Ok(()),
                    Err(native) if !is_early(&native) => return Err(Failure::from(native)),
                    Err(_) => tokio::time::sleep(PAUSE).await,
                }
            }
        });
        let told = told.await.unwrap_or(Err(Failure::Deadline));
        told.map_err(|failure| translate(failure, Effect::Read, &self.place))
    }

    async fn tell_again(mut self, size: Size) {
        for pause in AGAIN.map(Duration::from_millis) {
            let ended = tokio::time::timeout(pause, self.exit.wait_for(Option::is_some))
                .await
                .is_ok();
            if ended || self.tell(size).await.is_err() {
                return;
            }
        }
    }

    async fn has_ended(&self) -> bool {
        let known = self.exit.borrow().is_some();
        known
            || self
                .docker
                .inspect_exec(&self.id)
                .await
                .is_ok_and(|exec| exec.exit_code.is_some())
    }
}

/// The engine answers before it has started the command, and knows no terminal until then.
fn is_early(native: &bollard::errors::Error) -> bool {
    matches!(native, bollard::errors::Error::DockerResponseServerError { .. })
}
