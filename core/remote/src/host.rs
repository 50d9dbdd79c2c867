//! One host as one user: its connections, apart by purpose.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use encamp_core::{Cx, Error, ErrorKind, Report, Result, Retry, SshAccess};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::sync::Semaphore;

use crate::asker::Askers;
use crate::error::{self, Failure};
use crate::marks::{Marks, Piece};
use crate::pool::Pool;
use crate::run::{RunId, Script, Word};
use crate::transport::{Channel, Connection, End, Refused, Route, Transport};
use crate::within::within;

/// The pause after a failed login, and the longest; each is drawn anew between half of it and all.
const PAUSE: (Duration, Duration) = (Duration::from_millis(150), Duration::from_secs(3));
/// How often a login is tried where the host hangs up or does not answer.
const LOGINS_MAX: u32 = 20;
/// Logins through one jump host at a time: sshd drops more than ten that have not proved themselves.
const LOGINS_VIA_MAX: usize = 6;
/// What a session says before its script begins: complaints of a login shell.
const SAID_BYTES_MAX: usize = 4096;
/// How often a session is asked for where connections break or are full.
const SESSIONS_TRIED_MAX: u32 = 12;
/// With which a guard in front of commands ends that lets one not through, and what its line with the reason begins with.
const GUARD_STATUS: i32 = 254;
const GUARD_SAYS: &str = "encamp-guard: ";
/// For how long it is tried to remove what a run has left.
const FORGET_TIMEOUT: Duration = Duration::from_secs(30);

/// Makes connections to one host.
#[derive(Debug)]
pub(crate) struct Dialer {
    route: Route,
    transport: Arc<dyn Transport>,
    via: Option<Arc<Pools>>,
    /// Logins of this program at a time: each costs a key exchange.
    logins: Arc<Semaphore>,
}

impl Dialer {
    pub(crate) fn access(&self) -> &SshAccess {
        &self.route.access
    }

    /// Connects, more than once where that may help; `failed` is told why it is tried again.
    pub(crate) async fn connect(&self, cx: &Cx, failed: impl Fn(Error)) -> Result<Arc<dyn Connection>> {
        let mut pause = PAUSE.0;
        let mut turn = 1;
        loop {
            let late = || {
                Failure::Route {
                    why: "no login in time".to_owned(),
                }
                .translate(self.access(), &[])
            };
            let failure = match within(cx, self.connect_once(cx), late).await? {
                Ok(connection) => return Ok(connection),
                Err(failure) => failure,
            };
            let again = matches!(failure, Failure::HungUp { .. }) && turn < LOGINS_MAX && cx.remaining() > pause;
            let expected = self.route.host_keys.iter().map(|key| key.fingerprint().to_owned());
            let error = failure.translate(self.access(), &expected.collect::<Vec<_>>());
            if !again {
                return Err(error);
            }
            failed(error);
            wait(cx, pause).await?;
            pause = (pause * 2).min(PAUSE.1);
            turn += 1;
        }
    }

    async fn connect_once(&self, cx: &Cx) -> Result<Result<Arc<dyn Connection>, Failure>> {
        // A jump host has the connection that others go through as well; only the login counts here.
        let via = match &self.via {
            Some(host) => Some((Box::pin(host.jump.lease(cx)).await?, Arc::clone(&host.logins_via))),
            None => None,
        };
        let _through = match &via {
            Some((_, turns)) => Some(turns.acquire().await.map_err(unbounded)?),
            None => None,
        };
        let _turn = self.logins.acquire().await.map_err(unbounded)?;
        let lease = via.as_ref().map(|(lease, _)| Arc::clone(&lease.connection));
        Ok(self.transport.connect(cx, &self.route, lease).await)
    }
}

fn unbounded(_: tokio::sync::AcquireError) -> Error {
    Error::new(ErrorKind::Internal, "logins cannot be counted any more")
}

/// Sleeps between half of `pause` and all of it.
pub(crate) async fn wait(cx: &Cx, pause: Duration) -> Result<()> {
    let mut byte = [0_u8];
    // Without randomness all wait as long; that is no reason to fail.
    let _ = getrandom::fill(&mut byte);
    let pause = pause.mul_f64(0.5 + f64::from(byte[0]) / 512.0);
    within(
        cx,
        async {
            tokio::time::sleep(pause).await;
            Ok(())
        },
        || Error::new(ErrorKind::Unavailable, "the deadline came before the next try").retry(Retry::Safe),
    )
    .await
}

/// The connections to a host, whoever goes there as the same user.
#[derive(Debug)]
pub(crate) struct Pools {
    /// Commands.
    pub(crate) work: Pool,
    /// Commands whose readers stand still, and terminals.
    pub(crate) patient: Pool,
    /// Signals and what else is asked: never behind the output of a command that nobody reads.
    pub(crate) control: Pool,
    /// Files.
    pub(crate) bulk: Pool,
    /// Connections that go on from the host.
    pub(crate) lines: Pool,
    /// What is asked of the host itself.
    pub(crate) askers: Askers,
    /// Other hosts behind this one.
    jump: Pool,
    logins_via: Arc<Semaphore>,
    swept: AtomicBool,
}

impl Pools {
    pub(crate) fn new(
        route: Route,
        transport: Arc<dyn Transport>,
        via: Option<Arc<Self>>,
        logins: Arc<Semaphore>,
    ) -> Self {
        let apart = transport.stands_still_with_a_reader();
        let dialer = Arc::new(Dialer {
            route,
            transport,
            via,
            logins,
        });
        let shared = || Pool::shared(Arc::clone(&dialer));
        let streams = || {
            if apart {
                Pool::of_singles(Arc::clone(&dialer))
            } else {
                shared()
            }
        };
        Self {
            work: shared(),
            patient: streams(),
            control: shared(),
            bulk: streams(),
            lines: streams(),
            askers: Askers::default(),
            jump: shared(),
            logins_via: Arc::new(Semaphore::new(LOGINS_VIA_MAX)),
            swept: AtomicBool::new(false),
        }
    }

    /// For commands; and for those whose readers stand still.
    pub(crate) fn of_commands(&self, patiently: bool) -> &Pool {
        if patiently { &self.patient } else { &self.work }
    }

    /// True once: what former runs have left is swept then.
    pub(crate) fn sweeps(&self) -> bool {
        !self.swept.swap(true, Ordering::Relaxed)
    }
}

/// A host as one access means it: with what stands before each command. Others that mean the same host otherwise have
/// the same connections.
#[derive(Debug)]
pub(crate) struct Host {
    access: SshAccess,
    pub(crate) pools: Arc<Pools>,
}

impl Host {
    pub(crate) fn new(access: SshAccess, pools: Arc<Pools>) -> Self {
        Self { access, pools }
    }

    pub(crate) fn access(&self) -> &SshAccess {
        &self.access
    }

    /// Opens a session that runs a script, on whichever connection has room for it.
    ///
    /// Where the answer is an error that may be retried, the script was not sent.
    pub(crate) async fn session(&self, cx: &Cx, pool: &Pool, line: &str, terminal: bool) -> Result<Session> {
        let mut words = String::new();
        for _ in 0..SESSIONS_TRIED_MAX {
            let lease = pool.lease(cx).await?;
            let opened = lease.connection.open(line, terminal, pool.is_of_singles());
            match within(cx, async { Ok(opened.await) }, || self.silent()).await? {
                Ok(channel) => return Ok(Session { channel, lease }),
                Err(Refused::Sessions) => {
                    if pool.is_full(lease) {
                        return Err(error::no_sessions(self.access()));
                    }
                }
                // The pool does not give it again.
                Err(Refused::Broken(why)) => words = why,
                Err(Refused::Denied(why)) => {
                    words = why;
                    break;
                }
            }
        }
        Err(Failure::Other { why: words }.translate(self.access(), &[]))
    }

    /// Runs a short script and gives its words.
    pub(crate) async fn ask(&self, cx: &Cx, script: &Script) -> Result<Vec<Word>> {
        within(cx, self.ask_patiently(cx, script), || self.silent()).await
    }

    /// Nothing came back from it before the caller's deadline.
    pub(crate) fn silent(&self) -> Error {
        let why = "no answer before the deadline".to_owned();
        Failure::Route { why }.translate(self.access(), &[])
    }

    async fn ask_patiently(&self, cx: &Cx, script: &Script) -> Result<Vec<Word>> {
        let mut broken = None;
        for _ in 0..SESSIONS_TRIED_MAX {
            let line = script.line(&self.access().prefix);
            let Session { channel, lease } = self.session(cx, &self.pools.control, &line, false).await?;
            let Channel {
                mut stdin,
                mut stdout,
                mut stderr,
                end,
            } = channel;
            // A session that ends early is told by what it says.
            let _ = stdin.write_all(script.text.as_bytes()).await;
            let _ = stdin.flush().await;
            let (mut marks, mut words, mut said) = (Marks::new(script.id.as_str()), Vec::new(), Said::default());
            let mut buffer = [0_u8; 4096];
            while let Ok(length) = stderr.read(&mut buffer).await
                && length > 0
            {
                for piece in marks.take(&buffer[..length]) {
                    match piece {
                        Piece::Word(word) => words.push(Word::parse(&word)),
                        Piece::Bytes(bytes) => said.take(&bytes),
                    }
                }
            }
            let _ = tokio::io::copy(&mut stdout, &mut tokio::io::sink()).await;
            if let Some(Word::Refused(why)) = words.iter().find(|word| matches!(word, Word::Refused(_))) {
                return Err(error::refused(self.access(), why));
            }
            if !words.is_empty() {
                return Ok(words);
            }
            match self.without_a_word(lease, &self.pools.control, end.await, &said).await {
                Silence::Full => {}
                Silence::Failed(error) => return Err(error),
                Silence::Broken(why) => {
                    broken = Some(why);
                    wait(cx, PAUSE.0).await?;
                }
            }
        }
        Err(self.never_begun(broken))
    }

    /// What it means that no session came to a script's first word: they broke, or there were none to be had.
    pub(crate) fn never_begun(&self, broken: Option<String>) -> Error {
        match broken {
            Some(why) => Failure::Other { why }.translate(self.access(), &[]),
            None => error::no_sessions(self.access()),
        }
    }

    /// Removes what a run has left, as soon as the host can be asked. What fails is swept by a later session.
    pub(crate) async fn forget(&self, id: &RunId) {
        let cx = Cx::within(FORGET_TIMEOUT);
        let script = Script::forget(id);
        let mut pause = PAUSE.0;
        while let Err(error) = self.ask(&cx, &script).await {
            if error.retryable() != Retry::Safe || cx.remaining() < pause || wait(&cx, pause).await.is_err() {
                tracing::debug!(error = %Report(&error), "a run stays behind on its host");
                return;
            }
            pause = (pause * 2).min(PAUSE.1);
        }
    }

    /// What it means that a session ended before its script said a word.
    pub(crate) async fn without_a_word(&self, lease: Lease, pool: &Pool, end: End, said: &Said) -> Silence {
        if end.refused {
            if pool.is_full(lease) {
                return Silence::Failed(error::no_sessions(self.access()));
            }
            return Silence::Full;
        }
        let guarded = !self.access().prefix.is_empty() && end.status == Some(GUARD_STATUS);
        if let Some(why) = said.of_guard().filter(|_| guarded) {
            return Silence::Failed(error::held_off(self.access(), &why));
        }
        if has_broken(&lease).await {
            return Silence::Broken(end.words);
        }
        Silence::Failed(error::no_shell(self.access(), &said.text()))
    }
}

/// Whether a connection has broken under a session that ended: that is known a moment later.
pub(crate) async fn has_broken(lease: &Lease) -> bool {
    for _ in 0..20 {
        if !lease.connection.stands() {
            return true;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    false
}

pub(crate) use crate::pool::Lease;

/// A session, and the right to it.
pub(crate) struct Session {
    pub(crate) channel: Channel,
    pub(crate) lease: Lease,
}

/// Why a session ended before its script said a word.
#[derive(Debug)]
pub(crate) enum Silence {
    /// The connection takes no further session; another one may.
    Full,
    /// The connection broke, in the client's words.
    Broken(String),
    /// The host does not run scripts.
    Failed(Error),
}

/// What is complained of: by a login shell before the first word, with the figures of `dd`, and by what runs behind it.
#[derive(Debug, Default)]
pub(crate) struct Said(Vec<u8>);

impl Said {
    pub(crate) fn take(&mut self, bytes: &[u8]) {
        let room = SAID_BYTES_MAX.saturating_sub(self.0.len());
        self.0.extend_from_slice(&bytes[..bytes.len().min(room)]);
    }

    /// Why a guard let nothing through.
    fn of_guard(&self) -> Option<String> {
        let text = String::from_utf8_lossy(&self.0);
        let told = text.lines().find_map(|line| line.strip_prefix(GUARD_SAYS));
        told.map(|why| why.trim().to_owned())
    }

    /// For people.
    pub(crate) fn text(&self) -> String {
        let text = String::from_utf8_lossy(&self.0);
        let figures =
            |line: &&str| !(line.contains("records in") || line.contains("records out") || line.contains("copied,"));
        let lines: Vec<_> = text.lines().filter(figures).collect();
        lines.join("; ")
    }
}
