//! Files in and out of machines, as tar streams.

use std::collections::BTreeMap;
use std::io;
use std::path::{Component, Path, PathBuf};

use encamp_core::{BoxRead, CopyIn, CopyOut, Cx, Error, ErrorKind, Exit, Phase, Result, Retry, Target};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::sync::watch;

use super::Host;
use super::exec::{Started, no_streams};
use super::host::Sandbox;
use super::streams::{Judged, Streams};
use crate::error::not_running;
use crate::message::Part;
use crate::shim::{NOT_THERE, OUT_OF_BOUNDS};

/// Bytes of what somebody who packs or unpacks complains of.
const COMPLAINT: u64 = 4096;

impl Host {
    /// Unpacks a tar stream into a folder, which is made with its parents where it is missing.
    pub(crate) async fn copy_in(&self, cx: &Cx, request: &CopyIn, mut tar: BoxRead) -> Result<()> {
        let sandbox = self.enterable(&request.target).await?;
        let folder = Self::path(&sandbox, &request.folder)?;
        let part = Part::Unpack {
            folder: folder.clone(),
            bounds: bounds(&sandbox),
        };
        let Started { ends, mut exit, .. } = self.carry(cx, &sandbox, part, true).await?;
        let feeding = async {
            let Some(mut stdin) = ends.stdin else { return Ok(0) };
            let fed = tokio::io::copy(&mut tar, &mut stdin).await;
            // Whoever unpacks says better why it stopped reading.
            stdin.shutdown().await.and(fed)
        };
        let (fed, said) = tokio::join!(feeding, complaint(ends.stderr));
        let ended = ended(&mut exit).await;
        if ended.success() {
            let broke = |native| Error::new(ErrorKind::Invalid, "the tar stream broke off").caused_by(native);
            return match fed {
                Err(native) if native.kind() != io::ErrorKind::BrokenPipe => Err(broke(native)),
                _ => Ok(()),
            };
        }
        if ended == Exit::Code(i32::from(OUT_OF_BOUNDS)) {
            return Err(out_of_bounds(&sandbox, &folder));
        }
        Err(failed("files cannot be unpacked there", &ended, &said)
            .with("folder", folder)
            .retry(Retry::Never))
    }

    /// Packs a path as a tar stream.
    pub(crate) async fn copy_out(&self, cx: &Cx, request: &CopyOut) -> Result<BoxRead> {
        let sandbox = self.enterable(&request.target).await?;
        let path = Self::path(&sandbox, &request.path)?;
        let part = Part::Pack {
            path: path.clone(),
            bounds: bounds(&sandbox),
        };
        let Started { mut ends, mut exit, .. } = self.carry(cx, &sandbox, part, false).await?;
        // An archive is never empty: nothing at all means that it could not be made.
        let mut begin = vec![0; 8192];
        let read = ends.stdout.read(&mut begin).await.unwrap_or_default();
        begin.truncate(read);
        if begin.is_empty() {
            let ended = ended(&mut exit).await;
            if ended == Exit::Code(i32::from(NOT_THERE)) {
                let error = Error::new(ErrorKind::NotFound, format!("there is no path `{path}`"));
                return Err(error.of_machine(request.target.stamp.object()));
            }
            if ended == Exit::Code(i32::from(OUT_OF_BOUNDS)) {
                return Err(out_of_bounds(&sandbox, &path));
            }
            let said = complaint(ends.stderr).await;
            return Err(failed("it cannot be packed", &ended, &said).with("path", path));
        }
        let rest = Judged::new(ends.stdout, whole(exit, ends.stderr));
        Ok(Box::pin(io::Cursor::new(begin).chain(rest)))
    }

    /// A machine that can be looked into: also one that does not run, whose first process alone is started then.
    async fn enterable(&self, target: &Target) -> Result<Sandbox> {
        let sandbox = self.own(target)?;
        match self.phase(&sandbox)? {
            Phase::Running => {}
            Phase::Paused => return Err(not_running(target.stamp.object(), "is paused")),
            Phase::Dying => return Err(not_running(target.stamp.object(), "is being destroyed")),
            _ => self.hold(&sandbox).await?,
        }
        Ok(sandbox)
    }

    async fn carry(&self, cx: &Cx, sandbox: &Sandbox, part: Part, stdin: bool) -> Result<Started> {
        let streams = Streams::pipes(stdin).map_err(no_streams)?;
        self.begin(cx, sandbox, streams, part, BTreeMap::new()).await
    }

    /// The path as it is inside. Where a machine has no files of its own, this host's are out of bounds, and where links
    /// lead is seen inside.
    fn path(sandbox: &Sandbox, path: &str) -> Result<String> {
        if !path.starts_with('/') {
            return Err(Error::new(ErrorKind::Invalid, format!("`{path}` is no absolute path")));
        }
        let (bounds, inside) = (bounds(sandbox), Path::new(path));
        let goes_up = inside.components().any(|part| part == Component::ParentDir);
        if bounds.is_empty() || !goes_up && bounds.iter().any(|bound| inside.starts_with(bound)) {
            return Ok(path.to_owned());
        }
        Err(out_of_bounds(sandbox, path))
    }
}

/// Where files of a machine have to be; anywhere where there are none.
fn bounds(sandbox: &Sandbox) -> Vec<PathBuf> {
    if sandbox.record.confinement.overlay {
        return Vec::new();
    }
    sandbox.place.own()
}

fn out_of_bounds(sandbox: &Sandbox, path: &str) -> Error {
    let error = Error::new(
        ErrorKind::Unsupported,
        format!("`{path}` is this host's own: the machine has no files of its own here"),
    );
    let own = sandbox.place.own();
    let own = own
        .iter()
        .fold(error, |error, own| error.with("the machine's own", own.display()));
    own.of_machine(sandbox.name()).next_step("encamp doctor")
}

async fn ended(exit: &mut watch::Receiver<Option<Exit>>) -> Exit {
    let ended = exit.wait_for(Option::is_some).await;
    let lost = || Exit::Lost("nobody attends to it any more".to_owned());
    ended.ok().and_then(|exit| exit.clone()).unwrap_or_else(lost)
}

async fn complaint(stderr: Option<BoxRead>) -> String {
    let mut said = Vec::new();
    if let Some(stderr) = stderr {
        let _ = stderr.take(COMPLAINT).read_to_end(&mut said).await;
    }
    let said = String::from_utf8_lossy(&said);
    said.trim().trim_start_matches("encamp: ").to_owned()
}

fn failed(what: &'static str, exit: &Exit, said: &str) -> Error {
    let kind = if said.contains("No space left") {
        ErrorKind::Capacity
    } else {
        ErrorKind::Invalid
    };
    let error = Error::new(kind, what);
    if said.is_empty() {
        return error.with("how it ended", exit);
    }
    error.with("said", said)
}

/// Says why an archive is not whole.
async fn whole(mut exit: watch::Receiver<Option<Exit>>, stderr: Option<BoxRead>) -> io::Result<()> {
    let said = complaint(stderr).await;
    let exit = ended(&mut exit).await;
    if exit.success() {
        return Ok(());
    }
    Err(io::Error::other(format!(
        "it could not be packed to its end: it {exit} {said}"
    )))
}
