//! Attends to a command with a terminal. It ends with its session.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use encamp_core::{Cx, Exit, Result, Size};
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream};

use super::attend::{TellBegun, TellExit};
use crate::error;
use crate::host::{Host, Said, Session, has_broken};
use crate::marks::{Marks, Piece};
use crate::quote::quote;
use crate::run::{Job, RunId, Word, line};
use crate::transport::Channel;

/// What a shell says of a command that was killed.
const KILLED: i32 = 128 + 9;

/// A session with a terminal, and its host.
pub(super) struct Opened {
    host: Arc<Host>,
    session: Session,
}

/// Lays the command down and opens the session that runs it.
pub(super) async fn open(host: &Arc<Host>, cx: &Cx, job: &Job, id: &RunId, size: Size) -> Result<Opened> {
    let words = host.ask(cx, &job.store(id, size)).await?;
    let folder = words.iter().find_map(|word| match word {
        Word::Began { folder, .. } => Some(folder.clone()),
        _ => None,
    });
    let run = format!("{}/run", folder.unwrap_or_default());
    let line = line(&host.access().prefix, &format!("sh {}", quote(&run)));
    let session = host.session(cx, &host.patient, &line, true).await?;
    Ok(Opened {
        host: Arc::clone(host),
        session,
    })
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
        host,
        session: Session { channel, lease },
    } = opened;
    let Channel {
        mut stdin,
        mut stdout,
        mut stderr,
        end,
    } = channel;
    let mut tell_begun = Some(tell_begun);
    let mut said = Said::default();
    let outputs = async {
        let passed = async {
            let mut marks = Marks::new(id.as_str());
            let mut buffer = vec![0; 32 * 1024];
            let mut listens = true;
            while let Ok(length) = stdout.read(&mut buffer).await
                && length > 0
            {
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
    }
    let words = end.await.words;
    if let Some(tell) = tell_begun {
        let _ = tell.send(Err(error::no_shell(host.access(), &said.text())));
        return;
    }
    if tell_exit.borrow().is_some() {
        return;
    }
    let stands = !has_broken(&lease).await;
    tell_exit.send_replace(Some(match (stands, killed.load(Ordering::Acquire)) {
        (true, true) => Exit::Code(KILLED),
        (true, false) => Exit::Lost("its terminal ended without a status".to_owned()),
        (false, _) => Exit::Lost(format!("the connection broke, and a terminal ends with it: {words}")),
    }));
    host.forget(&id).await;
}
