//! What a command says, on its way to the caller: the end is one only where nothing is missing before it.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWriteExt, DuplexStream, ReadBuf};
use tokio::sync::oneshot;

/// What a stream holds between a host and a reader that is slower.
pub(super) const PIPE_BYTES: usize = 64 * 1024;

/// An output: where it is written, and where it is read.
pub(super) fn output() -> (Writing, Reading) {
    let (from, to) = tokio::io::duplex(PIPE_BYTES);
    let (tell, ending) = oneshot::channel();
    let reading = Reading {
        from,
        ending: Some(ending),
    };
    (Writing { to, tell }, reading)
}

/// The attendant's side. Where it is dropped without an end, the reader has an error.
pub(super) struct Writing {
    to: DuplexStream,
    tell: oneshot::Sender<io::Result<()>>,
}

impl Writing {
    pub(super) async fn write_all(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.to.write_all(bytes).await
    }

    /// All was said; or why the rest is missing.
    pub(super) fn end(self, whole: Result<(), &str>) {
        let whole = whole.map_err(|why| io::Error::new(io::ErrorKind::UnexpectedEof, why));
        // Who does not read on does not ask.
        let _ = self.tell.send(whole);
    }
}

/// The caller's side.
pub(super) struct Reading {
    from: DuplexStream,
    ending: Option<oneshot::Receiver<io::Result<()>>>,
}

impl AsyncRead for Reading {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        let read = Pin::new(&mut self.from).poll_read(cx, buf);
        let at_end = matches!(read, Poll::Ready(Ok(()))) && buf.filled().len() == before && buf.remaining() > 0;
        let Some(ending) = self.ending.as_mut().filter(|_| at_end) else {
            return read;
        };
        let Poll::Ready(ended) = Pin::new(ending).poll(cx) else {
            return Poll::Pending;
        };
        self.ending = None;
        let nobody = |_| {
            let why = "nobody attends to the command any more";
            Err(io::Error::new(io::ErrorKind::UnexpectedEof, why))
        };
        Poll::Ready(ended.unwrap_or_else(nobody))
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::AsyncReadExt;

    use super::*;

    /// What was read before the end, and whether that was one.
    async fn read(mut reading: Reading) -> (String, Option<String>) {
        let mut all = Vec::new();
        let end = reading.read_to_end(&mut all).await.err();
        // An error is told once.
        assert_eq!(reading.read(&mut [0; 8]).await.unwrap(), 0);
        (String::from_utf8(all).unwrap(), end.map(|error| error.to_string()))
    }

    #[tokio::test]
    async fn an_end_is_one_only_where_all_was_said() {
        for (end, expected) in [
            (Some(Ok(())), None),
            (Some(Err("it was cut")), Some("it was cut")),
            (None, Some("nobody attends to the command any more")),
        ] {
            let (mut writing, reading) = output();
            writing.write_all(b"ab").await.unwrap();
            match end {
                Some(end) => writing.end(end),
                None => drop(writing),
            }
            let said = ("ab".to_owned(), expected.map(str::to_owned));
            assert_eq!(read(reading).await, said);
        }
    }
}
