//! What a machine's command has said.

use std::fs::File;
use std::io::Read;
use std::time::Duration;

use encamp_core::{BoxRead, Logs, Result, Time};
use tokio::io::{AsyncWriteExt, DuplexStream};

use super::Host;
use crate::convert::Said;
use crate::error::io;
use crate::place::Place;

/// What a reader that is slower holds back.
const PIPE_BYTES: usize = 64 * 1024;
/// How often it is looked whether more was said.
const LOOK: Duration = Duration::from_millis(100);

impl Host {
    /// Everything that was said, or what was asked for of it.
    pub(crate) fn logs(&self, logs: &Logs) -> Result<BoxRead> {
        let sandbox = self.own(&logs.target)?;
        let mut reader = Reader::open(&sandbox.place, logs.since)?;
        let so_far = reader.more().map_err(io(&sandbox.place.log()))?;
        let begin = match logs.tail {
            Some(lines) => Said::tail(&so_far, usize::try_from(lines).unwrap_or(usize::MAX)).to_vec(),
            None => so_far,
        };
        if !logs.follow {
            return Ok(Box::pin(std::io::Cursor::new(begin)));
        }
        let (ours, theirs) = tokio::io::duplex(PIPE_BYTES);
        tokio::spawn(follow(reader, sandbox.place, begin, theirs));
        Ok(Box::pin(ours))
    }
}

/// Goes on as long as something of the machine lives. A log that cannot be read any more has ended.
async fn follow(mut reader: Reader, place: Place, begin: Vec<u8>, mut to: DuplexStream) {
    let mut more = begin;
    loop {
        if to.write_all(&more).await.is_err() {
            return;
        }
        // Looked at before what is read: the last words come before the end.
        let over = !place.is_held().unwrap_or(false);
        match reader.more() {
            Ok(read) => more = read,
            Err(_) => return,
        }
        if more.is_empty() {
            if over {
                return;
            }
            tokio::time::sleep(LOOK).await;
        }
    }
}

/// Reads the file from where it was read last.
struct Reader {
    file: Option<File>,
    since: Option<Time>,
    /// Not yet a whole piece.
    rest: Vec<u8>,
}

impl Reader {
    fn open(place: &Place, since: Option<Time>) -> Result<Self> {
        let file = match File::open(place.log()) {
            Ok(file) => Some(file),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => None,
            Err(error) => return Err(io(&place.log())(error)),
        };
        Ok(Self {
            file,
            since,
            rest: Vec::new(),
        })
    }

    fn more(&mut self) -> std::io::Result<Vec<u8>> {
        if let Some(file) = &mut self.file {
            file.read_to_end(&mut self.rest)?;
        }
        let (mut said, mut at) = (Vec::new(), 0);
        while let Some((piece, length)) = self.rest.get(at..).and_then(Said::first) {
            at += length;
            if self.since.is_none_or(|since| piece.at >= since) {
                said.extend(piece.bytes);
            }
        }
        self.rest.drain(..at);
        Ok(said)
    }
}
