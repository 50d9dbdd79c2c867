//! What a machine's command has said.

use std::path::PathBuf;
use std::time::Duration;

use encamp_core::{BoxRead, Logs, Result, Time};
use tokio::io::{AsyncWriteExt, DuplexStream};
use tokio::task::JoinSet;

use super::Host;
use super::machines::blocking;
use super::streams::Judged;
use crate::convert::LastLines;
use crate::error::io;
use crate::frames::Frames;
use crate::place::Place;

/// What a reader that is slower holds back.
const PIPE_BYTES: usize = 64 * 1024;
/// What is read at once.
const BATCH: usize = 256 * 1024;
/// How often it is looked whether more was said.
const LOOK: Duration = Duration::from_millis(100);

impl Host {
    /// Everything that was said, or what was asked for of it.
    pub(crate) async fn logs(&self, logs: &Logs) -> Result<BoxRead> {
        let place = self.own(&logs.target)?.place;
        let path = place.log();
        let mut reader = Reader {
            path: path.clone(),
            frames: None,
            since: logs.since,
            until: None,
        };
        let (tail, follow) = (logs.tail, logs.follow);
        let begun = blocking(move || {
            let begin = match tail {
                Some(lines) => reader.last(usize::try_from(lines).unwrap_or(usize::MAX))?,
                None => Vec::new(),
            };
            if !follow {
                // What is said from now on was not asked for, and may have no end.
                reader.until = Some(reader.frames()?.map_or(Ok(0), |frames| frames.length())?);
            }
            Ok((reader, begin))
        });
        let (reader, begin) = begun.await?.map_err(io(&path))?;
        let (ours, theirs) = tokio::io::duplex(PIPE_BYTES);
        // It ends with whoever reads: what is followed may be silent for ever.
        let mut handing = JoinSet::new();
        handing.spawn(hand_on(reader, place, begin, theirs));
        let judged = async move {
            let ended = handing.join_next().await.unwrap_or(Ok(Ok(())));
            ended.map_err(std::io::Error::other)?
        };
        Ok(Box::pin(Judged::new(Box::pin(ours), judged)))
    }
}

/// To the end; one that is followed goes on as long as something of the machine lives.
async fn hand_on(mut reader: Reader, place: Place, begin: Vec<u8>, mut to: DuplexStream) -> std::io::Result<()> {
    let mut more = begin;
    loop {
        // Whoever has read enough is gone.
        if to.write_all(&more).await.is_err() {
            return Ok(());
        }
        let (again, looked_at) = (reader, place.clone());
        let looked = blocking(move || {
            let mut reader = again;
            // Looked at before what is read: the last words come before the end.
            let over = reader.until.is_some() || !looked_at.is_held()?;
            let more = reader.more()?;
            Ok((reader, over, more))
        });
        let looked: std::io::Result<_> = looked.await.map_err(std::io::Error::other)?;
        let over;
        (reader, over, more) = looked?;
        if more.is_empty() {
            if over {
                return Ok(());
            }
            tokio::time::sleep(LOOK).await;
        }
    }
}

/// Reads the file from where it was read last, on a thread that may wait.
struct Reader {
    path: PathBuf,
    /// None as long as nothing was ever said.
    frames: Option<Frames>,
    since: Option<Time>,
    /// What comes after that is not wanted.
    until: Option<u64>,
}

impl Reader {
    fn frames(&mut self) -> std::io::Result<Option<&mut Frames>> {
        if self.frames.is_none() {
            self.frames = Frames::open(&self.path)?;
        }
        Ok(self.frames.as_mut())
    }

    /// The next piece that is wanted.
    fn next(&mut self) -> std::io::Result<Option<Vec<u8>>> {
        let (since, until) = (self.since, self.until);
        let Some(frames) = self.frames()? else { return Ok(None) };
        while until.is_none_or(|until| frames.at() < until)
            && let Some(said) = frames.next()?
        {
            if since.is_none_or(|since| said.at >= since) {
                return Ok(Some(said.bytes));
            }
        }
        Ok(None)
    }

    /// What comes next, so that it is not too much at once; nothing where there is nothing more now.
    fn more(&mut self) -> std::io::Result<Vec<u8>> {
        let mut more = Vec::new();
        while more.len() < BATCH
            && let Some(bytes) = self.next()?
        {
            more.extend(bytes);
        }
        Ok(more)
    }

    /// The last lines of all that was said until now.
    fn last(&mut self, lines: usize) -> std::io::Result<Vec<u8>> {
        self.until = Some(self.frames()?.map_or(Ok(0), |frames| frames.length())?);
        let mut last = LastLines::new(lines);
        while let Some(bytes) = self.next()? {
            last.push(&bytes);
        }
        self.until = None;
        Ok(last.into_bytes())
    }
}
