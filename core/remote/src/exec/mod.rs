//! Commands: apart from their session where there is no terminal, with it where there is one.

mod attend;
mod control;
mod heard;
mod input;
mod terminal;

use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use encamp_core::{BoxRead, BoxWrite, Cx, Error, ErrorKind, Exec, Process, Result, Retry};
use tokio::sync::{oneshot, watch};

use crate::error;
use crate::host::Host;
use crate::run::{Job, RunId};
use attend::Attendant;
use control::Handle;
use input::Input;

/// What a stream holds between a host and a reader that is slower.
const PIPE_BYTES: usize = 64 * 1024;

/// Runs a command; the answer comes when it has begun.
pub(crate) async fn start(host: Arc<Host>, cx: &Cx, request: Exec, patience: Duration) -> Result<Process> {
    let terminal = request.tty;
    let job = Job::new(request, &host.access().user)?;
    let id = RunId::fresh()?;
    let (told, exit) = watch::channel(None);
    let (tell_begun, begun) = oneshot::channel();
    let (stdout, stdout_end) = tokio::io::duplex(PIPE_BYTES);
    let (stdin, stdin_end) = job.input.then(|| tokio::io::duplex(PIPE_BYTES)).unzip();
    let user = job.user.clone();
    let mut stderr = None;
    let (run, named) = watch::channel(id.clone());
    let killed = Arc::new(AtomicBool::new(false));
    if let Some(size) = terminal {
        let session = terminal::open(&host, cx, &job, &id, size).await?;
        tokio::spawn(terminal::attend(
            session,
            id,
            stdout_end,
            stdin_end,
            (tell_begun, told),
            Arc::clone(&killed),
        ));
    } else {
        let (stderr_begin, stderr_end) = tokio::io::duplex(PIPE_BYTES);
        stderr = Some(Box::pin(stderr_begin) as BoxRead);
        let attendant = Attendant {
            host: Arc::clone(&host),
            cx: cx.clone(),
            patience,
            job,
            run,
            input: Input::new(stdin_end),
            stdout: stdout_end,
            stderr: stderr_end,
        };
        tokio::spawn(attendant.attend(tell_begun, told));
    }
    let begun = tokio::time::timeout(cx.remaining(), begun).await;
    let late = || {
        Error::new(
            ErrorKind::Unavailable,
            format!("{} began no command before the deadline", error::place(host.access())),
        )
        .retry(Retry::Unknown)
    };
    begun.map_err(|_| late())?.map_err(|_| late())??;
    Ok(Process {
        stdin: stdin.map(|stdin| Box::pin(stdin) as BoxWrite),
        stdout: Box::pin(stdout),
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
