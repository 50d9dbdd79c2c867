//! The socket of a machine's first process.

use std::fs::File;
use std::io::IoSlice;
use std::mem::MaybeUninit;
use std::os::fd::{AsRawFd, BorrowedFd};
use std::os::unix::net::UnixStream as StdStream;

use encamp_core::{Error, ErrorKind, Result};
use rustix::net::{SendAncillaryBuffer, SendAncillaryMessage, SendFlags};
use serde::Serialize;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::UnixStream;
use tokio::net::unix::{OwnedReadHalf, OwnedWriteHalf};

use super::host::Sandbox;
use crate::message::Answer;
use crate::shim::{DESCRIPTORS, SOCKET};

/// A connection.
#[derive(Debug)]
pub(super) struct Talk {
    from: BufReader<OwnedReadHalf>,
    to: OwnedWriteHalf,
}

impl Sandbox {
    /// Connects, and hands descriptors over.
    pub(super) fn talk(&self, descriptors: &[BorrowedFd<'_>]) -> Result<Talk> {
        let broken = |native: std::io::Error| {
            Error::new(ErrorKind::Unavailable, "the machine does not answer")
                .of_machine(self.name())
                .caused_by(native)
        };
        let connected = || {
            // A path to a socket may not be long, so the folder stands in it as a descriptor.
            let folder = File::open(&self.place.folder)?;
            let stream = StdStream::connect(format!("/proc/self/fd/{}/{SOCKET}", folder.as_raw_fd()))?;
            hand_over(&stream, descriptors)?;
            stream.set_nonblocking(true)?;
            UnixStream::from_std(stream)
        };
        let (from, to) = connected().map_err(broken)?.into_split();
        Ok(Talk {
            from: BufReader::new(from),
            to,
        })
    }
}

/// The first byte carries them.
fn hand_over(stream: &StdStream, descriptors: &[BorrowedFd<'_>]) -> std::io::Result<()> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(DESCRIPTORS))];
    let mut control = SendAncillaryBuffer::new(&mut space);
    if !descriptors.is_empty() {
        control.push(SendAncillaryMessage::ScmRights(descriptors));
    }
    rustix::net::sendmsg(stream, &[IoSlice::new(b"d")], &mut control, SendFlags::NOSIGNAL)?;
    Ok(())
}

impl Talk {
    pub(super) async fn say(&mut self, what: &(impl Serialize + Sync)) -> Result<()> {
        let mut line = serde_json::to_vec(what)
            .map_err(|native| Error::new(ErrorKind::Internal, "a request cannot be written down").caused_by(native))?;
        line.push(b'\n');
        self.to.write_all(&line).await.map_err(broke)
    }

    /// Nothing where the machine has gone.
    pub(super) async fn hear(&mut self) -> Result<Option<Answer>> {
        let mut line = Vec::new();
        self.from.read_until(b'\n', &mut line).await.map_err(broke)?;
        if line.is_empty() {
            return Ok(None);
        }
        let heard = serde_json::from_slice(&line);
        heard.map(Some).map_err(|native| {
            Error::new(ErrorKind::Internal, "the machine's answer cannot be understood").caused_by(native)
        })
    }
}

fn broke(native: std::io::Error) -> Error {
    Error::new(ErrorKind::Unavailable, "the connection to the machine broke").caused_by(native)
}
