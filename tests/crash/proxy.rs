//! A socket in front of the daemon that can fall silent, refuse, and cut.

use std::io::{ErrorKind, Read, Write};
use std::net::Shutdown;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;

use crate::clock;
use crate::daemon::SOCKET;

/// How the daemon behaves, seen through the proxy.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mode {
    /// As it does.
    Well,
    /// It takes connections and requests, and never answers.
    Silent,
    /// It takes no connection, and has closed those that there were.
    Refusing,
}

/// When a request with a text in it comes, the mode changes.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Trigger {
    pub(crate) text: &'static str,
    pub(crate) fate: Fate,
    pub(crate) then: Mode,
}

/// What becomes of that request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fate {
    /// It reaches the daemon. Where the mode is not a good one, its answer is lost.
    Sent,
    /// Nobody ever sees it.
    Lost,
    /// It is on its way until [`Proxy::release`].
    Held,
}

struct State {
    mode: Mode,
    trigger: Option<Trigger>,
    /// Both ends of what is open, to be closed from outside.
    open: Vec<UnixStream>,
    /// A request that is on its way, and where to.
    held: Option<(UnixStream, Vec<u8>)>,
    ended: bool,
}

type Shared = Arc<Mutex<State>>;

/// The proxy; it ends with its last connection closed.
pub(crate) struct Proxy {
    path: PathBuf,
    state: Shared,
    listening: Option<thread::JoinHandle<()>>,
}

impl Proxy {
    /// Listens on a socket in `folder`.
    pub(crate) fn new(folder: &Path) -> Self {
        let path = folder.join("docker.sock");
        let state = Arc::new(Mutex::new(State {
            mode: Mode::Well,
            trigger: None,
            open: Vec::new(),
            held: None,
            ended: false,
        }));
        let first = bind(&path);
        let listening = {
            let (path, state) = (path.clone(), Arc::clone(&state));
            thread::spawn(move || listen(&path, first, &state))
        };
        Self {
            path,
            state,
            listening: Some(listening),
        }
    }

    /// What `DOCKER_HOST` is to be.
    pub(crate) fn host(&self) -> String {
        format!("unix://{}", self.path.display())
    }

    pub(crate) fn mode(&self) -> Mode {
        lock(&self.state).mode
    }

    /// Whether a request is on its way.
    pub(crate) fn holds(&self) -> bool {
        lock(&self.state).held.is_some()
    }

    /// What is on its way arrives.
    pub(crate) fn release(&self) {
        let held = lock(&self.state).held.take();
        let (mut daemon, bytes) = held.expect("a request is on its way");
        daemon.write_all(&bytes).expect("the daemon takes it");
    }

    pub(crate) fn on(&self, trigger: Trigger) {
        lock(&self.state).trigger = Some(trigger);
    }

    pub(crate) fn set(&self, mode: Mode) {
        lock(&self.state).turn(mode);
        if mode == Mode::Well {
            let answers = clock::until(crate::program::PATIENCE, || UnixStream::connect(&self.path).ok());
            answers.expect("the proxy listens again");
        }
    }

    /// Closes every connection that is open; new ones are served.
    pub(crate) fn cut(&self) {
        lock(&self.state).close();
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        {
            let mut state = lock(&self.state);
            state.ended = true;
            state.close();
        }
        if let Some(listening) = self.listening.take() {
            let _ = listening.join();
        }
    }
}

impl State {
    fn turn(&mut self, mode: Mode) {
        self.mode = mode;
        self.trigger = None;
        if mode == Mode::Refusing {
            self.close();
        }
    }

    fn close(&mut self) {
        for stream in self.open.drain(..) {
            let _ = stream.shutdown(Shutdown::Both);
        }
    }
}

fn lock(state: &Shared) -> std::sync::MutexGuard<'_, State> {
    state.lock().unwrap_or_else(PoisonError::into_inner)
}

fn bind(path: &Path) -> UnixListener {
    let _ = std::fs::remove_file(path);
    let listener = UnixListener::bind(path).expect("a temporary folder takes a socket");
    listener
        .set_nonblocking(true)
        .expect("a socket can be asked without waiting");
    listener
}

/// Takes connections. A socket that nobody listens on any more refuses them.
fn listen(path: &Path, first: UnixListener, state: &Shared) {
    let mut listener = Some(first);
    loop {
        let (mode, ended) = {
            let state = lock(state);
            (state.mode, state.ended)
        };
        if ended {
            return;
        }
        if mode == Mode::Refusing {
            listener = None;
            clock::pause();
            continue;
        }
        match listener.get_or_insert_with(|| bind(path)).accept() {
            Ok((client, _)) => serve(client, state),
            Err(error) if error.kind() == ErrorKind::WouldBlock => clock::pause(),
            Err(error) => panic!("the proxy cannot listen: {error}"),
        }
    }
}

fn serve(client: UnixStream, state: &Shared) {
    let Ok(daemon) = UnixStream::connect(SOCKET) else {
        return;
    };
    let _ = client.set_nonblocking(false);
    let (Ok(client2), Ok(daemon2)) = (client.try_clone(), daemon.try_clone()) else {
        return;
    };
    {
        let mut state = lock(state);
        state.open.extend(client.try_clone());
        state.open.extend(daemon.try_clone());
    }
    let (there, back) = (Arc::clone(state), Arc::clone(state));
    thread::spawn(move || pump(client, daemon, &there, true));
    thread::spawn(move || pump(daemon2, client2, &back, false));
}

/// Hands bytes on, as the mode of the moment allows.
fn pump(mut from: UnixStream, mut to: UnixStream, state: &Shared, asks: bool) {
    let mut buffer = vec![0; 64 << 10];
    while let Ok(count @ 1..) = from.read(&mut buffer) {
        let bytes = &buffer[..count];
        let passes = {
            let mut state = lock(state);
            let met = state
                .trigger
                .filter(|trigger| asks && holds(bytes, trigger.text.as_bytes()));
            let passes = state.mode == Mode::Well && met.is_none_or(|trigger| trigger.fate == Fate::Sent);
            if let Some(trigger) = met {
                if trigger.fate == Fate::Held {
                    state.held = to.try_clone().ok().map(|to| (to, bytes.to_vec()));
                }
                state.turn(trigger.then);
            }
            passes
        };
        if passes && to.write_all(bytes).is_err() {
            break;
        }
    }
    // What is held still has to arrive; else only this direction has ended.
    if lock(state).held.is_none() {
        let _ = to.shutdown(Shutdown::Write);
    }
}

fn holds(bytes: &[u8], text: &[u8]) -> bool {
    bytes.windows(text.len()).any(|window| window == text)
}
