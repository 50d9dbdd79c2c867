//! Podman behind Docker's interface: how it is known, and what it says in its own interface alone.

use std::path::Path;
use std::time::Duration;

use bollard::models::SystemVersion;
use encamp_core::Cx;
use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;

use super::Engine;
use crate::error::Failure;

/// How long it may take to say what it is; it is asked once.
const PATIENCE: Duration = Duration::from_secs(30);

/// The longest answer that is read.
const MOST: u64 = 1 << 20;

/// While a container ends or goes, it has no answer that can be used.
const PAUSE: Duration = Duration::from_millis(20);
const TRIES: u32 = 1500;

impl Engine {
    /// A read that is asked again where Podman cannot answer it just now.
    pub(super) async fn read_settled<T, Asked>(&self, cx: &Cx, ask: impl Fn() -> Asked + Send) -> Result<T, Failure>
    where
        Asked: Future<Output = Result<T, bollard::errors::Error>> + Send,
    {
        let mut unsettled = None;
        for _ in 0..TRIES {
            match self.read(cx, ask()).await {
                Err(failure) if self.learnt.podman && is_unsettled(&failure) => {
                    unsettled = Some(failure);
                    tokio::time::sleep(PAUSE).await;
                }
                // It did answer, only not with what was asked for.
                Err(Failure::Deadline) => break,
                answer => return answer,
            }
        }
        Err(unsettled.unwrap_or(Failure::Deadline))
    }
}

/// Between the end of a container and its status it has a state of its own, and it looks at all containers for a list of
/// networks. Of one that ends or goes meanwhile it fails to read the control group (before 4.4) or the name (before 4.5).
fn is_unsettled(failure: &Failure) -> bool {
    let text = failure.text();
    let passes = || text.contains("/cgroup: no such process") || text.contains("no such container");
    failure.is_not_understood() || failure.status() == Some(500) && passes()
}

/// Whether it has been told to end a container and gives up waiting for that: it ends nevertheless.
pub(super) fn still_ends(failure: &Failure) -> bool {
    let text = failure.text();
    text.contains("did not die within timeout") || text.contains("timed out waiting for file")
}

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

#[cfg(test)]
mod tests {
    use bollard::errors::Error;

    use super::*;

    #[test]
    fn what_passes_is_asked_again_and_what_is_gone_is_gone() {
        let answered = |status_code, message: &str| {
            let message = message.to_owned();
            is_unsettled(&Failure::Native(Error::DockerResponseServerError {
                status_code,
                message,
            }))
        };
        for passes in ["open /proc/7/cgroup: no such process", "a1: no such container"] {
            assert!(answered(500, passes), "{passes}");
            assert!(!answered(404, passes), "{passes}");
        }
        assert!(!answered(500, "no space left on device"));
    }
}
