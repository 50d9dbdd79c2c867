//! Children: started, and reaped, also those that their parents left behind.

use std::collections::BTreeMap;
use std::io;
use std::process::Command;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

use encamp_core::Exit;
use rustix::process::{Pid, WaitId, WaitIdOptions, WaitOptions};

use crate::process::{ProcessId, exit_of};

/// Starts children and learns how they end.
#[derive(Debug, Clone, Default)]
pub(super) struct Reaper {
    inner: Arc<(Mutex<WaitedFor>, Condvar)>,
}

/// Who is told how a child ends, by its number.
type WaitedFor = BTreeMap<i32, Sender<Exit>>;

/// A child that was started. Its number is its own until its end was told: before that nobody else can have it.
#[derive(Debug)]
pub(super) struct Begun {
    pub(super) pid: i32,
    pub(super) ends: Receiver<Exit>,
}

impl Reaper {
    fn waited_for(&self) -> MutexGuard<'_, WaitedFor> {
        self.inner.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Starts a child. No child is reaped meanwhile, so that none ends before it is waited for.
    pub(super) fn start(&self, command: &mut Command) -> io::Result<Begun> {
        let mut waited_for = self.waited_for();
        let child = command.spawn()?;
        let pid = Pid::from_child(&child).as_raw_nonzero().get();
        let (tell, ends) = channel();
        waited_for.insert(pid, tell);
        self.inner.1.notify_all();
        Ok(Begun { pid, ends })
    }

    /// Reaps for ever.
    pub(super) fn reap(&self) -> ! {
        loop {
            let peeked = rustix::process::waitid(WaitId::All, WaitIdOptions::EXITED | WaitIdOptions::NOWAIT);
            let mut waited_for = self.waited_for();
            if peeked.err() == Some(rustix::io::Errno::CHILD) {
                // Somebody may have been started since.
                if waited_for.is_empty() {
                    drop(self.inner.1.wait(waited_for).unwrap_or_else(PoisonError::into_inner));
                }
                continue;
            }
            while let Ok(Some((pid, status))) = rustix::process::wait(WaitOptions::NOHANG) {
                if let Some(tell) = waited_for.remove(&pid.as_raw_nonzero().get()) {
                    // Nobody need wait for it any more.
                    let _ = tell.send(exit_of(status));
                }
            }
        }
    }

    /// The processes of those who were started and have not ended.
    pub(super) fn begun(&self) -> Vec<ProcessId> {
        let waited_for = self.waited_for();
        waited_for.keys().filter_map(|pid| ProcessId::of(*pid)).collect()
    }
}
