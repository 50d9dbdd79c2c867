//! Commands in containers.

use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use async_trait::async_trait;
use bollard::exec::{StartExecOptions, StartExecResults};
use bollard::models::ExecConfig;
use encamp_core::{BoxWrite, Control, Cx, Error, ErrorKind, Exec, Exit, Process, Result, Signal, Size};
use tokio::io::{AsyncWrite, AsyncWriteExt};
use tokio::sync::watch;

use super::output::Attendant;
use super::terminal::Terminal;
use super::{Engine, signals};
use crate::error::{Effect, Place};

/// The variable by which the processes of one command are found again: children inherit it.
pub(super) const MARK: &str = "ENCAMP_EXEC";

/// What a stream holds between the engine and a reader that is slower.
const PIPE_BYTES: usize = 64 * 1024;

/// The engine answers before it has started a command, and a signal may come before there is a process.
const BEGIN: Duration = Duration::from_secs(10);
const BEGIN_PAUSE: Duration = Duration::from_millis(20);

impl Engine {
    /// Runs a command.
    pub(crate) async fn exec(&self, cx: &Cx, request: Exec) -> Result<Process> {
        if request.argv.is_empty() {
            return Err(Error::new(ErrorKind::Invalid, "there is no command to run"));
        }
        let container = self.address(cx, &request.target).await?;
        let mark = fresh_mark()?;
        let (size, with_stdin) = (request.tty, request.stdin);
        let made = self
            .read(cx, self.docker.create_exec(&container, config(request, &mark)))
            .await;
        let id = made.map_err(|failure| self.failed(failure, Effect::Read))?.id;
        let options = StartExecOptions {
            detach: false,
            tty: size.is_some(),
            output_capacity: None,
        };
        let started = self.change(cx, self.docker.start_exec(&id, Some(options))).await;
        let started = started.map_err(|failure| self.failed(failure, Effect::Change))?;
        let StartExecResults::Attached { output, input } = started else {
            return Err(Error::new(
                ErrorKind::Internal,
                "the engine started the command without its streams",
            ));
        };
        let pipe = || tokio::io::duplex(PIPE_BYTES);
        let (stdout, stdout_end) = pipe();
        let (stderr, stderr_end) = size.is_none().then(pipe).unzip();
        let (told, exit) = watch::channel(None);
        tokio::spawn(Attendant::new(self.docker.clone(), id.clone(), told).attend(output, stdout_end, stderr_end));
        let mut control = Handle {
            docker: self.docker.clone(),
            place: self.endpoint.place.clone(),
            container,
            mark,
            terminal: Terminal::new(self, id, exit.clone()),
            exit,
            begins: Cx::within(BEGIN),
        };
        if let Some(size) = size {
            control.resize(size).await?;
        }
        Ok(Process {
            stdin: with_stdin.then(|| Box::pin(Input(Some(input))) as BoxWrite),
            stdout: Box::pin(stdout),
            stderr: stderr.map(|stderr| Box::pin(stderr) as encamp_core::BoxRead),
            control: Box::new(control),
        })
    }
}

fn config(request: Exec, mark: &str) -> ExecConfig {
    let mut env: Vec<_> = request
        .env
        .iter()
        .map(|(name, value)| format!("{name}={value}"))
        .collect();
    env.push(format!("{MARK}={mark}"));
    ExecConfig {
        attach_stdin: Some(request.stdin),
        attach_stdout: Some(true),
        attach_stderr: Some(true),
        tty: Some(request.tty.is_some()),
        env: Some(env),
        cmd: Some(request.argv),
        user: request.user,
        working_dir: request.cwd,
        ..ExecConfig::default()
    }
}

fn fresh_mark() -> Result<String> {
    let mut bytes = [0_u8; 16];
    getrandom::fill(&mut bytes).map_err(|native| {
        Error::new(ErrorKind::Internal, "the host gives no randomness").caused_by(native.to_string())
    })?;
    Ok(data_encoding::HEXLOWER.encode(&bytes))
}

/// A running command.
struct Handle {
    docker: bollard::Docker,
    place: Place,
    container: String,
    mark: String,
    terminal: Terminal,
    exit: watch::Receiver<Option<Exit>>,
    /// As long as there may be none of its processes yet.
    begins: Cx,
}

#[async_trait]
impl Control for Handle {
    async fn signal(&mut self, signal: Signal) -> Result<()> {
        loop {
            let found = signals::send(&self.docker, &self.place, &self.container, &self.mark, &signal).await?;
            if found || self.exit.borrow().is_some() || self.begins.remaining().is_zero() {
                return Ok(());
            }
            tokio::time::sleep(BEGIN_PAUSE).await;
        }
    }

    async fn resize(&mut self, size: Size) -> Result<()> {
        self.terminal.resize(size).await
    }

    async fn wait(&mut self) -> Result<Exit> {
        let ended = self.exit.wait_for(Option::is_some).await;
        let exit = ended.ok().and_then(|exit| exit.clone());
        Ok(exit.unwrap_or_else(|| Exit::Lost("nobody attends to the command any more".to_owned())))
    }
}

/// Standard input; dropping it is end of file, which the connection alone would not say while it is being read.
struct Input(Option<Pin<Box<dyn AsyncWrite + Send>>>);

impl Input {
    fn inner(&mut self) -> std::io::Result<Pin<&mut (dyn AsyncWrite + Send)>> {
        match &mut self.0 {
            Some(inner) => Ok(inner.as_mut()),
            None => Err(std::io::ErrorKind::BrokenPipe.into()),
        }
    }
}

impl AsyncWrite for Input {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<std::io::Result<usize>> {
        match self.inner() {
            Ok(inner) => inner.poll_write(cx, buf),
            Err(error) => Poll::Ready(Err(error)),
        }
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        match self.inner() {
            Ok(inner) => inner.poll_flush(cx),
            Err(error) => Poll::Ready(Err(error)),
        }
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        match self.inner() {
            Ok(inner) => inner.poll_shutdown(cx),
            Err(_) => Poll::Ready(Ok(())),
        }
    }
}

impl Drop for Input {
    fn drop(&mut self) {
        if let (Some(mut inner), Ok(runtime)) = (self.0.take(), tokio::runtime::Handle::try_current()) {
            runtime.spawn(async move { inner.shutdown().await });
        }
    }
}
