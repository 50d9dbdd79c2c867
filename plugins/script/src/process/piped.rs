//! The streams of a command that goes with them.

use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use encamp_core::{Cx, Error, ErrorKind, Result, Verb};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::process::{ChildStderr, ChildStdin, ChildStdout};
use tokio::time::Sleep;

use super::leader::{LINGER, Leader};
use super::lost;
use super::streams::tail;
use crate::refusal::{refusal, unsure};

/// Bytes that are read to see whether there are any.
const FIRST: usize = 8 << 10;

pub(super) struct Piped {
    verb: Verb,
    /// What was read before anybody asked.
    first: Vec<u8>,
    stdin: Option<ChildStdin>,
    /// None at its end.
    stdout: Option<ChildStdout>,
    end: End,
    /// From when on the other of output and command is waited for no more.
    linger: Option<Pin<Box<Sleep>>>,
}

/// How the command ends; it is killed where nobody reads on.
enum End {
    Awaited(Pin<Box<dyn Future<Output = Result<()>> + Send>>),
    Known(Result<()>),
    Told,
}

impl Piped {
    pub(super) fn new(
        verb: Verb,
        leader: Leader,
        stdin: Option<ChildStdin>,
        stdout: Option<ChildStdout>,
        stderr: Option<ChildStderr>,
    ) -> Self {
        Self {
            verb,
            first: Vec::new(),
            stdin,
            stdout,
            end: End::Awaited(Box::pin(end(verb, leader, stderr))),
            linger: None,
        }
    }

    /// Waits until the first byte is there or the command has ended, and says which: of what has not begun, the end is
    /// an error of the call, and no stream that breaks off. Where neither comes in time there is no answer.
    pub(super) async fn begin(&mut self, cx: &Cx, patience: Duration) -> Result<Option<Begun>> {
        let begun = poll_fn(|task| self.poll_begin(task));
        tokio::select! {
            begun = tokio::time::timeout(patience.min(cx.remaining()), begun) => match begun {
                Ok(begun) => begun.map(Some),
                Err(_) => Ok(None),
            },
            () = cx.cancelled() => Err(Error::new(ErrorKind::Cancelled, "its command was cancelled").at(self.verb)),
        }
    }

    fn poll_begin(&mut self, task: &mut Context<'_>) -> Poll<Result<Begun>> {
        let mut room = vec![0; FIRST];
        let mut buf = ReadBuf::new(&mut room);
        let read = ready!(self.poll_output(task, &mut buf));
        if let Err(error) = read {
            return Poll::Ready(Err(unsure(self.verb, "its output broke off").caused_by(error)));
        }
        if !buf.filled().is_empty() {
            self.first = buf.filled().to_vec();
            return Poll::Ready(Ok(Begun::Says));
        }
        Poll::Ready(self.told().map(|()| Begun::Over))
    }

    /// What it prints; nothing more where output and command are over, or one of them has been for a while.
    fn poll_output(&mut self, task: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        if let End::Awaited(end) = &mut self.end
            && let Poll::Ready(ended) = end.as_mut().poll(task)
        {
            self.end = End::Known(ended);
        }
        if let Some(stdout) = &mut self.stdout {
            let before = buf.filled().len();
            match Pin::new(stdout).poll_read(task, buf) {
                Poll::Ready(Ok(())) if buf.filled().len() == before && buf.remaining() > 0 => self.stdout = None,
                Poll::Ready(read) => return Poll::Ready(read),
                Poll::Pending if matches!(self.end, End::Awaited(_)) => return Poll::Pending,
                Poll::Pending => {}
            }
        }
        if self.stdout.is_none() && !matches!(self.end, End::Awaited(_)) {
            return Poll::Ready(Ok(()));
        }
        let linger = self.linger.get_or_insert_with(|| Box::pin(tokio::time::sleep(LINGER)));
        ready!(linger.as_mut().poll(task));
        self.stdout = None;
        Poll::Ready(Ok(()))
    }

    /// How the command has ended, once.
    fn told(&mut self) -> Result<()> {
        match std::mem::replace(&mut self.end, End::Told) {
            End::Known(ended) => ended,
            End::Told => Ok(()),
            // It has closed its output and goes on, as one end of a connection may.
            end @ End::Awaited(_) => {
                self.end = end;
                Ok(())
            }
        }
    }
}

/// How a command has begun.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Begun {
    Says,
    Over,
}

async fn end(verb: Verb, leader: Leader, stderr: Option<ChildStderr>) -> Result<()> {
    let mut said = Vec::new();
    let exit = leader.ended_with(tail(stderr, &mut said)).await;
    let said = String::from_utf8_lossy(&said);
    if !said.is_empty() {
        tracing::debug!(%said, "a command of a script");
    }
    let exit = exit.map_err(|e| lost(verb, &e))?;
    if exit.success() {
        Ok(())
    } else {
        Err(refusal(verb, &exit, &said))
    }
}

impl AsyncRead for Piped {
    fn poll_read(mut self: Pin<&mut Self>, task: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        if !self.first.is_empty() {
            let count = self.first.len().min(buf.remaining());
            buf.put_slice(&self.first[..count]);
            self.first.drain(..count);
            return Poll::Ready(Ok(()));
        }
        let before = buf.filled().len();
        ready!(self.poll_output(task, buf))?;
        if buf.filled().len() == before {
            self.told().map_err(io::Error::other)?;
        }
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Piped {
    fn poll_write(mut self: Pin<&mut Self>, task: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        match &mut self.stdin {
            Some(stdin) => Pin::new(stdin).poll_write(task, bytes),
            None => Poll::Ready(Err(io::ErrorKind::BrokenPipe.into())),
        }
    }

    fn poll_flush(mut self: Pin<&mut Self>, task: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.stdin {
            Some(stdin) => Pin::new(stdin).poll_flush(task),
            None => Poll::Ready(Ok(())),
        }
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        // Closing it is the end of file.
        self.stdin = None;
        Poll::Ready(Ok(()))
    }
}
