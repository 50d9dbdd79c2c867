//! Attends to a command without a terminal, over as many connections as it takes.

use std::sync::Arc;
use std::time::Duration;

use encamp_core::{BoxRead, Cx, Error, ErrorKind, Exit, Report, Result};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::sync::{oneshot, watch};

use super::heard::Heard;
use super::input::Input;
use super::output::Writing;
use crate::error;
use crate::host::{Host, Said, Session, Silence, wait};
use crate::marks::{Marks, Piece};
use crate::pool::Pool;
use crate::run::{Job, RunId, Script, Word};
use crate::transport::Channel;

/// The pause before it is looked for again, and the longest.
const PAUSE: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(5));
/// How often a command that never began is begun anew.
const BEGUN_MAX: u32 = 5;
/// How often in a row a connection may turn out to take no further session.
const FULL_MAX: u32 = 12;
/// How long a session may take to end that has nothing more to say.
const END_TIMEOUT: Duration = Duration::from_secs(5);

pub(super) struct Attendant {
    pub(super) host: Arc<Host>,
    pub(super) cx: Cx,
    /// For how long a host is looked for whose connection broke, however near the caller's deadline is.
    pub(super) patience: Duration,
    pub(super) job: Job,
    pub(super) run: watch::Sender<RunId>,
    /// Told when a script may have reached the host.
    pub(super) tell_sent: watch::Sender<bool>,
    pub(super) input: Input,
    pub(super) out: Writing,
    pub(super) err: Writing,
}

/// Tells that a command has begun, or why not.
pub(super) type TellBegun = oneshot::Sender<Result<()>>;
/// Tells how it ended.
pub(super) type TellExit = watch::Sender<Option<Exit>>;

/// What one session came to.
enum Outcome {
    /// All is known.
    Complete,
    /// The connection takes no further session.
    Full,
    /// It broke, or the session did; in the client's words.
    Cut(String),
    /// Its reader stood still; another connection can wait for it.
    Stalled,
    /// No other session would come to more.
    Failed(Error),
}

/// A reader, for as long as there is one, and how much it was given.
struct Sink {
    to: Option<Writing>,
    had: watch::Sender<u64>,
}

impl Sink {
    fn new(to: Writing) -> Self {
        Self {
            to: Some(to),
            had: watch::channel(0).0,
        }
    }

    /// Who does not listen any more makes nobody wait.
    async fn give(&mut self, bytes: &[u8]) {
        if let Some(to) = &mut self.to
            && to.write_all(bytes).await.is_err()
        {
            self.to = None;
        }
        self.had.send_modify(|had| *had += bytes.len() as u64);
    }

    /// Passes on what a session says until it ends.
    async fn pass(&mut self, from: &mut BoxRead) {
        let mut buffer = vec![0; 32 * 1024];
        while let Ok(length) = from.read(&mut buffer).await
            && length > 0
        {
            self.give(&buffer[..length]).await;
        }
    }

    /// All was passed on; or why the rest never will be.
    fn end(&mut self, whole: Result<(), &str>) {
        if let Some(to) = self.to.take() {
            to.end(whole);
        }
    }

    fn had(&self) -> u64 {
        *self.had.borrow()
    }
}

impl Attendant {
    pub(super) async fn attend(self, tell_begun: TellBegun, tell_exit: TellExit) {
        let Self {
            host,
            cx,
            patience,
            job,
            run,
            tell_sent,
            input,
            out,
            err,
        } = self;
        let mut attendance = Attendance {
            heard: watch::channel(Heard::default()).0,
            out: Sink::new(out),
            err: Sink::new(err),
            tell_begun: Some(tell_begun),
            tell_exit,
            host,
            cx,
            patience,
            job,
            run,
            tell_sent,
            input,
        };
        let lost = attendance.see_through().await;
        let Attendance {
            mut out,
            mut err,
            tell_begun,
            tell_exit,
            ..
        } = attendance;
        let Some(error) = lost else { return };
        let why = Report(&error).to_string();
        // The status may be known, and what was said all the same not all be there.
        out.end(Err(&why));
        err.end(Err(&why));
        match tell_begun {
            // Nobody waits for it any more where this fails.
            Some(tell) => drop(tell.send(Err(error))),
            None => {
                tell_exit.send_if_modified(|exit| {
                    let unknown = exit.is_none();
                    if unknown {
                        *exit = Some(Exit::Lost(why));
                    }
                    unknown
                });
            }
        }
    }
}

struct Attendance {
    host: Arc<Host>,
    cx: Cx,
    patience: Duration,
    job: Job,
    run: watch::Sender<RunId>,
    tell_sent: watch::Sender<bool>,
    input: Input,
    heard: watch::Sender<Heard>,
    out: Sink,
    err: Sink,
    tell_begun: Option<TellBegun>,
    tell_exit: TellExit,
}

impl Attendance {
    /// Until all is known; else why it never will be.
    async fn see_through(&mut self) -> Option<Error> {
        let (mut sent, mut begun_times, mut pause) = (false, 0, PAUSE.0);
        let (mut patiently, mut full_times) = (false, 0);
        // Set when a connection breaks, and taken back when the next one stands.
        let mut search: Option<Cx> = None;
        loop {
            let cx = search.as_ref().unwrap_or(&self.cx).clone();
            let id = self.run.borrow().clone();
            let script = if sent {
                Script::attach(&id, self.job.input, (self.out.had(), self.err.had()))
            } else {
                self.job.start(&id, self.host.pools.sweeps())
            };
            let line = script.line(&self.host.access().prefix);
            let before = (self.out.had(), self.err.had());
            let host = Arc::clone(&self.host);
            let pool = host.pools.of_commands(patiently);
            let was_sent = sent;
            // Over when the session has stood for longer than was waited for it.
            let mut steady = None;
            let outcome = match host.session(&cx, pool, &line, false).await {
                Ok(session) => {
                    steady = Some(Cx::within(pause));
                    let resumes = std::mem::replace(&mut sent, true);
                    self.tell_sent.send_replace(true);
                    self.heard.send_modify(|heard| heard.anew(resumes));
                    self.over(session, pool, &script).await
                }
                // A host that is away may come back; one that refuses us or shows another key does not.
                Err(error) if sent && may_pass(&error) => Outcome::Cut(Report(&error).to_string()),
                Err(error) => Outcome::Failed(error),
            };
            let why = match outcome {
                Outcome::Complete => return None,
                Outcome::Failed(error) => return Some(error),
                Outcome::Full => {
                    // This script was not run; a former one may have been.
                    sent = was_sent;
                    full_times += 1;
                    if full_times == FULL_MAX {
                        return Some(error::no_sessions(self.host.access()));
                    }
                    if full_times > 1
                        && let Err(error) = wait(&cx, PAUSE.0).await
                    {
                        return Some(error);
                    }
                    continue;
                }
                Outcome::Stalled => {
                    patiently = true;
                    continue;
                }
                Outcome::Cut(why) => why,
            };
            full_times = 0;
            let heard = self.heard.borrow().clone();
            if heard.refused.as_deref() == Some("absent") {
                if heard.began.is_some() {
                    return Some(self.gone(&heard));
                }
                begun_times += 1;
                if begun_times == BEGUN_MAX {
                    return Some(self.unreached(&why));
                }
                match RunId::fresh() {
                    Ok(id) => drop(self.run.send_replace(id)),
                    Err(error) => return Some(error),
                }
                sent = false;
            }
            // A command may be quiet for long: that its session stood is enough.
            let stood = heard.boot.is_some() && steady.is_some_and(|cx| cx.remaining().is_zero());
            if stood || before != (self.out.had(), self.err.had()) {
                (search, pause) = (None, PAUSE.0);
            }
            let cx = search.get_or_insert_with(|| {
                let mut cx = self.cx.clone();
                cx.deadline = cx.deadline.max(Cx::within(self.patience).deadline);
                cx
            });
            if cx.remaining() < pause {
                return Some(self.unreached(&why));
            }
            tracing::debug!(
                host = error::place(self.host.access()),
                why,
                "a connection broke under a command"
            );
            if let Err(error) = wait(cx, pause).await {
                return Some(error);
            }
            pause = (pause * 2).min(PAUSE.1);
        }
    }

    /// One session, from its script to its end.
    async fn over(&mut self, session: Session, pool: &Pool, script: &Script) -> Outcome {
        let Session { channel, lease } = session;
        let Channel {
            mut stdin,
            mut stdout,
            stderr,
            end,
        } = channel;
        let mut heard = self.heard.subscribe();
        let (mut midway, mut said, mut spoke) = (true, Said::default(), false);
        let lost = lost(self.heard.subscribe());
        let complete = complete(
            self.heard.subscribe(),
            self.out.had.subscribe(),
            self.err.had.subscribe(),
        );
        let Self {
            input,
            out,
            err,
            tell_begun,
            tell_exit,
            heard: known,
            ..
        } = self;
        let done = {
            let outputs = async {
                let passed_out = out.pass(&mut stdout);
                let listened = Listening {
                    stderr,
                    err,
                    known,
                    tell_begun,
                    tell_exit,
                    said: &mut said,
                    spoke: &mut spoke,
                };
                tokio::join!(passed_out, listened.listen(script.id.as_str()));
            };
            let fed = async {
                let begun = async {
                    stdin.write_all(script.text.as_bytes()).await?;
                    stdin.flush().await
                };
                if begun.await.is_ok() {
                    midway = false;
                    input.feed(&mut stdin, &mut heard, &mut midway).await;
                }
                std::future::pending::<()>().await;
            };
            tokio::select! {
                biased;
                () = complete => true,
                () = lost => false,
                () = outputs => false,
                () = fed => false,
            }
        };
        if done || self.heard.borrow().is_complete((self.out.had(), self.err.had())) {
            self.out.end(Ok(()));
            self.err.end(Ok(()));
            let quit = async {
                let told = !midway && stdin.write_all(b"q\n").await.is_ok() && stdin.flush().await.is_ok();
                let _ = stdin.shutdown().await;
                end.await;
                told && lease.connection.stands()
            };
            if !tokio::time::timeout(END_TIMEOUT, quit).await.unwrap_or(false) {
                drop(lease);
                self.host.forget(&script.id).await;
            }
            return Outcome::Complete;
        }
        if let Some(outcome) = self.refusal() {
            return outcome;
        }
        let end = end.await;
        if end.stalled {
            return Outcome::Stalled;
        }
        if spoke {
            return Outcome::Cut(end.words);
        }
        match self.host.without_a_word(lease, pool, end, &said).await {
            Silence::Full => Outcome::Full,
            Silence::Broken(why) => Outcome::Cut(why),
            Silence::Failed(error) => Outcome::Failed(error),
        }
    }

    /// What it means that a script did not go on.
    fn refusal(&self) -> Option<Outcome> {
        let heard = self.heard.borrow().clone();
        Some(match (heard.refused.as_deref(), heard.lost) {
            (Some("absent"), _) => Outcome::Cut("the command never began".to_owned()),
            (Some("rebooted"), _) => Outcome::Failed(self.gone(&heard)),
            (Some(why), _) => Outcome::Failed(error::refused(self.host.access(), why)),
            (None, Some(lost)) => Outcome::Failed(self.lost(lost)),
            (None, None) => return None,
        })
    }

    fn lost(&self, why: &'static str) -> Error {
        Error::new(ErrorKind::Unavailable, why).with("host", error::place(self.host.access()))
    }

    fn gone(&self, heard: &Heard) -> Error {
        let rebooted = heard.refused.as_deref() == Some("rebooted") || heard.began != heard.boot;
        self.lost(if rebooted {
            "the host was started anew"
        } else {
            "what the command left on the host is gone"
        })
    }

    fn unreached(&self, why: &str) -> Error {
        let at = error::place(self.host.access());
        let error = Error::new(
            ErrorKind::Unavailable,
            format!("{at} was not reached again after the connection broke"),
        );
        if why.is_empty() {
            error
        } else {
            error.caused_by(why.to_owned())
        }
    }
}

fn may_pass(error: &Error) -> bool {
    matches!(
        error.kind(),
        ErrorKind::Unavailable | ErrorKind::Throttled | ErrorKind::Quota | ErrorKind::NotFound
    )
}

/// Completes when everything is known and has been passed on.
async fn complete(mut heard: watch::Receiver<Heard>, mut out: watch::Receiver<u64>, mut err: watch::Receiver<u64>) {
    loop {
        let had = (*out.borrow_and_update(), *err.borrow_and_update());
        if heard.borrow_and_update().is_complete(had) {
            return;
        }
        let changed = tokio::select! {
            changed = heard.changed() => changed,
            changed = out.changed() => changed,
            changed = err.changed() => changed,
        };
        if changed.is_err() {
            return std::future::pending().await;
        }
    }
}

/// Completes when it is known that not everything will ever be.
async fn lost(mut heard: watch::Receiver<Heard>) {
    if heard.wait_for(|heard| heard.lost.is_some()).await.is_err() {
        std::future::pending::<()>().await;
    }
}

/// Standard error of a session: the command's, and the words of its script.
struct Listening<'a> {
    stderr: BoxRead,
    err: &'a mut Sink,
    known: &'a watch::Sender<Heard>,
    tell_begun: &'a mut Option<TellBegun>,
    tell_exit: &'a TellExit,
    said: &'a mut Said,
    spoke: &'a mut bool,
}

impl Listening<'_> {
    async fn listen(mut self, id: &str) {
        let mut marks = Marks::new(id);
        let mut buffer = vec![0; 32 * 1024];
        while let Ok(length) = self.stderr.read(&mut buffer).await
            && length > 0
        {
            for piece in marks.take(&buffer[..length]) {
                match piece {
                    Piece::Bytes(bytes) if *self.spoke => self.err.give(&bytes).await,
                    Piece::Bytes(bytes) => self.said.take(&bytes),
                    Piece::Word(word) => self.hear(Word::parse(&word)),
                }
            }
        }
        // What is held back may be half a word. Where it is the command's, another session brings it again.
    }

    fn hear(&mut self, word: Word) {
        *self.spoke = true;
        if matches!(word, Word::Began { .. })
            && let Some(tell) = self.tell_begun.take()
        {
            // Who asked may have given up waiting; the command runs all the same.
            let _ = tell.send(Ok(()));
        }
        if let Word::Exit(code) = word {
            self.tell_exit.send_replace(Some(Exit::Code(code)));
        }
        self.known.send_modify(|heard| heard.take(word));
    }
}
