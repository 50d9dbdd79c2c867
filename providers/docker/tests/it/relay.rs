//! The daemon with some of its answers edited, for what it says too seldom to be met by chance.

use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt, copy};
use tokio::net::{UnixListener, UnixStream};

use crate::bed::SOCKET;

/// Settings by which the daemon's answers come through `edit`; ends with the test. Edited text keeps its length, so
/// that what frames an answer holds.
pub(crate) fn edited(folder: &TempDir, edit: impl Fn(&mut [u8]) + Copy + Send + 'static) -> Value {
    let path = folder.path().join("s");
    let listener = UnixListener::bind(&path).unwrap();
    tokio::spawn(async move {
        while let Ok((client, _)) = listener.accept().await {
            tokio::spawn(pass(client, edit));
        }
    });
    json!({ "host": format!("unix://{}", path.display()) })
}

async fn pass(client: UnixStream, edit: impl Fn(&mut [u8])) {
    let daemon = UnixStream::connect(&SOCKET["unix://".len()..]).await.unwrap();
    let ((mut asked, mut client), (mut answered, mut daemon)) = (client.into_split(), daemon.into_split());
    tokio::spawn(async move { copy(&mut asked, &mut daemon).await });
    let mut buffer = vec![0; 64 << 10];
    while let Ok(count @ 1..) = answered.read(&mut buffer).await {
        edit(&mut buffer[..count]);
        if client.write_all(&buffer[..count]).await.is_err() {
            return;
        }
    }
}

/// Writes `new` over each `old`, past the bytes of `after`.
pub(crate) fn replace(answer: &mut [u8], after: &[u8], old: &[u8], new: &[u8]) {
    let whole = [after, old].concat();
    for at in 0..answer.len().saturating_sub(whole.len()) {
        if answer[at..].starts_with(&whole) {
            answer[at + after.len()..][..new.len()].copy_from_slice(new);
        }
    }
}
