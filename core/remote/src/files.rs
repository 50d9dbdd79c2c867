//! Files, as tar streams. They have connections of their own, so that much of them holds up no command.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use encamp_core::{BoxRead, CopyIn, CopyOut, Cx, Error, ErrorKind, Result, Retry};
use futures_util::future::BoxFuture;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt, ReadBuf};
use tokio::sync::oneshot;

use crate::error;
use crate::host::{Host, Lease, Said, Session, Silence};
use crate::marks::{Marks, Piece};
use crate::quote::quote;
use crate::run::{RunId, Script, Word};
use crate::transport::{Channel, End};

/// Sessions that are tried where a connection is full or breaks before anything was sent.
const TRIED_MAX: u32 = 4;

/// A script that has begun: it has said its first word.
struct Begun {
    channel: Channel,
    lease: Lease,
    listener: Listener,
}

/// What a script says, and what its commands complain of.
struct Listener {
    marks: Marks,
    said: Said,
    words: Vec<Word>,
}

impl Listener {
    /// Listens on until the end of the session, or until there is a word where `once`.
    async fn listen(&mut self, stderr: &mut BoxRead, once: bool) {
        let mut buffer = [0; 4096];
        while let Ok(length) = stderr.read(&mut buffer).await
            && length > 0
        {
            for piece in self.marks.take(&buffer[..length]) {
                match piece {
                    Piece::Bytes(bytes) => self.said.take(&bytes),
                    Piece::Word(word) => self.words.push(Word::parse(&word)),
                }
            }
            if once && !self.words.is_empty() {
                return;
            }
        }
    }

    fn exit(&self) -> Option<i32> {
        self.words.iter().find_map(|word| match word {
            Word::Exit(code) => Some(*code),
            _ => None,
        })
    }

    fn refusal(&self) -> Option<&str> {
        self.words.iter().find_map(|word| match word {
            Word::Refused(why) => Some(why.as_str()),
            _ => None,
        })
    }
}

async fn begin(host: &Host, cx: &Cx, body: &str) -> Result<Begun> {
    for _ in 0..TRIED_MAX {
        let id = RunId::fresh()?;
        let script = Script::plain(&id, body);
        let line = script.line(&host.access().prefix);
        let Session { mut channel, lease } = host.session(cx, &host.bulk, &line, false).await?;
        // A session that ends early is told by what it says.
        let _ = channel.stdin.write_all(script.text.as_bytes()).await;
        let _ = channel.stdin.flush().await;
        let mut listener = Listener {
            marks: Marks::new(id.as_str()),
            said: Said::default(),
            words: Vec::new(),
        };
        listener.listen(&mut channel.stderr, true).await;
        if let Some(why) = listener.refusal() {
            return Err(error::refused(host.access(), why));
        }
        if !listener.words.is_empty() {
            // What came before is the login shell's.
            listener.said = Said::default();
            return Ok(Begun {
                channel,
                lease,
                listener,
            });
        }
        match host
            .without_a_word(lease, &host.bulk, channel.end.await, &listener.said)
            .await
        {
            Silence::Failed(error) => return Err(error),
            Silence::Full | Silence::Broken(_) => {}
        }
    }
    Err(error::no_sessions(host.access()))
}

/// Unpacks a stream into a folder.
pub(crate) async fn copy_in(host: &Host, cx: &Cx, a: &CopyIn, mut tar: BoxRead) -> Result<()> {
    let folder = checked(&a.folder)?;
    let body = format!(
        "main() {{\numask \"$mask\"\nmkdir -p {folder} 2>&4 || refuse {refusal}\nsay ready\ntar -xf - -C {folder} 2>&4\nsay \"x$?\"\n}}\n",
        refusal = quote(&format!("folder {}", a.folder)),
    );
    let Begun {
        channel,
        lease,
        mut listener,
    } = begin(host, cx, &body).await?;
    let Channel {
        mut stdin,
        mut stdout,
        mut stderr,
        end,
    } = channel;
    let mut nowhere = tokio::io::sink();
    let sent = async {
        let sent = tokio::io::copy(&mut tar, &mut stdin).await;
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
    match listener.exit() {
        // tar stops reading at the end that the archive itself says, whatever padding follows.
        Some(0) => Ok(()),
        Some(code) => {
            let said = listener.said.text();
            let kind = if said.contains("No space left") {
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
            Err(match sent {
                Err(native) if native.kind() != std::io::ErrorKind::BrokenPipe => error.caused_by(native),
                _ => error,
            })
        }
        None => Err(cut(&at, &a.folder, end.await)),
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
        "main() {{\n[ -e {path} ] || [ -L {path} ] || refuse {refusal}\nsay ready\ntar -cf - -C {parent} -- {name} 2>&4\nsay \"x$?\"\n}}\n",
        refusal = quote(&format!("path {path}")),
        path = quote(path),
        parent = quote(parent),
        name = quote(name),
    );
    let Begun {
        channel,
        lease,
        mut listener,
    } = begin(host, cx, &body).await?;
    let Channel {
        stdin,
        stdout,
        mut stderr,
        end,
    } = channel;
    let at = error::place(host.access());
    let path = a.path.clone();
    let (tell, told) = oneshot::channel();
    tokio::spawn(async move {
        // It says how it ended, while what it packs is read by others.
        listener.listen(&mut stderr, false).await;
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
    _stdin: encamp_core::BoxWrite,
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
