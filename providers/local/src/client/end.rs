//! The end of machines: asked for, forced, and certain.

use std::fs::File;
use std::time::Duration;

use encamp_core::{Cx, Phase, Removal, Result, Retry, Target};
use rustix::process::Signal;

use super::Host;
use super::host::{DEAD, Sandbox};
use super::machines::{blocking, remove_folder};
use crate::cgroup;
use crate::error::{io, unknown};
use crate::message::{Ask, Life};
use crate::place::{self, Place, fresh_name, write_json};
use crate::process::{kill_all, marked};

/// How long a shim may take to end what its first process left, before it is ended too.
pub(super) const SHIM: Duration = Duration::from_secs(5);
/// How long everything may take to be gone after it was killed.
const GONE: Duration = Duration::from_secs(20);
const LOOK: Duration = Duration::from_millis(10);

impl Host {
    pub(super) async fn stop_it(&self, cx: &Cx, sandbox: &Sandbox, grace: Duration) -> Result<()> {
        let phase = self.phase(sandbox)?;
        if !matches!(phase, Phase::Running | Phase::Paused) {
            return Ok(());
        }
        let place = &sandbox.place;
        place::write(&place.stopping(), b"").map_err(io(&place.stopping()))?;
        if phase == Phase::Paused && !grace.is_zero() {
            self.freeze(sandbox, false).await?;
        }
        if !grace.is_zero()
            && let Ok(mut talk) = sandbox.talk(&[])
        {
            let grace_millis = u64::try_from(grace.as_millis()).unwrap_or(u64::MAX);
            // One that does not listen is killed below.
            if talk.say(&Ask::Stop { grace_millis }).await.is_ok() {
                self.wait_free(place, (grace + SHIM).min(cx.remaining())).await?;
            }
        }
        let Some(_lock) = self.end_all(sandbox).await? else {
            return Err(unknown("something of the machine does not end").of_machine(sandbox.name()));
        };
        // A shim that was killed too has not written it down.
        let life: Option<Life> = place::read_json(&place.life()).map_err(io(&place.life()))?;
        if life == Some(Life::Running) {
            write_json(&place.life(), &Life::Stopped).map_err(io(&place.life()))?;
        }
        Ok(())
    }

    /// Ends everything of a machine, and holds its lock then; nothing where something does not end.
    pub(super) async fn end_all(&self, sandbox: &Sandbox) -> Result<Option<File>> {
        let place = &sandbox.place;
        // Also where nobody holds the lock: what has let go of it, and of the cookie, is still in its group.
        if let Some(group) = sandbox.record.group.as_deref() {
            cgroup::kill(group).map_err(io(group))?;
        }
        if let Some(lock) = place.take().map_err(io(&place.lock()))? {
            return Ok(Some(lock));
        }
        let run = self.run(place)?;
        if let Some(run) = &run {
            run.first.signal(Signal::KILL);
        }
        // A shim that lives ends what is left, and writes down how it ended.
        let shim = run.as_ref().is_some_and(|run| run.shim.lives());
        if shim && self.wait_free(place, SHIM).await? {
            return take_free(place).await;
        }
        if let Some(run) = &run {
            run.shim.signal(Signal::KILL);
        }
        // What is left now has left its group and its parents; what it inherited it still has.
        let (tag, lock, free) = (sandbox.record.tag.clone(), place.lock(), place.clone());
        let free = move || !free.is_held().unwrap_or(true);
        blocking(move || kill_all(|found| marked(&tag, &lock, found), free)).await?;
        if !self.wait_free(place, GONE).await? {
            return Ok(None);
        }
        take_free(place).await
    }

    pub(super) async fn wait_free(&self, place: &Place, within: Duration) -> Result<bool> {
        let waiting = async {
            while place.is_held().map_err(io(&place.lock()))? {
                tokio::time::sleep(LOOK).await;
            }
            Ok(())
        };
        match tokio::time::timeout(within, waiting).await {
            Ok(done) => done.map(|()| true),
            Err(_) => Ok(false),
        }
    }

    /// Removes a machine; one that is not there is gone.
    pub(crate) async fn destroy(&self, cx: &Cx, target: &Target) -> Result<Removal> {
        let Some(sandbox) = self.find(target)? else {
            return Ok(Removal::Gone);
        };
        let grace = sandbox.record.table.stop_grace;
        if let Some(grace) = grace.filter(|_| !sandbox.place.dying().exists()) {
            // The grace is a favour; the end is a promise.
            if let Err(error) = self.stop_it(cx, &sandbox, grace.0).await {
                tracing::debug!(%error, machine = sandbox.name(), "it was not given its grace");
            }
        }
        self.remove(cx, &sandbox).await
    }

    /// From here on no shim begins for it any more.
    pub(super) async fn remove(&self, cx: &Cx, sandbox: &Sandbox) -> Result<Removal> {
        let place = &sandbox.place;
        match place::write(&place.dying(), b"") {
            // Another process has removed it meanwhile.
            Err(_) if !place.folder.exists() => return Ok(Removal::Gone),
            // To remove it makes room. The lock, held to the end, keeps shims away too.
            Err(error) if is_full(&error) => {
                tracing::debug!(%error, machine = sandbox.name(), "it is not marked as dying");
            }
            marked => marked.map_err(io(&place.dying()))?,
        }
        self.gates().remove(sandbox.key());
        let ending = tokio::time::timeout(cx.remaining(), self.end_all(sandbox));
        let Ok(ended) = ending.await else {
            return Ok(Removal::Pending);
        };
        let lock = match ended {
            Ok(Some(lock)) => lock,
            Ok(None) => return Ok(Removal::Pending),
            Err(_) if !place.folder.exists() => return Ok(Removal::Gone),
            Err(error) => return Err(error.retry(Retry::Unknown)),
        };
        self.scan(sandbox).await?;
        for group in sandbox
            .record
            .group
            .iter()
            .chain(sandbox.record.limiters.iter().map(|one| &one.folder))
        {
            let gone = group.clone();
            let removed = blocking(move || cgroup::remove(&gone)).await?;
            removed.map_err(|native| io(group)(native).retry(Retry::Unknown))?;
        }
        let name = fresh_name().map_err(io(&self.root))?;
        let dead = Place::new(self.root.join(format!("{DEAD}{name}")));
        match std::fs::rename(&place.folder, &dead.folder) {
            Err(_) if !place.folder.exists() => return Ok(Removal::Gone),
            moved => moved.map_err(io(&place.folder))?,
        }
        let removed = blocking(move || remove_folder(&dead)).await?;
        drop(lock);
        // It is gone from every listing; what is left of its files is removed by whoever connects next.
        if let Err(error) = removed {
            tracing::debug!(%error, "files of a machine stay for now");
        }
        Ok(Removal::Gone)
    }

    /// The last net: what carries the cookie and has let the lock go. A group or a name space has left nothing.
    async fn scan(&self, sandbox: &Sandbox) -> Result<()> {
        let record = &sandbox.record;
        let certain = record.group.is_some() || record.confinement.processes;
        let (tag, lock) = (record.tag.clone(), sandbox.place.lock());
        let mut empty = 0;
        let passes = if certain { 1 } else { PASSES };
        let often = move || {
            empty += 1;
            empty >= passes
        };
        if blocking(move || kill_all(|found| marked(&tag, &lock, found), often)).await? {
            return Ok(());
        }
        Err(unknown("something of the machine does not end").of_machine(sandbox.name()))
    }
}

/// The lock of a machine of which nothing lives: others may look at it just now.
async fn take_free(place: &Place) -> Result<Option<File>> {
    let free = place.clone();
    let taken = blocking(move || free.take_soon(|| Ok(false))).await?;
    taken.map_err(io(&place.lock()))
}

fn is_full(error: &std::io::Error) -> bool {
    use std::io::ErrorKind;
    matches!(error.kind(), ErrorKind::StorageFull | ErrorKind::QuotaExceeded)
}

/// So many looks that find nothing are believed.
const PASSES: u32 = 5;
