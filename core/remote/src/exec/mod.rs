//! Commands: apart from their session where there is no terminal, with it where there is one.

mod attend;
mod control;
mod heard;
mod input;
mod output;
mod terminal;
#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use encamp_core::{BoxRead, BoxWrite, Cx, Error, ErrorKind, Exec, Process, Result, Retry};
use tokio::sync::{oneshot, watch};

use crate::error;
use crate::host::Host;
use crate::run::{Job, RunId};
use crate::within::over;
use attend::Attendant;
use control::Handle;
use input::Input;
use output::{PIPE_BYTES, output};

/// How long after a caller's deadline it may take to say what was waited for, where something was sent to the host.
const LAST_WORD: Duration = Duration::from_millis(100);

/// Runs a command; the answer comes when it has begun.
pub(crate) async fn start(host: Arc<Host>, cx: &Cx, request: Exec, patience: Duration) -> Result<Process> {
    let terminal = request.tty;
    let job = Job::new(request, &host.access().user)?;
    let id = RunId::fresh()?;
    let (told, exit) = watch::channel(None);
    let (tell_begun, begun) = oneshot::channel();
    // What a terminal runs is on its host before it is attended to.
    let (tell_sent, sent) = watch::channel(terminal.is_some());
    let (stdin, stdin_end) = job.input.then(|| tokio::io::duplex(PIPE_BYTES)).unzip();
    let user = job.user.clone();
    let (run, named) = watch::channel(id.clone());
    let killed = Arc::new(AtomicBool::new(false));
    let (stdout, stderr): (BoxRead, _) = if let Some(size) = terminal {
        let (stdout, to) = tokio::io::duplex(PIPE_BYTES);
        let session = terminal::open(&host, cx, &job, &id, size).await?;
        tokio::spawn(terminal::attend(
            session,
            id,
            to,
            stdin_end,
            (tell_begun, told),
            Arc::clone(&killed),
        ));
        (Box::pin(stdout), None)
    } else {
        let ((out, stdout), (err, stderr)) = (output(), output());
        let attendant = Attendant {
            host: Arc::clone(&host),
            cx: cx.clone(),
            patience,
            job,
            run,
            tell_sent,
            input: Input::new(stdin_end),
            out,
            err,
        };
        tokio::spawn(attendant.attend(tell_begun, told));
        (Box::pin(stdout), Some(Box::pin(stderr) as BoxRead))
    };
    has_begun(cx, begun, sent, &host).await?;
    Ok(Process {
        stdin: stdin.map(|stdin| Box::pin(stdin) as BoxWrite),
        stdout,
        stderr,
        control: Box::new(Handle {
            host,
            run: named,
            user,
            terminal: terminal.is_some(),
            killed,
            exit,
        }),
    })
}

/// Waits until it has begun.
async fn has_begun(
    cx: &Cx,
    mut begun: oneshot::Receiver<Result<()>>,
    mut sent: watch::Receiver<bool>,
    host: &Host,
) -> Result<()> {
    let late = || {
        let at = error::place(host.access());
        let why = format!("{at} began no command before the deadline");
        Error::new(ErrorKind::Unavailable, why)
    };
    let gave_up = tokio::select! {
        biased;
        word = &mut begun => return word.unwrap_or_else(|_| Err(late().retry(Retry::Unknown))),
        gave_up = over(cx) => gave_up,
    };
    // Who attends to it has the same deadline, and knows what was waited for. It waits for longer only where something
    // was sent.
    let last_word = async {
        let _ = sent.wait_for(|sent| *sent).await;
        tokio::time::sleep(LAST_WORD).await;
    };
    tokio::select! {
        biased;
        Ok(word) = &mut begun => word,
        () = last_word => Err(gave_up.unwrap_or_else(late).retry(Retry::Unknown)),
    }
}
