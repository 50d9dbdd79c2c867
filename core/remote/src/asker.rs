//! A session that many questions go through, one after the other: each session of its own costs a host several processes.

use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use encamp_core::{BoxRead, BoxWrite, Cx, Result};
use futures_util::future::BoxFuture;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio_util::task::AbortOnDropHandle;

use crate::begun::{Begun, Listener, begin};
use crate::host::{Host, Lease};
use crate::marks::{Marks, Piece};
use crate::transport::{Channel, End};

/// How much of an answer is read: a host may say anything.
pub(crate) const ANSWER_BYTES_MAX: usize = 256 * 1024;
/// How long a session is kept for a further question.
const KEPT: Duration = Duration::from_secs(5);

/// Reads questions by their length. Each has a shell of its own, and what changes something waits for a further word.
const SCRIPT: &str = r#"main() {
    say ready
    while read -r length wait; do
        question=$(dd bs="$length" count=1 iflag=fullblock)
        if [ -n "$wait" ]; then
            say ready
            read -r go && [ "$go" = go ] || exit 0
        fi
        # What an earlier one has left in the background may still speak.
        printf '\036encamp-%s:begin\036' "$id"
        (
            umask "$mask"
            eval "$question"
        ) </dev/null 2>&4 4>&-
        code=$?
        printf '\036encamp-%s:end\036' "$id"
        say "x$code"
    done
}
"#;

/// A shell on a host that answers.
pub(crate) struct Asker {
    stdin: BoxWrite,
    stdout: BoxRead,
    stderr: BoxRead,
    end: BoxFuture<'static, End>,
    listener: Listener,
    answers: Marks,
    /// Behind the session, which ends first.
    lease: Lease,
}

/// What came of a question.
pub(crate) struct Answer {
    pub(crate) text: Vec<u8>,
    /// Nothing of it was too much to be read.
    pub(crate) is_whole: bool,
    pub(crate) exit: i32,
    /// What it complained of.
    pub(crate) said: String,
}

impl Asker {
    pub(crate) async fn begin(host: &Host, cx: &Cx) -> Result<Self> {
        let Begun {
            id,
            channel,
            lease,
            listener,
        } = begin(host, cx, &host.pools.work, SCRIPT).await?;
        let Channel {
            stdin,
            stdout,
            stderr,
            end,
        } = channel;
        Ok(Self {
            stdin,
            stdout,
            stderr,
            end,
            listener,
            answers: Marks::new(id.as_str()),
            lease,
        })
    }

    /// Asks lines for `sh`. Where it is to be known whether they may have `begun`, they are not before that is so.
    ///
    /// An error is the client's words on how the session ended, which is of no use any more.
    pub(crate) async fn put(&mut self, lines: &str, begun: Option<&AtomicBool>) -> Result<Answer, String> {
        // Nothing but the last line does anything, so that a question that arrives in part is none.
        let question = format!("question() {{\n{lines}\n}}\nquestion");
        let wait = if begun.is_some() { " wait" } else { "" };
        // What does not arrive is not answered.
        self.send(&format!("{}{wait}\n{question}", question.len())).await;
        if let Some(begun) = begun {
            self.listener.listen_afresh(&mut self.stderr).await;
            if !self.listener.has_heard() {
                return Err(self.ended().await);
            }
            begun.store(true, Ordering::Relaxed);
            self.send("go\n").await;
        }
        let answer = read(&mut self.stdout, &mut self.answers);
        let (text, ()) = tokio::join!(answer, self.listener.listen_afresh(&mut self.stderr));
        match (text, self.listener.exit()) {
            (Some((text, is_whole)), Some(exit)) => Ok(Answer {
                text,
                is_whole,
                exit,
                said: self.listener.said.text(),
            }),
            _ => Err(self.ended().await),
        }
    }

    async fn send(&mut self, text: &str) {
        if self.stdin.write_all(text.as_bytes()).await.is_ok() {
            let _ = self.stdin.flush().await;
        }
    }

    async fn ended(&mut self) -> String {
        (&mut self.end).await.words
    }
}

/// Reads an answer to its end, and says whether that is all of it: what is beyond the most that is read is thrown away.
async fn read(stdout: &mut BoxRead, marks: &mut Marks) -> Option<(Vec<u8>, bool)> {
    let (mut text, mut is_whole) = (Vec::new(), true);
    let mut buffer = vec![0; 16 * 1024];
    loop {
        let length = stdout.read(&mut buffer).await.ok().filter(|length| *length > 0)?;
        for piece in marks.take(&buffer[..length]) {
            match piece {
                Piece::Bytes(bytes) => {
                    let room = ANSWER_BYTES_MAX.saturating_sub(text.len());
                    is_whole &= bytes.len() <= room;
                    text.extend_from_slice(&bytes[..bytes.len().min(room)]);
                }
                Piece::Word(word) if word == "begin" => (text, is_whole) = (Vec::new(), true),
                Piece::Word(_) => return Some((text, is_whole)),
            }
        }
    }
}

/// The session with a host that waits for a further question, if there is one. What is asked at the same time has
/// sessions of its own.
#[derive(Default)]
pub(crate) struct Askers {
    kept: Arc<Mutex<Option<Kept>>>,
}

struct Kept {
    asker: Asker,
    /// Lets it go when nobody has wanted it.
    _end: AbortOnDropHandle<()>,
}

impl Askers {
    /// Takes it away. Whoever gets no answer from it lets it go.
    pub(crate) fn take(&self) -> Option<Asker> {
        let kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner).take();
        kept.map(|kept| kept.asker)
            .filter(|asker| asker.lease.connection.stands())
    }

    /// Keeps one for a while.
    pub(crate) fn keep(&self, asker: Asker) {
        let slot = Arc::downgrade(&self.kept);
        let end = tokio::spawn(async move {
            tokio::time::sleep(KEPT).await;
            if let Some(slot) = slot.upgrade() {
                slot.lock().unwrap_or_else(PoisonError::into_inner).take();
            }
        });
        let kept = Kept {
            asker,
            _end: AbortOnDropHandle::new(end),
        };
        *self.kept.lock().unwrap_or_else(PoisonError::into_inner) = Some(kept);
    }
}

impl fmt::Debug for Askers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Askers").finish_non_exhaustive()
    }
}
