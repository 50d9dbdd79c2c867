//! A stream without secrets.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use encamp_core::BoxRead;
use tokio::io::{AsyncRead, ReadBuf};

use super::redactor::Masking;

/// Bytes that are read at once.
const PIECE: usize = 8 << 10;

/// Reads from a stream and gives out what is decided.
pub(super) struct Redacted {
    stream: BoxRead,
    masking: Masking,
    piece: Box<[u8]>,
    /// Decided, and given out up to `given`.
    decided: Vec<u8>,
    given: usize,
    /// The stream's end, or what broke it.
    ended: Option<io::Result<()>>,
}

impl Redacted {
    pub(super) fn new(stream: BoxRead, masking: Masking) -> Self {
        Self {
            stream,
            masking,
            piece: vec![0; PIECE].into(),
            decided: Vec::new(),
            given: 0,
            ended: None,
        }
    }
}

impl AsyncRead for Redacted {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if buf.remaining() == 0 {
            return Poll::Ready(Ok(()));
        }
        loop {
            if this.given < this.decided.len() {
                let rest = &this.decided[this.given..];
                let given = rest.len().min(buf.remaining());
                buf.put_slice(&rest[..given]);
                this.given += given;
                return Poll::Ready(Ok(()));
            }
            if let Some(ended) = &mut this.ended {
                return Poll::Ready(std::mem::replace(ended, Ok(())));
            }
            this.decided.clear();
            this.given = 0;
            let mut piece = ReadBuf::new(&mut this.piece);
            let read = ready!(this.stream.as_mut().poll_read(cx, &mut piece));
            match read {
                Ok(()) if !piece.filled().is_empty() => this.masking.feed(piece.filled(), &mut this.decided),
                ended => {
                    this.masking.finish(&mut this.decided);
                    this.ended = Some(ended);
                }
            }
        }
    }
}
