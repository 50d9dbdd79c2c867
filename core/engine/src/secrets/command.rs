//! What a command of the controller says, as a secret.

use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use encamp_core::Secret;
use rustix::process::{Pid, Signal, kill_process_group};
use tokio::io::{AsyncRead, AsyncReadExt};
use tokio::process::Command;

use super::Redactor;
use super::resolve::{LONGEST, without_line_end};

/// How long it may take.
pub(super) const WITHIN: Duration = Duration::from_secs(30);
/// Bytes of what it says on standard error that are told.
const TOLD: usize = 2 << 10;

/// Runs it in a folder, and gives what it says without the end of the last line. An error tells what it said on standard
/// error, never what it said on standard output.
pub(super) async fn said(argv: &[String], folder: &Path) -> Result<String, String> {
    let [program, arguments @ ..] = argv else {
        return Err("its command is empty".into());
    };
    let mut command = Command::new(program);
    command
        .args(arguments)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        // A group of its own, so that everything that it starts ends with it.
        .process_group(0)
        .kill_on_drop(true);
    if !folder.as_os_str().is_empty() {
        command.current_dir(folder);
    }
    let mut child = command
        .spawn()
        .map_err(|e| format!("`{program}` cannot be started: {e}"))?;
    let group = child.id().and_then(|id| Pid::from_raw(id.cast_signed()));
    let (out, err) = (child.stdout.take(), child.stderr.take());
    let running = async {
        let (out, err, status) = tokio::join!(read(out), read(err), child.wait());
        (out, err, status)
    };
    let ended = tokio::time::timeout(WITHIN, running).await;
    if let Some(group) = group {
        let _ = kill_process_group(group, Signal::KILL);
    }
    let Ok((out, err, status)) = ended else {
        return Err(format!("its command did not end within {WITHIN:?}"));
    };
    let status = status.map_err(|e| format!("the end of its command was not seen: {e}"))?;
    let secret = Secret::new(String::from_utf8_lossy(&out).into_owned());
    if !status.success() {
        let ended = status
            .code()
            .map_or_else(|| "was killed".to_owned(), |code| format!("ended with {code}"));
        return Err(format!("its command {ended}{}", told(&err, &secret)));
    }
    if out.len() > LONGEST {
        return Err(format!("its command says more than {LONGEST} bytes"));
    }
    match String::from_utf8(out) {
        Ok(text) => Ok(without_line_end(text)),
        Err(_) => Err("what its command says is no text".into()),
    }
}

/// The end of what it said on standard error, without what it said on standard output.
fn told(err: &[u8], secret: &Secret) -> String {
    let trimmed = Secret::new(secret.reveal().trim().to_owned());
    let text = String::from_utf8_lossy(err);
    let text = Redactor::of([secret, &trimmed]).redact(text.trim()).into_owned();
    let mut from = text.len().saturating_sub(TOLD);
    while !text.is_char_boundary(from) {
        from += 1;
    }
    if text.is_empty() {
        text
    } else {
        format!(": {}", &text[from..])
    }
}

/// Reads to the end, and keeps a little more than may be there.
async fn read(stream: Option<impl AsyncRead + Unpin>) -> Vec<u8> {
    let mut kept = Vec::new();
    let Some(stream) = stream else { return kept };
    let mut stream = stream;
    let _ = (&mut stream).take(LONGEST as u64 + 1).read_to_end(&mut kept).await;
    // What is not kept is read as well: a full pipe would hold the command up.
    let _ = tokio::io::copy(&mut stream, &mut tokio::io::sink()).await;
    kept
}
