//! The streams of a command: pipes, or a terminal.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use encamp_core::{BoxRead, BoxWrite, Exit, Size};
use rustix::pipe::PipeFlags;
use rustix::pty::OpenptFlags;
use rustix::termios::Winsize;
use tokio::io::unix::AsyncFd;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, DuplexStream, ReadBuf};
use tokio::net::unix::pipe;
use tokio::sync::watch;

/// What a stream holds between a command and a reader that is slower.
const PIPE_BYTES: usize = 64 * 1024;

/// How long an output may be silent after the command has ended before it is given up: something that was left behind
/// may have it open for ever.
const DRAIN: Duration = Duration::from_secs(1);

/// Both sides of a command's streams.
pub(super) struct Streams {
    /// Standard input, output and errors of the command.
    theirs: Vec<OwnedFd>,
    /// The reading ends of its outputs, for whoever reads when nobody here does any more.
    others: Vec<OwnedFd>,
    stdin: Option<BoxWrite>,
    outputs: Vec<BoxRead>,
    pub(super) terminal: Option<Terminal>,
}

/// What the user of a command gets.
pub(super) struct Ends {
    pub(super) stdin: Option<BoxWrite>,
    pub(super) stdout: BoxRead,
    pub(super) stderr: Option<BoxRead>,
    pub(super) terminal: Option<Terminal>,
}

impl Streams {
    /// Pipes; standard input is empty where it is not wanted.
    pub(super) fn pipes(stdin: bool) -> io::Result<Self> {
        let (input, to) = if stdin {
            let (theirs, ours) = rustix::pipe::pipe_with(PipeFlags::CLOEXEC)?;
            let to: BoxWrite = Box::pin(pipe::Sender::from_owned_fd(ours)?);
            (theirs, Some(to))
        } else {
            (OwnedFd::from(std::fs::File::open("/dev/null")?), None)
        };
        let mut streams = Self {
            theirs: vec![input],
            others: Vec::new(),
            stdin: to,
            outputs: Vec::new(),
            terminal: None,
        };
        for _ in 0..2 {
            let (ours, theirs) = rustix::pipe::pipe_with(PipeFlags::CLOEXEC)?;
            streams.theirs.push(theirs);
            streams.others.push(ours.try_clone()?);
            streams.outputs.push(Box::pin(pipe::Receiver::from_owned_fd(ours)?));
        }
        Ok(streams)
    }

    /// A terminal of a size.
    pub(super) fn terminal(size: Size, stdin: bool) -> io::Result<Self> {
        let flags = OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC;
        let master = rustix::pty::openpt(flags)?;
        rustix::pty::grantpt(&master)?;
        rustix::pty::unlockpt(&master)?;
        let slave = rustix::pty::ioctl_tiocgptpeer(&master, flags)?;
        rustix::io::ioctl_fionbio(&master, true)?;
        #[expect(
            deprecated,
            reason = "the other one is unsafe, for the sake of what does not own its descriptor"
        )]
        let master = AsyncFd::new(master)?;
        let terminal = Terminal(std::sync::Arc::new(master));
        terminal.resize(size)?;
        Ok(Self {
            theirs: vec![slave.try_clone()?, slave.try_clone()?, slave],
            others: Vec::new(),
            stdin: stdin.then(|| Box::pin(terminal.clone()) as BoxWrite),
            outputs: vec![Box::pin(terminal.clone())],
            terminal: Some(terminal),
        })
    }

    /// What is handed to the command.
    pub(super) fn handed_over(&self) -> Vec<BorrowedFd<'_>> {
        self.theirs.iter().chain(&self.others).map(AsFd::as_fd).collect()
    }

    /// The command's own ends are closed here; its outputs are read until it has ended, whether somebody wants them or
    /// not.
    pub(super) fn ends(self, exit: &watch::Receiver<Option<Exit>>) -> Ends {
        let mut outputs = self.outputs.into_iter().map(|output| {
            let (ours, theirs) = tokio::io::duplex(PIPE_BYTES);
            tokio::spawn(hand_on(output, theirs, exit.clone()));
            Box::pin(ours) as BoxRead
        });
        let stdout = outputs.next().unwrap_or_else(|| Box::pin(tokio::io::empty()));
        Ends {
            stdin: self.stdin,
            stdout,
            stderr: outputs.next(),
            terminal: self.terminal,
        }
    }
}

async fn hand_on(mut from: BoxRead, to: DuplexStream, mut exit: watch::Receiver<Option<Exit>>) {
    let mut to = Some(to);
    let mut buffer = vec![0; PIPE_BYTES];
    loop {
        let over = exit.borrow().is_some();
        let read = tokio::select! {
            // What is there comes before the time in which nothing came.
            biased;
            read = from.read(&mut buffer) => read,
            changed = exit.changed(), if !over => {
                // Whoever told it is gone: nothing more is known, and nothing more comes.
                if changed.is_err() && exit.borrow().is_none() { return }
                continue;
            }
            () = tokio::time::sleep(DRAIN), if over => return,
        };
        let Ok(count @ 1..) = read else { return };
        // A reader that has gone away wants nothing more; the rest is read and dropped, so that the command goes on.
        if let Some(open) = &mut to
            && open.write_all(buffer.get(..count).unwrap_or_default()).await.is_err()
        {
            to = None;
        }
    }
}

/// The controlling side of a terminal.
#[derive(Debug, Clone)]
pub(super) struct Terminal(std::sync::Arc<AsyncFd<OwnedFd>>);

impl Terminal {
    pub(super) fn resize(&self, size: Size) -> io::Result<()> {
        let size = Winsize {
            ws_row: size.rows,
            ws_col: size.cols,
            ws_xpixel: 0,
            ws_ypixel: 0,
        };
        Ok(rustix::termios::tcsetwinsize(self.0.get_ref(), size)?)
    }
}

impl AsyncRead for Terminal {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        loop {
            let mut guard = ready!(self.0.poll_read_ready(cx))?;
            let room = buffer.initialize_unfilled();
            match guard.try_io(|inner| Ok(rustix::io::read(inner.get_ref(), room)?)) {
                Ok(Ok(read)) => {
                    buffer.advance(read);
                    return Poll::Ready(Ok(()));
                }
                // Nobody has the other side open any more.
                Ok(Err(error)) if error.raw_os_error() == Some(rustix::io::Errno::IO.raw_os_error()) => {
                    return Poll::Ready(Ok(()));
                }
                Ok(Err(error)) => return Poll::Ready(Err(error)),
                Err(_) => {}
            }
        }
    }
}

impl AsyncWrite for Terminal {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        loop {
            let mut guard = ready!(self.0.poll_write_ready(cx))?;
            if let Ok(written) = guard.try_io(|inner| Ok(rustix::io::write(inner.get_ref(), bytes)?)) {
                return Poll::Ready(written);
            }
        }
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

/// A stream whose end is judged: without an error it is whole.
pub(super) struct Judged {
    stream: BoxRead,
    end: Pin<Box<dyn Future<Output = io::Result<()>> + Send>>,
    over: bool,
}

impl Judged {
    pub(super) fn new(stream: BoxRead, end: impl Future<Output = io::Result<()>> + Send + 'static) -> Self {
        Self {
            stream,
            end: Box::pin(end),
            over: false,
        }
    }
}

impl AsyncRead for Judged {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        if self.over {
            return Poll::Ready(Ok(()));
        }
        let before = buffer.filled().len();
        ready!(self.stream.as_mut().poll_read(cx, buffer))?;
        if buffer.filled().len() > before || buffer.remaining() == 0 {
            return Poll::Ready(Ok(()));
        }
        let judged = ready!(self.end.as_mut().poll(cx));
        self.over = true;
        Poll::Ready(judged)
    }
}
