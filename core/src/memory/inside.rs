//! What is inside a machine: files, logs, processes, listeners.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};

use tokio::sync::{mpsc, watch};
use tokio_util::sync::CancellationToken;

use super::clock::Clock;
use super::files::Files;
use super::lock::lock;
use super::log::Log;
use super::table::Table;
use crate::{Duplex, Env, Exit};

/// The innards of one machine. They outlive a stop.
#[derive(Debug)]
pub(super) struct Inside {
    pub(super) files: Files,
    pub(super) log: Arc<Log>,
    pub(super) env: Env,
    pub(super) host: String,
    pub(super) table: Table,
    pub(super) clock: Arc<Clock>,
    jobs: Mutex<BTreeMap<u32, Job>>,
    pids: AtomicU32,
    listeners: Mutex<BTreeMap<u16, mpsc::Sender<Duplex>>>,
}

/// One run of a machine, from its start to the end of its main process.
#[derive(Debug, Clone)]
pub(super) struct Run {
    pub(super) ended: CancellationToken,
    exit: Arc<Mutex<Option<Exit>>>,
    paused: watch::Sender<bool>,
    /// How it would have ended while it was paused.
    due: Arc<Mutex<Option<Exit>>>,
}

impl Default for Run {
    fn default() -> Self {
        Self {
            ended: CancellationToken::new(),
            exit: Arc::default(),
            paused: watch::Sender::new(false),
            due: Arc::default(),
        }
    }
}

impl Run {
    /// Ends the run; how it ended first stays.
    pub(super) fn end(&self, exit: Exit) {
        lock(&self.exit).get_or_insert(exit);
        self.ended.cancel();
    }

    /// Ends the run by itself, which it cannot do while it stands still.
    pub(super) fn end_by_itself(&self, exit: Exit) {
        if self.is_paused() {
            lock(&self.due).get_or_insert(exit);
        } else {
            self.end(exit);
        }
    }

    pub(super) fn exit(&self) -> Option<Exit> {
        lock(&self.exit).clone()
    }

    pub(super) fn is_paused(&self) -> bool {
        *self.paused.borrow()
    }

    pub(super) fn pause(&self) {
        self.paused.send_replace(true);
    }

    pub(super) fn go_on(&self) {
        self.paused.send_replace(false);
        if let Some(exit) = lock(&self.due).take() {
            self.end(exit);
        }
    }

    /// Completes when it does not stand still.
    pub(super) async fn moving(&self) {
        // The sender is held by this very run.
        let _ = self.paused.subscribe().wait_for(|paused| !paused).await;
    }
}

/// A process, or all processes of one command.
#[derive(Debug, Clone)]
pub(super) struct Job {
    killed: watch::Sender<Option<&'static str>>,
}

impl Default for Job {
    fn default() -> Self {
        Self {
            killed: watch::Sender::new(None),
        }
    }
}

impl Job {
    pub(super) fn kill(&self, signal: &'static str) {
        // STOP and CONT end nothing.
        if !matches!(signal, "STOP" | "CONT") {
            self.killed.send_replace(Some(signal));
        }
    }

    /// Completes with the signal that ended it.
    pub(super) async fn killed(&self) -> &'static str {
        let mut killed = self.killed.subscribe();
        match killed.wait_for(Option::is_some).await.map(|signal| *signal) {
            Ok(Some(signal)) => signal,
            _ => std::future::pending().await,
        }
    }
}

impl Inside {
    pub(super) fn new(clock: Arc<Clock>, files: Files, env: Env, host: String, table: Table) -> Self {
        Self {
            files,
            log: Arc::default(),
            env,
            host,
            table,
            clock,
            jobs: Mutex::default(),
            pids: AtomicU32::new(2),
            listeners: Mutex::default(),
        }
    }

    /// Boots, and lets the main process speak until the run ends.
    pub(super) async fn main_process(self: Arc<Self>, run: Run, boot: std::time::Duration) {
        let speaking = async {
            tokio::time::sleep(boot).await;
            loop {
                for line in &self.table.says {
                    run.moving().await;
                    self.log.say(self.clock.time(), line);
                }
                match self.table.repeats {
                    Some(pause) => tokio::time::sleep(pause.0.max(std::time::Duration::from_millis(1))).await,
                    None => return,
                }
            }
        };
        tokio::select! {
            () = speaking => {}
            () = run.ended.cancelled() => {}
        }
    }

    /// A new process id, and the handle by which the process is killed.
    pub(super) fn enter(&self) -> (u32, Job) {
        let pid = self.pids.fetch_add(1, Ordering::Relaxed);
        let job = Job::default();
        lock(&self.jobs).insert(pid, job.clone());
        (pid, job)
    }

    pub(super) fn leave(&self, pid: u32) {
        lock(&self.jobs).remove(&pid);
    }

    pub(super) fn job(&self, pid: u32) -> Option<Job> {
        lock(&self.jobs).get(&pid).cloned()
    }

    /// Connections to `port` from now on; none where it is taken.
    pub(super) fn listen(&self, port: u16) -> Option<mpsc::Receiver<Duplex>> {
        let mut listeners = lock(&self.listeners);
        let taken = listeners.get(&port).is_some_and(|listener| !listener.is_closed());
        if taken || self.table.listens.contains(&port) {
            return None;
        }
        let (sender, receiver) = mpsc::channel(16);
        listeners.insert(port, sender);
        Some(receiver)
    }

    /// One end of a connection to `port`; none where nothing listens.
    pub(super) async fn connect(&self, port: u16, run: &Run) -> Option<Duplex> {
        let (near, far) = tokio::io::duplex(64 * 1024);
        if self.table.listens.contains(&port) {
            let ended = run.ended.clone();
            tokio::spawn(async move {
                let (mut from, mut to) = tokio::io::split(far);
                tokio::select! {
                    _ = tokio::io::copy(&mut from, &mut to) => {
                        let _ = tokio::io::AsyncWriteExt::shutdown(&mut to).await;
                    }
                    () = ended.cancelled() => {}
                }
            });
            return Some(Box::pin(near));
        }
        let listener = lock(&self.listeners).get(&port).cloned()?;
        listener.send(Box::pin(far)).await.ok()?;
        Some(Box::pin(near))
    }
}
