//! Machines: made, started, stopped, looked at.

use std::fs;
use std::net::{Ipv4Addr, TcpListener};
use std::time::Duration;

use encamp_core::{
    Access, Addr, AddrScope, Create, Created, Cx, Error, ErrorKind, Observed, Phase, PortSpec, Protocol, Publish,
    Published, Renew, Result, Target,
};
use rustix::fs::{CWD, RenameFlags};

use super::Host;
use super::host::{NEW, Sandbox};
use crate::cgroup;
use crate::convert::{Record, phase_of, request_hash};
use crate::error::{foreign, io, not_running, port_taken, unknown};
use crate::message::Part;
use crate::place::{Place, fresh_name, private_folder, remove_tree, sync_parent, write_json};

impl Host {
    /// Makes the folder and holds the machine; what stands there already is adopted where it is the same request.
    pub(crate) async fn create(&self, cx: &Cx, create: Create) -> Result<Created> {
        self.at(&create.site)?;
        let place = self.place(&create.stamp)?;
        if let Some(created) = self.adopt(&place, &create)? {
            return Ok(created);
        }
        if let Some(missing) = create.mounts.iter().find(|mount| !mount.from.is_dir()) {
            return Err(Error::new(ErrorKind::Invalid, "there is no such folder to mount")
                .with("folder", missing.from.display())
                .with("at", &missing.to));
        }
        let record = Record::new(create, &self.plan)?;
        if !self.settle_in(&place, &record)? {
            let adopted = self.adopt(&place, &record.create)?;
            return adopted.ok_or_else(|| unknown("the machine came and went while it was made"));
        }
        let key = record.create.stamp.key.clone();
        let sandbox = Sandbox { place, record };
        if let Err(error) = self.hold(&sandbox).await {
            // Nothing of the user's can have run, so it can as well not be there.
            return match self.remove(cx, &sandbox).await {
                Ok(_) => Err(error),
                Err(left) => {
                    tracing::debug!(error = %left, "a machine that cannot be held stays");
                    Err(error.retry(encamp_core::Retry::Unknown))
                }
            };
        }
        Ok(Created::new(key.as_str(), Phase::Held))
    }

    fn adopt(&self, place: &Place, create: &Create) -> Result<Option<Created>> {
        let Some(sandbox) = Sandbox::read(place.clone())? else {
            return Ok(None);
        };
        sandbox.belongs_to(&create.stamp)?;
        let key = create.stamp.key.as_str();
        if sandbox.record.hash != request_hash(create)? {
            return Err(foreign(key).with("why", "it was made by another request"));
        }
        Ok(Some(Created::new(key, self.phase(&sandbox)?).adopted()))
    }

    /// Puts a whole folder in its place, or nothing where one is there already.
    fn settle_in(&self, place: &Place, record: &Record) -> Result<bool> {
        let name = fresh_name().map_err(io(&self.root))?;
        let fresh = Place::new(self.root.join(format!("{NEW}{name}")));
        let made = || {
            private_folder(&fresh.folder)?;
            // So that nobody takes it for what a crash left.
            let lock = fresh.take()?;
            fresh.furnish()?;
            let folder = place.folder.clone();
            write_json(&fresh.request(), &Part::Shim { folder: folder.clone() })?;
            write_json(&fresh.first_request(), &Part::First { folder })?;
            if let Some(expires) = &record.create.expires {
                write_json(&fresh.expires(), expires)?;
            }
            write_json(&fresh.machine(), record)?;
            let moved = rustix::fs::renameat_with(CWD, &fresh.folder, CWD, &place.folder, RenameFlags::NOREPLACE);
            drop(lock);
            match moved {
                Ok(()) => sync_parent(&place.folder).map(|()| true),
                Err(rustix::io::Errno::EXIST) => Ok(false),
                Err(error) => Err(error.into()),
            }
        };
        let made = made();
        if !matches!(made, Ok(true)) {
            let _ = remove_tree(&fresh.folder);
        }
        made.map_err(io(&place.folder))
    }

    /// Releases what is held, brings back what has stopped, lets go on what is paused.
    pub(crate) async fn start(&self, cx: &Cx, target: &Target) -> Result<()> {
        let sandbox = self.own(target)?;
        match self.phase(&sandbox)? {
            Phase::Running => Ok(()),
            Phase::Paused => self.freeze(&sandbox, false).await,
            Phase::Dying => Err(not_running(target.stamp.object(), "is being destroyed")),
            _ => {
                are_free(&sandbox.record.create.ports)?;
                self.release(cx, &sandbox).await
            }
        }
    }

    /// Lets everything stand still; what is paused already is fine.
    pub(crate) async fn pause(&self, target: &Target) -> Result<()> {
        let sandbox = self.own(target)?;
        if sandbox.record.group.is_none() {
            return Err(Error::unsupported(encamp_core::Verb::Pause));
        }
        match self.phase(&sandbox)? {
            Phase::Paused => Ok(()),
            Phase::Running => self.freeze(&sandbox, true).await,
            _ => Err(not_running(target.stamp.object(), "is not running")),
        }
    }

    pub(super) async fn freeze(&self, sandbox: &Sandbox, still: bool) -> Result<()> {
        let Some(group) = sandbox.record.group.clone() else {
            return Ok(());
        };
        let shown = group.clone();
        let frozen = blocking(move || cgroup::freeze(&group, still)).await?;
        frozen.map_err(|native| {
            unknown("the machine's processes could not all be reached")
                .with("group", shown.display())
                .caused_by(native)
        })
    }

    /// Rewrites when it is to end by itself. The shim looks at it every few seconds, and before it ends anything.
    pub(crate) fn renew(&self, renew: &Renew) -> Result<()> {
        let sandbox = self.own(&renew.target)?;
        let file = sandbox.place.expires();
        write_json(&file, &renew.expires).map_err(io(&file))
    }

    /// One look at a machine.
    pub(crate) fn inspect(&self, target: &Target) -> Result<Observed> {
        let Some(sandbox) = self.find(target)? else {
            return Ok(Observed::new(
                Phase::Gone,
                target.id.clone().unwrap_or_default(),
                Access::None,
            ));
        };
        let (phase, why) = phase_of(&self.sight(&sandbox)?);
        let mut observed = Observed::new(phase, sandbox.key(), Access::Native);
        observed.why = why.map(str::to_owned);
        let loopback = Ipv4Addr::LOCALHOST.to_string();
        observed.addrs = vec![
            Addr::new(&loopback, AddrScope::Scope),
            Addr::new(&loopback, AddrScope::Controller),
        ];
        let ports = sandbox.record.create.ports.iter();
        let dialled = ports.filter(|port| port.protocol == Protocol::Tcp && port.publish != Publish::Inside);
        observed.ports = dialled
            .map(|port| Published::new(port.port, &loopback, port.port))
            .collect();
        Ok(observed)
    }

    /// Stops a machine within `grace`; one that does not run is fine.
    pub(crate) async fn stop(&self, cx: &Cx, target: &Target, grace: Duration) -> Result<()> {
        let sandbox = self.own(target)?;
        self.stop_it(cx, &sandbox, grace).await
    }
}

/// The machine listens on the host's own ports: what is taken now would fail later, and less clearly.
fn are_free(ports: &[PortSpec]) -> Result<()> {
    for port in ports.iter().filter(|port| port.protocol == Protocol::Tcp) {
        if let Err(native) = TcpListener::bind((Ipv4Addr::LOCALHOST, port.port)) {
            return Err(match native.kind() {
                std::io::ErrorKind::AddrInUse => port_taken(port.port, native),
                _ => Error::new(
                    ErrorKind::Invalid,
                    format!("nothing can listen on port {} here", port.port),
                )
                .caused_by(native),
            });
        }
    }
    Ok(())
}

/// Runs what waits on a thread where it may.
pub(super) async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Result<T> {
    tokio::task::spawn_blocking(work)
        .await
        .map_err(|native| Error::new(ErrorKind::Internal, "a piece of work broke off").caused_by(native))
}

/// The folder's own entry is removed too.
pub(super) fn remove_folder(place: &Place) -> Result<()> {
    remove_tree(&place.folder).map_err(io(&place.folder))?;
    match fs::exists(&place.folder) {
        Ok(false) => Ok(()),
        _ => Err(unknown("the machine's folder stays")),
    }
}
