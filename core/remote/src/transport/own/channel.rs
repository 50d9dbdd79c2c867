//! A session of russh as streams: its messages are taken at once, so that nobody else waits for its reader.

use std::time::Duration;

use bytes::Bytes;
use russh::client::Msg;
use russh::{Channel as Native, ChannelMsg};
use tokio::io::{AsyncWriteExt, DuplexStream};
use tokio_util::sync::CancellationToken;

use crate::transport::{Channel, End};

/// What is held of each output for a reader that is slower.
const HELD_BYTES: usize = 1 << 20;
/// How long a connection may stand still for one reader.
const STALL_MAX: Duration = Duration::from_millis(500);
/// Standard error, as the protocol numbers it.
const STDERR: u32 = 1;

/// Attends to a session's messages until it ends or nobody holds it.
pub(super) fn attend(channel: Native<Msg>, patient: bool) -> Channel {
    let (mut read, write) = channel.split();
    let stdin = write.make_writer();
    let (stdout, mut out) = tokio::io::duplex(HELD_BYTES);
    let (stderr, mut err) = tokio::io::duplex(HELD_BYTES);
    let held = CancellationToken::new();
    let let_go = held.clone();
    let attended = tokio::spawn(async move {
        let (mut stalled, mut status) = (false, None);
        loop {
            let message = tokio::select! {
                message = read.wait() => message,
                () = let_go.cancelled() => break,
            };
            let passed = match message {
                Some(ChannelMsg::Data { data }) => pass(&mut out, data, patient, &let_go).await,
                Some(ChannelMsg::ExtendedData { data, ext: STDERR }) => pass(&mut err, data, patient, &let_go).await,
                Some(ChannelMsg::ExitStatus { exit_status }) => {
                    status = i32::try_from(exit_status).ok();
                    true
                }
                Some(ChannelMsg::Close) | None => break,
                Some(_) => true,
            };
            if !passed {
                stalled = !let_go.is_cancelled();
                break;
            }
        }
        // What still comes is dropped until the other side has closed as well; where the connection is gone nobody
        // needs to be told.
        let _ = write.close().await;
        tokio::spawn(async move { while read.wait().await.is_some() {} });
        (stalled, status)
    });
    let held = held.drop_guard();
    Channel {
        stdin: Box::pin(stdin),
        stdout: Box::pin(stdout),
        stderr: Box::pin(stderr),
        end: Box::pin(async move {
            let (stalled, status) = attended.await.unwrap_or_default();
            drop(held);
            let words = if stalled {
                "nobody read what was said".to_owned()
            } else {
                String::new()
            };
            End {
                refused: false,
                stalled,
                status,
                words,
            }
        }),
    }
}

/// Whether the reader took it, or does not listen at all.
async fn pass(to: &mut DuplexStream, data: Bytes, patient: bool, let_go: &CancellationToken) -> bool {
    let written = to.write_all(&data);
    if patient {
        return tokio::select! {
            _ = written => true,
            () = let_go.cancelled() => false,
        };
    }
    tokio::time::timeout(STALL_MAX, written).await.is_ok()
}
