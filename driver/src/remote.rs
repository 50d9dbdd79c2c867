//! Streams of machines: bytes that pass as they are, and lines.

use std::io;

use encamp::{BoxRead, BoxWrite};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWrite, AsyncWriteExt, BufReader};

/// Read at once.
const CHUNK: usize = 16 << 10;
/// A line that is longer is cut in two: one without an end fills no memory.
const LINE: usize = 64 << 10;

/// Hands everything on as it comes. An error means that nobody reads it any more.
pub(crate) async fn hand_on(from: Option<BoxRead>, mut to: impl AsyncWrite + Unpin) -> io::Result<()> {
    let Some(mut from) = from else { return Ok(()) };
    let mut chunk = vec![0; CHUNK];
    // A stream that breaks off has ended; how its command ended is said by its exit.
    while let Ok(read @ 1..) = from.read(&mut chunk).await {
        to.write_all(&chunk[..read]).await?;
        to.flush().await?;
    }
    Ok(())
}

/// Hands standard input on, and its end.
pub(crate) async fn feed(mut to: BoxWrite) {
    let mut from = tokio::io::stdin();
    let mut chunk = vec![0; CHUNK];
    while let Ok(read @ 1..) = from.read(&mut chunk).await {
        if to.write_all(&chunk[..read]).await.is_err() || to.flush().await.is_err() {
            return;
        }
    }
    let _ = to.shutdown().await;
}

/// The lines of a stream.
pub(crate) struct Lines(BufReader<BoxRead>);

impl Lines {
    pub(crate) fn new(stream: BoxRead) -> Self {
        Self(BufReader::new(stream))
    }

    /// The next line, without its end.
    pub(crate) async fn next(&mut self) -> Option<String> {
        let mut line = Vec::new();
        loop {
            let available = self.0.fill_buf().await.unwrap_or_default();
            if available.is_empty() {
                return (!line.is_empty()).then(|| text(&line));
            }
            let end = available.iter().position(|byte| *byte == b'\n');
            let taken = end.map_or(available.len(), |end| end + 1);
            line.extend_from_slice(&available[..taken]);
            self.0.consume(taken);
            if end.is_some() || line.len() >= LINE {
                return Some(text(&line));
            }
        }
    }
}

fn text(line: &[u8]) -> String {
    String::from_utf8_lossy(line).trim_end_matches(['\n', '\r']).to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn lines_end_where_they_end_or_get_too_long() {
        let text = format!("a\r\n\n{}\nlast", "x".repeat(3 * LINE));
        let mut lines = Lines::new(Box::pin(io::Cursor::new(text.into_bytes())));
        let mut lengths = Vec::new();
        while let Some(line) = lines.next().await {
            lengths.push(line.len());
        }
        assert_eq!(lengths[..2], [1, 0]);
        assert_eq!(lengths.iter().sum::<usize>(), 1 + 3 * LINE + 4);
        assert!(lengths.iter().all(|length| *length <= LINE + 8192), "{lengths:?}");
    }
}
