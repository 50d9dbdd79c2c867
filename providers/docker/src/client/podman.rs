//! Podman behind Docker's interface: how it is known, and what it says in its own interface alone.

use std::path::Path;
use std::time::Duration;

use bollard::models::SystemVersion;
use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;

/// How long it may take to say what it is; it is asked once.
const PATIENCE: Duration = Duration::from_secs(5);

/// The longest answer that is read.
const MOST: u64 = 1 << 20;

/// Whether it is Podman that answers.
pub(super) fn is_podman(version: &SystemVersion) -> bool {
    let mut components = version.components.iter().flatten();
    components.any(|component| component.name.starts_with("Podman"))
}

/// Whether machines of one of its networks find each other by name: with netavark they do, with CNI only where a
/// plugin is there that nothing tells of. What cannot be asked, because it is not at a socket, is taken to have none.
pub(super) async fn has_names(socket: Option<&str>) -> bool {
    let Some(path) = socket else { return false };
    let info = tokio::time::timeout(PATIENCE, get(path, "/v4.0.0/libpod/info")).await;
    let info = info.ok().and_then(Result::ok).unwrap_or_default();
    info.pointer("/host/networkBackend").and_then(Value::as_str) == Some("netavark")
}

/// Whether it runs health checks by itself: systemd does that for it. Of another host nothing is known.
pub(super) fn runs_checks(on_this_host: bool) -> bool {
    !on_this_host || Path::new("/run/systemd/system").exists()
}

/// One read of its own interface, which Docker's client does not speak.
async fn get(socket: &str, path: &str) -> std::io::Result<Value> {
    let mut stream = UnixStream::connect(socket).await?;
    // The old version of HTTP: the answer comes in one piece and ends with the connection.
    let request = format!("GET {path} HTTP/1.0\r\nHost: podman\r\n\r\n");
    stream.write_all(request.as_bytes()).await?;
    let mut answer = Vec::new();
    stream.take(MOST).read_to_end(&mut answer).await?;
    let answer = String::from_utf8_lossy(&answer);
    let body = answer.split_once("\r\n\r\n").map_or("", |(_, body)| body);
    serde_json::from_str(body).map_err(std::io::Error::other)
}
