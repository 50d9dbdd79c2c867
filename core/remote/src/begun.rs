//! A script on a host, from its session to its first word and what it says from there on.

use encamp_core::{BoxRead, Cx, Result};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::error;
use crate::host::{Host, Lease, Said, Session, Silence};
use crate::marks::{Marks, Piece};
use crate::pool::Pool;
use crate::run::{RunId, Script, Word};
use crate::transport::Channel;
use crate::within::within;

/// Sessions that are tried where a connection is full or breaks before anything was sent.
const TRIED_MAX: u32 = 4;

/// A script that has begun: it has said its first word.
pub(crate) struct Begun {
    pub(crate) id: RunId,
    pub(crate) channel: Channel,
    pub(crate) lease: Lease,
    pub(crate) listener: Listener,
}

/// What a script says, and what its commands complain of.
pub(crate) struct Listener {
    marks: Marks,
    pub(crate) said: Said,
    words: Vec<Word>,
    /// There was a word; what came before the first is the login shell's.
    begun: bool,
}

impl Listener {
    /// Listens on until the end of the session, or until there is a word where `once`.
    pub(crate) async fn listen(&mut self, stderr: &mut BoxRead, once: bool) {
        let mut buffer = [0; 4096];
        while let Ok(length) = stderr.read(&mut buffer).await
            && length > 0
        {
            for piece in self.marks.take(&buffer[..length]) {
                match piece {
                    Piece::Bytes(bytes) => self.said.take(&bytes),
                    Piece::Word(word) => {
                        // What comes behind the first may have come with it.
                        if !self.begun {
                            self.begun = true;
                            self.said = Said::default();
                        }
                        self.words.push(Word::parse(&word));
                    }
                }
            }
            if once && !self.words.is_empty() {
                return;
            }
        }
    }

    /// Listens for one more word, with what is complained of until then.
    pub(crate) async fn listen_afresh(&mut self, stderr: &mut BoxRead) {
        self.words.clear();
        self.said = Said::default();
        self.listen(stderr, true).await;
    }

    pub(crate) fn has_heard(&self) -> bool {
        !self.words.is_empty()
    }

    pub(crate) fn exit(&self) -> Option<i32> {
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

pub(crate) async fn begin(host: &Host, cx: &Cx, pool: &Pool, body: &str) -> Result<Begun> {
    within(cx, begin_patiently(host, cx, pool, body), || host.silent()).await
}

async fn begin_patiently(host: &Host, cx: &Cx, pool: &Pool, body: &str) -> Result<Begun> {
    let mut broken = None;
    for _ in 0..TRIED_MAX {
        let id = RunId::fresh()?;
        let script = Script::plain(&id, body);
        let line = script.line(&host.access().prefix);
        let Session { mut channel, lease } = host.session(cx, pool, &line, false).await?;
        // A session that ends early is told by what it says.
        let _ = channel.stdin.write_all(script.text.as_bytes()).await;
        let _ = channel.stdin.flush().await;
        let mut listener = Listener {
            marks: Marks::new(id.as_str()),
            said: Said::default(),
            words: Vec::new(),
            begun: false,
        };
        listener.listen(&mut channel.stderr, true).await;
        if let Some(why) = listener.refusal() {
            return Err(error::refused(host.access(), why));
        }
        if !listener.words.is_empty() {
            return Ok(Begun {
                id,
                channel,
                lease,
                listener,
            });
        }
        match host
            .without_a_word(lease, pool, channel.end.await, &listener.said)
            .await
        {
            Silence::Failed(error) => return Err(error),
            Silence::Full => {}
            Silence::Broken(why) => broken = Some(why),
        }
    }
    Err(host.never_begun(broken))
}
