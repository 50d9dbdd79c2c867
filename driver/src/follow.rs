//! Waits for the engine's work, shows what happens meanwhile, and listens for Ctrl-C.

use std::future::Future;
use std::ops::ControlFlow;
use std::time::Duration;

use encamp::{Error, ErrorKind, Event, Events, Result};
use tokio::sync::mpsc;

use crate::interrupts::Interrupts;
use crate::progress::Shown;

/// Events on their way to the screen. A slow screen slows the work down.
const UNREAD: usize = 256;
/// How often times on the screen move.
const TICK: Duration = Duration::from_millis(100);

/// Shows one command's events, and counts its Ctrl-Cs.
#[derive(Debug)]
pub(crate) struct Follow {
    pub(crate) shown: Shown,
    sender: mpsc::Sender<Event>,
    events: mpsc::Receiver<Event>,
    interrupts: Interrupts,
    count: u32,
}

impl Follow {
    pub(crate) fn new(shown: Shown) -> Result<Self> {
        let (sender, events) = mpsc::channel(UNREAD);
        let interrupts = Interrupts::new()
            .map_err(|error| Error::new(ErrorKind::Internal, "signals cannot be listened for").caused_by(error))?;
        Ok(Self {
            shown,
            sender,
            events,
            interrupts,
            count: 0,
        })
    }

    /// Where the engine tells its events.
    pub(crate) fn events(&self) -> Events {
        Events::into_channel(self.sender.clone())
    }

    /// How often the user has asked to stop.
    pub(crate) fn interrupted(&self) -> u32 {
        self.count
    }

    /// Waits for `work`. `stop` is told of each Ctrl-C, with its number; where it breaks, the waiting ends without an answer.
    pub(crate) async fn until<T>(
        &mut self,
        work: impl Future<Output = T>,
        mut stop: impl FnMut(u32, &mut Shown) -> ControlFlow<()>,
    ) -> Option<T> {
        let mut work = std::pin::pin!(work);
        let mut tick = tokio::time::interval(TICK);
        loop {
            tokio::select! {
                biased;
                _ = self.interrupts.next() => {
                    self.count += 1;
                    if stop(self.count, &mut self.shown).is_break() {
                        return None;
                    }
                }
                Some(event) = self.events.recv() => self.shown.tell(&event),
                done = &mut work => {
                    while let Ok(event) = self.events.try_recv() {
                        self.shown.tell(&event);
                    }
                    return Some(done);
                }
                _ = tick.tick() => self.shown.tick(),
            }
        }
    }
}
