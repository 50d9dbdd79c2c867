//! Streams in and out of machines.

use std::fmt;
use std::pin::Pin;

use async_trait::async_trait;
use tokio::io::{AsyncRead, AsyncWrite};

use crate::{Exit, Result, Signal, Size};

/// Both directions in one.
pub trait AsyncReadWrite: AsyncRead + AsyncWrite {}
impl<T: AsyncRead + AsyncWrite> AsyncReadWrite for T {}

/// A stream to read from.
pub type BoxRead = Pin<Box<dyn AsyncRead + Send>>;
/// A stream to write to; shutting it down is the end of file.
pub type BoxWrite = Pin<Box<dyn AsyncWrite + Send>>;
/// A connection.
pub type Duplex = Pin<Box<dyn AsyncReadWrite + Send>>;

/// A running command: its streams, and the handle that signals it and waits for it.
pub struct Process {
    /// Present where `Exec::stdin` asked for it. Dropping or shutting it down is end of file.
    pub stdin: Option<BoxWrite>,
    /// Standard output, or everything where there is a terminal.
    pub stdout: BoxRead,
    /// Standard error; none where there is a terminal.
    pub stderr: Option<BoxRead>,
    /// Signals, resizes and waits.
    pub control: Box<dyn Control>,
}

impl fmt::Debug for Process {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Process")
            .field("stdin", &self.stdin.is_some())
            .field("stderr", &self.stderr.is_some())
            .finish_non_exhaustive()
    }
}

/// The handle of a running command. Dropping it ends nothing.
#[async_trait]
pub trait Control: Send {
    /// Sends a signal to the command and everything it started in its group.
    async fn signal(&mut self, signal: Signal) -> Result<()>;
    /// Tells the command's terminal its new size.
    async fn resize(&mut self, size: Size) -> Result<()>;
    /// Waits for the end. A broken link gives [`Exit::Lost`], never a code.
    async fn wait(&mut self) -> Result<Exit>;
}

/// Accepts connections that machines made to a listener of ours.
#[async_trait]
pub trait Accept: Send {
    /// The next connection.
    async fn accept(&mut self) -> Result<Duplex>;
}
