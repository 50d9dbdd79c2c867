//! The signals that ask encamp to stop, and those that are handed on.

use std::io;

use encamp::Signal;
use tokio::signal::unix::{Signal as Stream, SignalKind, signal};

/// Ctrl-C, SIGTERM and the end of the terminal; SIGQUIT too where they are handed on.
#[derive(Debug)]
pub(crate) struct Interrupts {
    interrupt: Stream,
    terminate: Stream,
    /// None where whoever started encamp wants it to outlive its terminal (`nohup`).
    hangup: Option<Stream>,
    quit: Option<Stream>,
}

impl Interrupts {
    /// Those that ask encamp to stop.
    pub(crate) fn new() -> io::Result<Self> {
        Ok(Self {
            interrupt: signal(SignalKind::interrupt())?,
            terminate: signal(SignalKind::terminate())?,
            hangup: if hangup_is_ignored() {
                None
            } else {
                Some(signal(SignalKind::hangup())?)
            },
            quit: None,
        })
    }

    /// All that a command in a machine is to get.
    pub(crate) fn handed_on() -> io::Result<Self> {
        Ok(Self {
            quit: Some(signal(SignalKind::quit())?),
            ..Self::new()?
        })
    }

    /// The next one.
    pub(crate) async fn next(&mut self) -> Signal {
        tokio::select! {
            _ = self.interrupt.recv() => Signal::Int,
            _ = self.terminate.recv() => Signal::Term,
            () = received(&mut self.hangup) => Signal::Hup,
            () = received(&mut self.quit) => Signal::Quit,
        }
    }
}

async fn received(stream: &mut Option<Stream>) {
    match stream {
        Some(stream) => drop(stream.recv().await),
        None => std::future::pending().await,
    }
}

/// Listening would undo what `nohup` has set.
fn hangup_is_ignored() -> bool {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    let mask = mask
        .and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok())
        .unwrap_or(0);
    mask & 1 != 0
}

/// Tells when the terminal has another size.
pub(crate) fn resized() -> io::Result<Stream> {
    signal(SignalKind::window_change())
}
