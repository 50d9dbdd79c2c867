//! What a machine's main process has said.

use std::sync::{Arc, Mutex};

use tokio::io::AsyncWriteExt;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::lock::lock;
use crate::{BoxRead, Time};

/// Lines with their moments, and a bell that rings with each.
#[derive(Debug)]
pub(super) struct Log {
    lines: Mutex<Vec<(Time, String)>>,
    said: watch::Sender<usize>,
}

impl Default for Log {
    fn default() -> Self {
        Self {
            lines: Mutex::default(),
            said: watch::Sender::new(0),
        }
    }
}

impl Log {
    pub(super) fn say(&self, at: Time, line: &str) {
        let mut lines = lock(&self.lines);
        lines.push((at, format!("{line}\n")));
        self.said.send_replace(lines.len());
    }

    /// The lines since a moment, at most so many of the last, and how many lines there are in all.
    fn read(&self, since: Option<Time>, tail: Option<u32>) -> (String, usize) {
        let lines = lock(&self.lines);
        let wanted: Vec<_> = lines
            .iter()
            .filter(|(at, _)| since.is_none_or(|since| *at >= since))
            .map(|(_, line)| line.as_str())
            .collect();
        let tail = tail.and_then(|tail| usize::try_from(tail).ok()).unwrap_or(usize::MAX);
        let skipped = wanted.len().saturating_sub(tail);
        (wanted[skipped..].concat(), lines.len())
    }

    /// What was said so far.
    pub(super) fn so_far(&self, since: Option<Time>, tail: Option<u32>) -> BoxRead {
        Box::pin(std::io::Cursor::new(self.read(since, tail).0.into_bytes()))
    }

    /// What was said so far, and what will be until `ended`.
    pub(super) fn follow(
        self: &Arc<Self>,
        since: Option<Time>,
        tail: Option<u32>,
        ended: CancellationToken,
    ) -> BoxRead {
        let (reader, mut writer) = tokio::io::duplex(64 * 1024);
        let log = Arc::clone(self);
        tokio::spawn(async move {
            let mut said = log.said.subscribe();
            let (mut text, mut next) = log.read(since, tail);
            loop {
                if writer.write_all(text.as_bytes()).await.is_err() {
                    return;
                }
                tokio::select! {
                    biased;
                    more = said.wait_for(|count| *count > next) => {
                        if more.is_err() {
                            return;
                        }
                    }
                    () = ended.cancelled() => return,
                }
                text = lock(&log.lines)[next..].iter().map(|(_, line)| line.as_str()).collect();
                next = *said.borrow_and_update();
            }
        });
        Box::pin(reader)
    }
}
