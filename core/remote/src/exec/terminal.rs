//! Attends to a command with a terminal. It ends with its session.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use encamp_core::shell::quote;
use encamp_core::{Cx, Error, ErrorKind, Exit, Result, Retry, Size};
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream};
use tokio_util::sync::CancellationToken;

use super::attend::{TellBegun, TellExit};
use crate::error;
use crate::host::{Host, Said, Session, Silence, has_broken};
use crate::marks::{Marks, Piece};
use crate::run::{Job, RunId, Word, line};
use crate::transport::Channel;

/// What a shell says of a command that was killed.
const KILLED: i32 = 128 + 9;

/// A session with a terminal, and what was laid down for it.
pub(super) struct Opened {
    laid_down: LaidDown,
    session: Session,
}

/// A command on the disk of its host, variables and all: it is removed by the command's end, and else with this.
struct LaidDown {
    host: Arc<Host>,
    id: RunId,
    removed: bool,
}

impl Drop for LaidDown {
    fn drop(&mut self) {
        if let (false, Ok(runtime)) = (self.removed, tokio::runtime::Handle::try_current()) {
            let (host, id) = (Arc::clone(&self.host), self.id.clone());
            runtime.spawn(async move { host.forget(&id).await });
        }
    }
}

/// Lays the command down and opens the session that runs it.
pub(super) async fn open(host: &Arc<Host>, cx: &Cx, job: &Job, id: &RunId, size: Size) -> Result<Opened> {
    // Before it is known to be there: the answer alone may be missing.
    let laid_down = LaidDown {
        host: Arc::clone(host),
        id: id.clone(),
        removed: false,
    };
    let words = host.ask(cx, &job.store(id, size)).await?;
    let folder = words.iter().find_map(|word| match word {
        Word::Began { folder, .. } => Some(folder.clone()),
        _ => None,
    });
    let run = format!("{}/run", folder.unwrap_or_default());
    let line = line(&host.access().prefix, &format!("sh {}", quote(&run)));
    let session = host.session(cx, &host.pools.patient, &line, true).await?;
    Ok(Opened { laid_down, session })
}

/// Passes everything on until the session has ended.
pub(super) async fn attend(
    opened: Opened,
    id: RunId,
    mut to: DuplexStream,
    from: Option<DuplexStream>,
    (tell_begun, tell_exit): (TellBegun, TellExit),
    killed: Arc<AtomicBool>,
) {
    let Opened {
        mut laid_down,
        session: Session { channel, lease },
    } = opened;
    let host = Arc::clone(&laid_down.host);
    let Channel {
        mut stdin,
        mut stdout,
        mut stderr,
        end,
    } = channel;
    let given_up = CancellationToken::new();
    let mut tell_begun = Some(tell_begun);
    let mut said = Said::default();
    let outputs = async {
        let passed = async {
            let mut marks = Marks::new(id.as_str());
            let mut buffer = vec![0; 32 * 1024];
            let mut listens = true;
            loop {
                let read = match &mut tell_begun {
                    Some(tell) => tokio::select! {
                        read = stdout.read(&mut buffer) => read,
                        () = tell.closed() => return given_up.cancel(),
                    },
                    None => stdout.read(&mut buffer).await,
                };
                let Some(length) = read.ok().filter(|length| *length > 0) else {
                    break;
                };
                for piece in marks.take(&buffer[..length]) {
                    match piece {
                        Piece::Bytes(bytes) if tell_begun.is_some() => said.take(&bytes),
                        Piece::Bytes(bytes) => listens = listens && to.write_all(&bytes).await.is_ok(),
                        Piece::Word(word) => match Word::parse(&word) {
                            Word::Began { .. } => {
                                // Who asked may have given up waiting.
                                let _ = tell_begun.take().map(|tell| tell.send(Ok(())));
                            }
                            Word::Exit(code) => drop(tell_exit.send_replace(Some(Exit::Code(code)))),
                            _ => {}
                        },
                    }
                }
            }
            if listens {
                let _ = to.write_all(&marks.rest()).await;
            }
        };
        let mut nowhere = tokio::io::sink();
        let _ = tokio::join!(passed, tokio::io::copy(&mut stderr, &mut nowhere));
    };
    let fed = async {
        if let Some(mut from) = from {
            // The end of a session is told by its outputs.
            let _ = tokio::io::copy(&mut from, &mut stdin).await;
            // A terminal has no end of input but the character that says so.
            let _ = stdin.write_all(&[0x04]).await;
            let _ = stdin.flush().await;
        }
        std::future::pending::<()>().await;
    };
    tokio::select! {
        () = outputs => {}
        () = fed => {}
        // It ends unbegun, where it has not begun by now.
        () = given_up.cancelled() => return,
    }
    let end = end.await;
    if let Some(tell) = tell_begun {
        let error = match host.without_a_word(lease, &host.pools.patient, end, &said).await {
            Silence::Failed(error) => error,
            Silence::Full => error::no_sessions(host.access()),
            Silence::Broken(why) => unseen(&host, &why),
        };
        let _ = tell.send(Err(error));
        return;
    }
    laid_down.removed = tell_exit.borrow().is_some();
    if laid_down.removed {
        return;
    }
    let words = end.words;
    let stands = !has_broken(&lease).await;
    tell_exit.send_replace(Some(match (stands, killed.load(Ordering::Acquire)) {
        (true, true) => Exit::Code(KILLED),
        (true, false) => Exit::Lost("its terminal ended without a status".to_owned()),
        (false, _) => Exit::Lost(format!("the connection broke, and a terminal ends with it: {words}")),
    }));
}

/// The connection broke before the command was seen to begin. A command with a terminal is not begun anew by us.
fn unseen(host: &Host, why: &str) -> Error {
    let at = error::place(host.access());
    let error = Error::new(
        ErrorKind::Unavailable,
        format!("the connection to {at} broke before the command was seen to begin"),
    )
    .retry(Retry::Unknown)
    .with("host", at);
    if why.is_empty() {
        error
    } else {
        error.caused_by(why.to_owned())
    }
}
