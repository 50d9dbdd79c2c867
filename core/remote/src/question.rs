//! Short questions to a host, whose answer is a text.

use std::sync::atomic::{AtomicBool, Ordering};

use encamp_core::{Cx, Error, ErrorKind, Result, Retry};

use crate::asker::{ANSWER_BYTES_MAX, Answer, Asker};
use crate::error;
use crate::host::Host;
use crate::within::within;

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
    let askers = &host.pools.askers;
    // A guard in front of commands stands before one session.
    let shares = host.access().prefix.is_empty();
    let mut kept = if shares { askers.take() } else { None };
    loop {
        let fresh = kept.is_none();
        let mut asker = match kept.take() {
            Some(asker) => asker,
            None => Asker::begin(host, cx).await?,
        };
        let answered = asker.put(lines, once).await;
        let may_be_begun = once.is_some_and(|begun| begun.load(Ordering::Relaxed));
        if answered.is_err() && !fresh && !may_be_begun {
            continue;
        }
        if shares && answered.is_ok() {
            askers.keep(asker);
        }
        return read(host, answered);
    }
}

fn read(host: &Host, answered: Result<Answer, String>) -> Result<String> {
    let at = error::place(host.access());
    let failed = |why: String| {
        Error::new(ErrorKind::Unavailable, format!("{at}: {why}"))
            .retry(Retry::Safe)
            .with("host", at.clone())
    };
    match answered {
        Ok(Answer { is_whole: false, .. }) => {
            Err(failed(format!("its answer is longer than {ANSWER_BYTES_MAX} bytes")))
        }
        Ok(Answer { text, exit: 0, .. }) => {
            String::from_utf8(text).map_err(|native| failed("its answer is no text".to_owned()).caused_by(native))
        }
        Ok(Answer { exit, said, .. }) => {
            Err(failed(format!("its shell does not do what is asked, and exited {exit}")).with("said", said))
        }
        Err(how) => Err(failed("the connection broke before it answered".to_owned()).with("how", how)),
    }
}
