//! Files, as tar streams. They have connections of their own, so that much of them holds up no command.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use encamp_core::shell::quote;
use encamp_core::{BoxRead, BoxWrite, CopyIn, CopyOut, Cx, Error, ErrorKind, Result, Retry};
use futures_util::future::BoxFuture;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt, ReadBuf};
use tokio::sync::oneshot;

use crate::begun::{Begun, begin};
use crate::error;
use crate::host::Host;
use crate::transport::{Channel, End};
use crate::within::within;

/// How the host's tar says that there is no room: what the system says, and what they say who could write a part.
const FULL: [&str; 4] = ["No space left", "quota exceeded", "Wrote only", "short write"];

/// Unpacks a stream into a folder.
pub(crate) async fn copy_in(host: &Host, cx: &Cx, a: &CopyIn, tar: BoxRead) -> Result<()> {
    let late = || {
        let at = error::place(host.access());
        let why = format!("{at} has not unpacked all into {} before the deadline", a.folder);
        Error::new(ErrorKind::Unavailable, why)
            .retry(Retry::Unknown)
            .with("host", at)
    };
    within(cx, Box::pin(copy_in_patiently(host, cx, a, tar)), late).await
}

async fn copy_in_patiently(host: &Host, cx: &Cx, a: &CopyIn, mut tar: BoxRead) -> Result<()> {
    let folder = checked(&a.folder)?;
    let body = format!(
        "main() {{\numask \"$mask\"\nmkdir -p {folder} 2>&4 || refuse {refusal}\nsay ready\nLC_ALL=C tar -xf - -C {folder} 2>&4\nsay \"x$?\"\n}}\n",
        refusal = quote(&format!("folder {}", a.folder)),
    );
    let Begun {
        channel,
        lease,
        mut listener,
        ..
    } = begin(host, cx, &host.pools.bulk, &body).await?;
    let Channel {
        mut stdin,
        mut stdout,
        mut stderr,
        end,
    } = channel;
    let mut nowhere = tokio::io::sink();
    let sent = async {
        let sent = pass(&mut tar, &mut stdin).await;
        // The end of the stream, or of what there is of it: tar tells whether it is whole.
        let _ = stdin.shutdown().await;
        sent
    };
    let (sent, (), _) = tokio::join!(
        sent,
        listener.listen(&mut stderr, false),
        tokio::io::copy(&mut stdout, &mut nowhere)
    );
    drop(lease);
    let at = error::place(host.access());
    let unsent = match sent {
        Sent::All => None,
        Sent::Unwritten(native) => Some(native),
        // What there was of it may look like an archive.
        Sent::Unread(native) => {
            let message = format!("what was to be unpacked into {} could not be read to its end", a.folder);
            return Err(Error::new(ErrorKind::Unavailable, message)
                .retry(Retry::Unknown)
                .with("host", at)
                .caused_by(native));
        }
    };
    match listener.exit() {
        // tar stops reading at the end that the archive itself says, whatever padding follows.
        Some(0) => Ok(()),
        Some(code) => {
            let said = listener.said.text();
            let is_full = FULL.iter().any(|words| said.contains(words));
            let kind = if is_full {
                ErrorKind::Quota
            } else {
                ErrorKind::Unavailable
            };
            let error = Error::new(kind, format!("{at} could not unpack all into {}", a.folder))
                .retry(Retry::Unknown)
                .with("tar", format!("exited {code}"));
            let error = if said.is_empty() {
                error
            } else {
                error.with("said", said)
            };
            let error = if is_full {
                error.next_step(format!("make room below {} on the host", a.folder))
            } else {
                error
            };
            Err(match unsent {
                Some(native) if native.kind() != std::io::ErrorKind::BrokenPipe => error.caused_by(native),
                _ => error,
            })
        }
        None => Err(cut(&at, &a.folder, end.await)),
    }
}

/// What became of a stream on its way to the host.
enum Sent {
    All,
    /// Its source broke.
    Unread(std::io::Error),
    /// The host takes no more of it.
    Unwritten(std::io::Error),
}

async fn pass(from: &mut BoxRead, to: &mut BoxWrite) -> Sent {
    let mut buffer = vec![0; 32 * 1024];
    loop {
        let length = match from.read(&mut buffer).await {
            Ok(0) => break,
            Ok(length) => length,
            Err(native) => return Sent::Unread(native),
        };
        if let Err(native) = to.write_all(&buffer[..length]).await {
            return Sent::Unwritten(native);
        }
    }
    match to.flush().await {
        Ok(()) => Sent::All,
        Err(native) => Sent::Unwritten(native),
    }
}

/// Packs a path.
pub(crate) async fn copy_out(host: &Arc<Host>, cx: &Cx, a: &CopyOut) -> Result<BoxRead> {
    checked(&a.path)?;
    let path = a.path.trim_end_matches('/');
    let (parent, name) = match path.rsplit_once('/') {
        Some(("", name)) => ("/", name),
        Some(parts) => parts,
        None => ("/", "."),
    };
    let path = if path.is_empty() { "/" } else { path };
    let body = format!(
        "main() {{\n[ -e {path} ] || [ -L {path} ] || refuse {refusal}\nsay ready\nLC_ALL=C tar -cf - -C {parent} -- {name} 2>&4\nsay \"x$?\"\n}}\n",
        refusal = quote(&format!("path {path}")),
        path = quote(path),
        parent = quote(parent),
        name = quote(name),
    );
    let Begun {
        channel,
        lease,
        mut listener,
        ..
    } = begin(host, cx, &host.pools.bulk, &body).await?;
    let Channel {
        stdin,
        stdout,
        mut stderr,
        end,
    } = channel;
    let at = error::place(host.access());
    let path = a.path.clone();
    let (mut tell, told) = oneshot::channel();
    tokio::spawn(async move {
        // It says how it ended, while what it packs is read by others. Where nobody reads any more its session ends.
        tokio::select! {
            () = listener.listen(&mut stderr, false) => {}
            () = tell.closed() => return,
        }
        let result = match listener.exit() {
            Some(0) => Ok(()),
            // A file that somebody writes to is packed as far as it was there.
            Some(1) if listener.said.text().contains("as we read it") => Ok(()),
            Some(code) => Err(std::io::Error::other(format!(
                "{at} could not pack {path}: tar exited {code}: {}",
                listener.said.text()
            ))),
            None => Err(std::io::Error::new(
                std::io::ErrorKind::UnexpectedEof,
                cut(&at, &path, end.await).to_string(),
            )),
        };
        drop(lease);
        // Who does not read on does not ask.
        let _ = tell.send(result);
    });
    Ok(Box::pin(Packed {
        stdout,
        _stdin: stdin,
        ending: Some(Box::pin(async move {
            told.await
                .unwrap_or_else(|_| Err(std::io::ErrorKind::UnexpectedEof.into()))
        })),
    }))
}

/// A path as a word of a script.
fn checked(path: &str) -> Result<std::borrow::Cow<'_, str>> {
    if !path.starts_with('/') || path.contains('\0') {
        return Err(Error::new(ErrorKind::Invalid, format!("`{path}` is no absolute path")));
    }
    Ok(quote(path))
}

fn cut(at: &str, path: &str, end: End) -> Error {
    let error = Error::new(
        ErrorKind::Unavailable,
        format!("the connection to {at} broke while {path} was being copied"),
    )
    .retry(Retry::Unknown)
    .with("host", at);
    if end.words.is_empty() {
        error
    } else {
        error.caused_by(end.words)
    }
}

/// What a tar says; its end is one only where tar ended well.
struct Packed {
    stdout: BoxRead,
    _stdin: BoxWrite,
    ending: Option<BoxFuture<'static, std::io::Result<()>>>,
}

impl AsyncRead for Packed {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<std::io::Result<()>> {
        let before = buf.filled().len();
        let read = self.stdout.as_mut().poll_read(cx, buf);
        let at_end = matches!(read, Poll::Ready(Ok(()))) && buf.filled().len() == before && buf.remaining() > 0;
        let Some(ending) = self.ending.as_mut().filter(|_| at_end) else {
            return read;
        };
        let ended = ending.as_mut().poll(cx);
        if ended.is_ready() {
            self.ending = None;
        }
        ended
    }
}
