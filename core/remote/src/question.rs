//! Short questions to a host, whose answer is a text.

use std::sync::atomic::{AtomicBool, Ordering};

use encamp_core::{Cx, Error, ErrorKind, Result, Retry};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::error;
use crate::files::{Begun, begin};
use crate::host::Host;
use crate::transport::Channel;
use crate::within::within;

/// How much of an answer is read: a host may say anything.
const ANSWER_BYTES_MAX: u64 = 256 * 1024;

/// Runs lines for `sh` to their end, and gives what they say. They change nothing, and may be run again.
pub(crate) async fn put(host: &Host, cx: &Cx, lines: &str) -> Result<String> {
    within(cx, Box::pin(put_patiently(host, cx, lines, None)), || host.silent()).await
}

/// The same for lines that change something. They are begun once at most, and an error after that has the outcome open.
pub(crate) async fn put_once(host: &Host, cx: &Cx, lines: &str) -> Result<String> {
    let begun = AtomicBool::new(false);
    let putting = Box::pin(put_patiently(host, cx, lines, Some(&begun)));
    let answered = within(cx, putting, || host.silent()).await;
    answered.map_err(|error| {
        if begun.load(Ordering::Relaxed) {
            error.retry(Retry::Unknown)
        } else {
            error
        }
    })
}

async fn put_patiently(host: &Host, cx: &Cx, lines: &str, once: Option<&AtomicBool>) -> Result<String> {
    // A session that says nothing is tried again, so what must not be begun twice waits for a word.
    let wait = once.map_or("", |_| "read -r go && [ \"$go\" = go ] || exit 0\n");
    let body =
        format!("main() {{\nsay ready\n{wait}(\numask \"$mask\"\n{lines}\n) </dev/null 2>&4 4>&-\nsay \"x$?\"\n}}\n");
    let Begun {
        channel,
        lease,
        mut listener,
    } = begin(host, cx, &host.pools.work, &body).await?;
    let Channel {
        mut stdin,
        stdout,
        mut stderr,
        end,
    } = channel;
    if let Some(begun) = once {
        begun.store(true, Ordering::Relaxed);
        // Where it does not arrive, nothing is answered.
        let _ = stdin.write_all(b"go\n").await;
        let _ = stdin.flush().await;
    }
    let mut answer = Vec::new();
    let mut stdout = stdout.take(ANSWER_BYTES_MAX);
    let (read, ()) = tokio::join!(stdout.read_to_end(&mut answer), listener.listen(&mut stderr, false));
    drop(lease);
    let at = error::place(host.access());
    let failed = |why: String| {
        Error::new(ErrorKind::Unavailable, format!("{at}: {why}"))
            .retry(Retry::Safe)
            .with("host", at.clone())
    };
    match (read, listener.exit()) {
        (Ok(_), Some(0)) => {
            String::from_utf8(answer).map_err(|native| failed("its answer is no text".to_owned()).caused_by(native))
        }
        (Err(native), _) => Err(failed("its answer broke off".to_owned()).caused_by(native)),
        (_, None) => Err(failed("the connection broke before it answered".to_owned()).with("how", end.await.words)),
        (_, Some(code)) => Err(
            failed(format!("its shell does not do what is asked, and exited {code}"))
                .with("said", listener.said.text()),
        ),
    }
}
