//! What a command is given and what it says.

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

/// Bytes of standard output that a call may say.
const MOST: usize = 64 << 20;
/// Bytes of standard error that are kept.
const KEPT: usize = 16 << 10;

/// A command need not read what it is given.
pub(super) async fn feed(stdin: Option<impl AsyncWrite + Unpin>, request: &[u8]) {
    if let Some(mut stdin) = stdin
        && let Err(error) = stdin.write_all(request).await
    {
        tracing::debug!(%error, "a command does not read its request");
    }
}

/// All of a stream, unless it is too much.
pub(super) async fn all(stream: Option<impl AsyncRead + Unpin>, out: &mut Vec<u8>) -> Result<(), String> {
    let Some(stream) = stream else { return Ok(()) };
    let limit = u64::try_from(MOST).unwrap_or(u64::MAX);
    let read = stream.take(limit + 1).read_to_end(out).await;
    read.map_err(|error| format!("its output broke off: {error}"))?;
    if out.len() > MOST {
        return Err(format!("it prints more than {} MiB", MOST >> 20));
    }
    Ok(())
}

/// The last of what a stream says.
pub(super) async fn tail(stream: Option<impl AsyncRead + Unpin>, kept: &mut Vec<u8>) {
    let Some(mut stream) = stream else { return };
    let mut piece = [0; 4096];
    while let Ok(count) = stream.read(&mut piece).await {
        if count == 0 {
            break;
        }
        kept.extend_from_slice(&piece[..count]);
        if kept.len() > 2 * KEPT {
            kept.drain(..kept.len() - KEPT);
        }
    }
}
