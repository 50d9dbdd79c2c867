//! The inside verbs of a provider whose machines are reached by SSH.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use encamp_core::{
    Accept, Access, AccessForm, BoxRead, Candidate, Capabilities, Check, CopyIn, CopyOut, Create, Created, Cx, Dial,
    Duplex, EnvId, Error, ErrorKind, Exec, ExitDetail, Finding, Identity, Image, List, Listen, Listing, Logs, Observed,
    OpenScope, Opened, Phase, Process, Provider, Prune, Removal, Renew, Reserve, Resolve, Result, Retry, Site,
    Snapshot, SshAccess, Stop, Target, Ticket, Verb, label,
};

use crate::{EnvironmentKeys, Remote};

/// For how long what was seen of a machine is believed.
const BELIEVED: Duration = Duration::from_mins(1);
/// Machines that are remembered.
const MACHINES_MAX: usize = 1024;
/// What sessions over SSH supply.
const SUPPLIED: [Verb; 5] = [Verb::Exec, Verb::CopyIn, Verb::CopyOut, Verb::Dial, Verb::Listen];

/// Puts the inside verbs over SSH in front of a provider that says its machines are reached so
/// ([`AccessForm::Ssh`]). Any other is given back as it is.
///
/// It belongs below the layers that are always on ([`encamp_core::layers::stack`]), so that these see its capabilities.
pub fn derive(inner: Arc<dyn Provider>, remote: Arc<Remote>, keys: Arc<dyn EnvironmentKeys>) -> Arc<dyn Provider> {
    if inner.capabilities().access != AccessForm::Ssh {
        return inner;
    }
    Arc::new(Derived {
        capabilities: derived_capabilities(inner.capabilities().clone()),
        inner,
        remote,
        keys,
        seen: Mutex::default(),
    })
}

/// What a provider can do whose machines are reached by SSH, once the inside verbs stand in front of it.
pub fn derived_capabilities(mut of: Capabilities) -> Capabilities {
    of.verbs.extend(SUPPLIED);
    of.signals = true;
    of.tty = true;
    // A shell tells a signal as 128 and its number.
    of.exits = ExitDetail::Code;
    of.access = AccessForm::Native;
    of
}

#[derive(Debug)]
struct Derived {
    inner: Arc<dyn Provider>,
    capabilities: Capabilities,
    remote: Arc<Remote>,
    keys: Arc<dyn EnvironmentKeys>,
    seen: Mutex<HashMap<(Site, String), Seen>>,
}

/// What a look at a machine said.
#[derive(Debug, Clone)]
struct Seen {
    way: Way,
    /// Its deadline is when it is not believed any more.
    until: Cx,
}

/// How a machine is reached.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Way {
    /// The provider itself has the verbs.
    Native,
    Ssh(Box<SshAccess>, Option<PathBuf>),
}

impl Derived {
    /// The way into a machine: as it was seen a moment ago, or as it is now where `afresh`.
    async fn way(&self, cx: &Cx, target: &Target, afresh: bool) -> Result<Way> {
        let name = named(target);
        if !afresh {
            let seen = self
                .seen
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .get(&name)
                .cloned();
            if let Some(seen) = seen.filter(|seen| !seen.until.remaining().is_zero()) {
                return Ok(seen.way);
            }
        }
        let observed = self.inner.inspect(cx, target.clone()).await?;
        self.learn(target, &observed)?
            .ok_or_else(|| no_way(target, &observed.phase))
    }

    /// The way into a machine that was just seen, if there is one. It is remembered.
    fn learn(&self, target: &Target, observed: &Observed) -> Result<Option<Way>> {
        let way = match &observed.access {
            Access::Native => Way::Native,
            Access::Ssh(access) => Way::Ssh(access.clone(), self.key(target, access)?),
            _ => return Ok(None),
        };
        let name = named(target);
        let mut all = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        if all.len() >= MACHINES_MAX {
            all.retain(|_, seen| !seen.until.remaining().is_zero());
        }
        if all.len() < MACHINES_MAX || all.contains_key(&name) {
            all.insert(
                name,
                Seen {
                    way: way.clone(),
                    until: Cx::within(BELIEVED),
                },
            );
        }
        Ok(Some(way))
    }

    /// The environment's own key, where the machine or a host before it wants that.
    fn key(&self, target: &Target, access: &SshAccess) -> Result<Option<PathBuf>> {
        let mut hosts = std::iter::successors(Some(access), |access| access.via.as_deref());
        if !hosts.any(|access| access.identity == Identity::Environment) {
            return Ok(None);
        }
        let environment = target.stamp.labels.get(label::ENVIRONMENT).map_or("", String::as_str);
        let environment =
            EnvId::new(environment).map_err(|native| Error::new(ErrorKind::Internal, native.to_string()))?;
        self.keys.private_key(&environment).map(Some)
    }

    /// A way that leads there now. One that was only remembered, and fails, is looked at again.
    async fn tried_way(&self, cx: &Cx, target: &Target) -> Result<Way> {
        let way = self.way(cx, target, false).await?;
        let Way::Ssh(access, key) = &way else {
            return Ok(way);
        };
        let Err(error) = self.remote.reach(cx, access, key.clone()).await else {
            return Ok(way);
        };
        let now = self.way(cx, target, true).await?;
        match &now {
            Way::Ssh(access, key) if now != way => self.remote.reach(cx, access, key.clone()).await.map(|()| now),
            Way::Ssh(..) => Err(error),
            Way::Native => Ok(now),
        }
        .map_err(|error| error.of_machine(target.stamp.object()))
    }

    /// Forgets how machines are reached: they are about to change.
    fn forget(&self, target: &Target) {
        let name = named(target);
        self.seen.lock().unwrap_or_else(PoisonError::into_inner).remove(&name);
    }
}

/// By what a machine is remembered.
fn named(target: &Target) -> (Site, String) {
    (target.site.clone(), target.stamp.key.as_str().to_owned())
}

fn no_way(target: &Target, phase: &Phase) -> Error {
    let error = match phase {
        Phase::Gone => Error::new(ErrorKind::NotFound, "the machine is gone"),
        _ => Error::new(ErrorKind::Unavailable, "nothing leads into the machine yet").retry(Retry::Safe),
    };
    error
        .with("phase", format!("{phase:?}"))
        .of_machine(target.stamp.object())
}

#[deny(clippy::missing_trait_methods)]
#[async_trait]
impl Provider for Derived {
    fn capabilities(&self) -> &Capabilities {
        &self.capabilities
    }

    fn site(&self) -> &Site {
        self.inner.site()
    }

    fn sites(&self) -> Vec<Site> {
        self.inner.sites()
    }

    async fn check(&self, cx: &Cx, a: Check) -> Result<Vec<Finding>> {
        self.inner.check(cx, a).await
    }

    async fn resolve(&self, cx: &Cx, a: Resolve) -> Result<Vec<Candidate>> {
        self.inner.resolve(cx, a).await
    }

    async fn inspect(&self, cx: &Cx, a: Target) -> Result<Observed> {
        let observed = self.inner.inspect(cx, a.clone()).await?;
        // Whoever waits for a machine looks at it, and goes in then.
        if observed.phase == Phase::Running {
            let _ = self.learn(&a, &observed);
        }
        Ok(observed)
    }

    async fn list(&self, cx: &Cx, a: List) -> Result<Listing> {
        self.inner.list(cx, a).await
    }

    async fn prepare(&self, cx: &Cx, a: Candidate) -> Result<Candidate> {
        self.inner.prepare(cx, a).await
    }

    async fn prune(&self, cx: &Cx, a: Prune) -> Result<Vec<String>> {
        self.inner.prune(cx, a).await
    }

    async fn reserve(&self, cx: &Cx, a: Reserve) -> Result<()> {
        self.inner.reserve(cx, a).await
    }

    async fn open_scope(&self, cx: &Cx, t: &Ticket, a: OpenScope) -> Result<Opened> {
        self.inner.open_scope(cx, t, a).await
    }

    async fn close_scope(&self, cx: &Cx, t: &Ticket, a: Target) -> Result<Removal> {
        self.inner.close_scope(cx, t, a).await
    }

    async fn create(&self, cx: &Cx, t: &Ticket, a: Create) -> Result<Created> {
        self.inner.create(cx, t, a).await
    }

    async fn start(&self, cx: &Cx, t: &Ticket, a: Target) -> Result<()> {
        self.forget(&a);
        self.inner.start(cx, t, a).await
    }

    async fn stop(&self, cx: &Cx, t: &Ticket, a: Stop) -> Result<()> {
        self.forget(&a.target);
        self.inner.stop(cx, t, a).await
    }

    async fn pause(&self, cx: &Cx, t: &Ticket, a: Target) -> Result<()> {
        self.forget(&a);
        self.inner.pause(cx, t, a).await
    }

    async fn renew(&self, cx: &Cx, t: &Ticket, a: Renew) -> Result<()> {
        self.inner.renew(cx, t, a).await
    }

    async fn destroy(&self, cx: &Cx, t: &Ticket, a: Target) -> Result<Removal> {
        self.forget(&a);
        self.inner.destroy(cx, t, a).await
    }

    async fn snapshot(&self, cx: &Cx, t: &Ticket, a: Snapshot) -> Result<Image> {
        self.inner.snapshot(cx, t, a).await
    }

    async fn exec(&self, cx: &Cx, a: Exec) -> Result<Process> {
        match self.tried_way(cx, &a.target).await? {
            Way::Native => self.inner.exec(cx, a).await,
            Way::Ssh(access, key) => self.remote.exec(cx, &access, key, a).await,
        }
    }

    async fn copy_in(&self, cx: &Cx, a: CopyIn, tar: BoxRead) -> Result<()> {
        match self.tried_way(cx, &a.target).await? {
            Way::Native => self.inner.copy_in(cx, a, tar).await,
            Way::Ssh(access, key) => self.remote.copy_in(cx, &access, key, &a, tar).await,
        }
    }

    async fn copy_out(&self, cx: &Cx, a: CopyOut) -> Result<BoxRead> {
        match self.tried_way(cx, &a.target).await? {
            Way::Native => self.inner.copy_out(cx, a).await,
            Way::Ssh(access, key) => self.remote.copy_out(cx, &access, key, &a).await,
        }
    }

    async fn dial(&self, cx: &Cx, a: Dial) -> Result<Duplex> {
        match self.tried_way(cx, &a.target).await? {
            Way::Native => self.inner.dial(cx, a).await,
            Way::Ssh(access, key) => self.remote.dial(cx, &access, key, &a).await,
        }
    }

    async fn listen(&self, cx: &Cx, a: Listen) -> Result<Box<dyn Accept>> {
        match self.tried_way(cx, &a.target).await? {
            Way::Native => self.inner.listen(cx, a).await,
            Way::Ssh(access, key) => self.remote.listen(cx, &access, key, &a).await,
        }
    }

    async fn logs(&self, cx: &Cx, a: Logs) -> Result<BoxRead> {
        self.inner.logs(cx, a).await
    }
}
