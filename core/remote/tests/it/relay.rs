//! A way to a server that can be cut, and mended.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Open,
    /// Connections are reset, and new ones too.
    Cut,
    /// Nothing comes through, and nobody is told.
    Silent,
    /// Nothing comes back.
    Mute,
}

/// A relay of the test's own.
pub(crate) struct Relay {
    pub(crate) port: u16,
    state: watch::Sender<State>,
    /// How many connections go through it now.
    live: watch::Sender<usize>,
    /// How many connections were made through it.
    pub(crate) made: Arc<AtomicU64>,
}

impl Relay {
    pub(crate) async fn to(port: u16) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let own = listener.local_addr().unwrap().port();
        let (state, seen) = watch::channel(State::Open);
        let made = Arc::new(AtomicU64::new(0));
        let count = Arc::clone(&made);
        let live = watch::Sender::new(0);
        let living = live.clone();
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                count.fetch_add(1, Ordering::Relaxed);
                tokio::spawn(relay(Live::new(&living), client, port, seen.clone()));
            }
        });
        Self {
            port: own,
            state,
            live,
            made,
        }
    }

    /// Cuts it; then nothing that was connected is so any more.
    pub(crate) async fn cut(&self) {
        self.state.send_replace(State::Cut);
        self.live.subscribe().wait_for(|live| *live == 0).await.unwrap();
    }

    pub(crate) fn silence(&self) {
        self.state.send_replace(State::Silent);
    }

    pub(crate) fn mute(&self) {
        self.state.send_replace(State::Mute);
    }

    pub(crate) fn mend(&self) {
        self.state.send_replace(State::Open);
    }
}

/// Counts a connection for as long as it goes through.
struct Live(watch::Sender<usize>);

impl Live {
    fn new(count: &watch::Sender<usize>) -> Self {
        count.send_modify(|live| *live += 1);
        Self(count.clone())
    }
}

impl Drop for Live {
    fn drop(&mut self) {
        self.0.send_modify(|live| *live -= 1);
    }
}

// A function lets go of what stands first in its arguments last, so the streams are closed when it is counted.
async fn relay(live: Live, client: TcpStream, port: u16, mut state: watch::Receiver<State>) {
    // Closing is then a reset, as where a network is gone.
    let reset =
        |stream: &TcpStream| rustix::net::sockopt::set_socket_linger(stream, Some(std::time::Duration::ZERO)).unwrap();
    reset(&client);
    if *state.borrow() == State::Cut {
        return;
    }
    if state.wait_for(|state| *state != State::Silent).await.is_err() {
        return;
    }
    let Ok(server) = TcpStream::connect(SocketAddr::from(([127, 0, 0, 1], port))).await else {
        return;
    };
    reset(&server);
    let (mut from_client, mut to_client) = client.into_split();
    let (mut from_server, mut to_server) = server.into_split();
    let (up, down, mut silent) = (state.clone(), state.clone(), state.clone());
    tokio::select! {
        () = pass(&mut from_client, &mut to_server, up, &[State::Silent]) => {}
        () = pass(&mut from_server, &mut to_client, down, &[State::Silent, State::Mute]) => {}
        _ = state.wait_for(|state| *state == State::Cut) => return,
        _ = silent.wait_for(|state| *state == State::Silent) => {}
    }
    if *state.borrow() == State::Silent {
        // Neither side is ever told; whoever connects later finds another way.
        drop(live);
        std::future::pending::<()>().await;
    }
}

async fn pass(
    from: &mut (impl AsyncReadExt + Unpin),
    to: &mut (impl AsyncWriteExt + Unpin),
    mut state: watch::Receiver<State>,
    held_in: &[State],
) {
    let mut buffer = vec![0; 16 * 1024];
    loop {
        match from.read(&mut buffer).await {
            Ok(length) if length > 0 => {
                if state.wait_for(|state| !held_in.contains(state)).await.is_err()
                    || to.write_all(&buffer[..length]).await.is_err()
                {
                    return;
                }
            }
            _ => return,
        }
    }
}
