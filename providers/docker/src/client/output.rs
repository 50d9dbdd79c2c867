//! The output of a command, and how it ended.

use std::pin::Pin;
use std::time::Duration;

use bollard::Docker;
use bollard::container::LogOutput;
use encamp_core::Exit;
use futures_util::{Stream, StreamExt};
use tokio::io::{AsyncWriteExt, DuplexStream};
use tokio::sync::watch;

use super::refusal;

/// The output of a command as the engine sends it.
type Output = Pin<Box<dyn Stream<Item = Result<LogOutput, bollard::errors::Error>> + Send>>;

/// The stream can stay open after the command has ended, so its end is asked for as well.
const FIRST_LOOK: Duration = Duration::from_millis(500);
const LAST_LOOK: Duration = Duration::from_secs(5);

/// How long a stream may be silent after the command has ended before it is given up.
const DRAIN: Duration = Duration::from_secs(1);

/// Between the end of the output and the moment at which the engine knows the status.
const FIRST_STATUS: Duration = Duration::from_millis(2);
const LAST_STATUS: Duration = Duration::from_secs(1);

/// How long one look may take, and how many may fail in a row before the command is lost from sight.
const LOOK_TIMEOUT: Duration = Duration::from_secs(10);
const FAILED_LOOKS: u32 = 8;

/// Attends to one command until it has ended.
pub(super) struct Attendant {
    docker: Docker,
    id: String,
    told: watch::Sender<Option<Exit>>,
    failed_looks: u32,
}

impl Attendant {
    pub(super) fn new(docker: Docker, id: String, told: watch::Sender<Option<Exit>>) -> Self {
        Self {
            docker,
            id,
            told,
            failed_looks: 0,
        }
    }

    /// Hands the output on, with the readers' own pace, and then tells how the command ended.
    pub(super) async fn attend(mut self, output: Output, stdout: DuplexStream, stderr: Option<DuplexStream>) {
        self.hand_on(output, stdout, stderr).await;
        let mut pause = FIRST_STATUS;
        while self.told.borrow().is_none() {
            self.look(false).await;
            if self.told.borrow().is_none() {
                tokio::time::sleep(pause).await;
                pause = (pause * 2).min(LAST_STATUS);
            }
        }
    }

    async fn hand_on(&mut self, mut output: Output, stdout: DuplexStream, stderr: Option<DuplexStream>) {
        let mut out = Some(stdout);
        let mut err = stderr;
        let mut look_after = FIRST_LOOK;
        let mut begun = false;
        loop {
            let ended = self.told.borrow().is_some();
            let silence = if ended { DRAIN } else { look_after };
            tokio::select! {
                // What is there comes before the time in which nothing came.
                biased;
                next = output.next() => match next {
                    Some(Ok(LogOutput::StdErr { message })) => {
                        let first = !std::mem::replace(&mut begun, true);
                        match first.then(|| refusal::of_format(&message)).flatten() {
                            Some(plain) => write(&mut err, plain.as_bytes()).await,
                            None => write(&mut err, &message).await,
                        }
                    }
                    Some(Ok(other)) => {
                        let bytes = other.into_bytes();
                        let first = !std::mem::replace(&mut begun, true);
                        match first.then(|| refusal::of(&bytes)).flatten() {
                            Some(plain) if !self.started().await => {
                                let end = if err.is_some() { &mut err } else { &mut out };
                                write(end, plain.as_bytes()).await;
                            }
                            _ => write(&mut out, &bytes).await,
                        }
                    }
                    Some(Err(error)) => {
                        tracing::debug!(exec = self.id, %error, "the output of a command broke off");
                        return;
                    }
                    None => return,
                },
                () = tokio::time::sleep(silence) => {
                    if ended {
                        return;
                    }
                    self.look(true).await;
                    look_after = (look_after * 3 / 2).min(LAST_LOOK);
                }
            }
        }
    }

    /// Tells the exit, once the engine knows it or can no longer be asked.
    async fn look(&mut self, output_is_open: bool) {
        let seen = tokio::time::timeout(LOOK_TIMEOUT, self.docker.inspect_exec(&self.id)).await;
        let exit = match seen {
            Ok(Ok(exec)) if exec.running == Some(true) => {
                self.failed_looks = 0;
                return;
            }
            Ok(Ok(exec)) => match exec.exit_code.map(i32::try_from) {
                Some(Ok(code)) => Exit::Code(code),
                // It is not started yet: the engine opens the stream first.
                _ if output_is_open => return,
                _ => return self.failed("the engine kept no exit status".to_owned()),
            },
            Ok(Err(error @ bollard::errors::Error::DockerResponseServerError { status_code: 404, .. })) => {
                Exit::Lost(error.to_string())
            }
            Ok(Err(error)) => return self.failed(error.to_string()),
            Err(_) => return self.failed("the engine did not answer".to_owned()),
        };
        self.told.send_replace(Some(exit));
    }

    fn failed(&mut self, how: String) {
        self.failed_looks += 1;
        if self.failed_looks >= FAILED_LOOKS {
            self.told.send_replace(Some(Exit::Lost(how)));
        }
    }

    async fn started(&self) -> bool {
        let seen = self.docker.inspect_exec(&self.id).await;
        seen.map_or(true, |exec| exec.pid.is_some_and(|pid| pid != 0))
    }
}

/// A reader that has gone away wants nothing more; the rest is read and dropped, so that the command goes on.
async fn write(end: &mut Option<DuplexStream>, bytes: &[u8]) {
    if let Some(open) = end
        && open.write_all(bytes).await.is_err()
    {
        *end = None;
    }
}
