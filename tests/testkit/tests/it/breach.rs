//! A provider that breaks one promise.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use encamp_core::{
    Accept, BoxRead, Candidate, Capabilities, Check, Control, ControllerId, ControllerPrefix, CopyIn, CopyOut, Create,
    Created, Cx, Dial, Duplex, Error, ErrorKind, Exec, Exit, Finding, Health, Image, Key, List, Listen, Listing, Logs,
    Observed, OpenScope, Opened, Phase, Process, Provider, Prune, Removal, Renew, Reserve, Resolve, Result, Signal,
    Site, Size, Snapshot, Stamp, Stop, Target, Ticket, Verb, label,
};
use tokio::io::AsyncReadExt;

/// What is broken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum How {
    NotAtAll,
    CreatesIgnoreTheKey,
    AdoptionIsNotTold,
    AnythingIsAdopted,
    StartsDoNothing,
    EnvironmentIsLost,
    AbsenceIsAnError,
    DestroysDoNothing,
    StampsAreNotCompared,
    ListingsForget,
    ListingsAreIncomplete,
    LabelsAreLost,
    EnvironmentsAreMixed,
    OpensIgnoreTheKey,
    StopsDestroy,
    KillsAsk,
    PausesDoNothing,
    PausesDestroy,
    HealthIsMadeUp,
    MountsAreLost,
    SnapshotsSayNothing,
    RenewalsAreForgotten,
    ExitCodesAreLost,
    SignalsAreLost,
    ErrorsAreMixedIn,
    OutputIsCut,
    InputIsCut,
    CopiesAreEmpty,
    LogsAreEmpty,
    LogsAreNotFollowed,
    EveryPortAnswers,
    MoreIsOfferedThanDeclared,
    SitesChange,
}

static COUNT: AtomicU64 = AtomicU64::new(0);

fn next() -> u64 {
    COUNT.fetch_add(1, Ordering::Relaxed)
}

#[derive(Debug)]
pub(crate) struct Breach {
    inner: Arc<dyn Provider>,
    capabilities: Capabilities,
    site: Site,
    how: How,
}

impl Breach {
    #[expect(clippy::unnecessary_wraps, reason = "reads as the connect that it ends")]
    pub(crate) fn connect(inner: Arc<dyn Provider>, how: How) -> Result<Arc<dyn Provider>> {
        let mut capabilities = inner.capabilities().clone();
        if how == How::MoreIsOfferedThanDeclared {
            capabilities.verbs.remove(&Verb::Stop);
        }
        let site = match how {
            How::SitesChange => Site::new(format!("{}:{}", inner.site(), next())),
            _ => inner.site().clone(),
        };
        Ok(Arc::new(Self {
            inner,
            capabilities,
            site,
            how,
        }))
    }

    fn renamed(&self, stamp: &mut Stamp, by: How) {
        if self.how == by {
            stamp.key = Key::new(format!("{}{}", stamp.key, next()));
        }
    }

    async fn is_absent(&self, cx: &Cx, target: &Target) -> bool {
        let listing = self.inner.list(cx, List::new(prefix(&target.stamp))).await;
        let key = target.stamp.key.as_str();
        listing.is_ok_and(|listing| listing.found.iter().all(|found| found.key != key))
    }

    /// The target with the stamp of whatever stands there.
    async fn whatever(&self, cx: &Cx, mut target: Target) -> Result<Target> {
        let listing = self.inner.list(cx, List::new(prefix(&target.stamp))).await?;
        let stands = listing
            .found
            .into_iter()
            .find(|found| found.key == target.stamp.key.as_str() || Some(&found.id) == target.id.as_ref());
        if let Some(found) = stands {
            target.stamp.key = Key::new(found.key);
            target.stamp.labels = found.labels;
        }
        Ok(target)
    }
}

fn prefix(stamp: &Stamp) -> ControllerPrefix {
    ControllerPrefix::new(&ControllerId::new(stamp.labels[label::CONTROLLER].clone()).unwrap())
}

fn absent() -> Error {
    Error::new(ErrorKind::NotFound, "there is no such thing")
}

#[deny(clippy::missing_trait_methods)]
#[async_trait]
impl Provider for Breach {
    fn capabilities(&self) -> &Capabilities {
        &self.capabilities
    }

    fn site(&self) -> &Site {
        &self.site
    }

    fn sites(&self) -> Vec<Site> {
        vec![self.site.clone()]
    }

    async fn check(&self, cx: &Cx, a: Check) -> Result<Vec<Finding>> {
        self.inner.check(cx, a).await
    }

    async fn resolve(&self, cx: &Cx, a: Resolve) -> Result<Vec<Candidate>> {
        self.inner.resolve(cx, a).await
    }

    async fn inspect(&self, cx: &Cx, a: Target) -> Result<Observed> {
        let mut observed = self.inner.inspect(cx, a).await?;
        if self.how == How::HealthIsMadeUp {
            observed.health = Some(Health::Healthy);
        }
        Ok(observed)
    }

    async fn list(&self, cx: &Cx, mut a: List) -> Result<Listing> {
        if self.how == How::EnvironmentsAreMixed {
            a.environment = None;
        }
        let mut listing = self.inner.list(cx, a).await?;
        match self.how {
            How::ListingsForget => {
                listing.found.pop();
            }
            How::ListingsAreIncomplete => listing.coverage.clear(),
            How::LabelsAreLost => listing.found.iter_mut().for_each(|found| found.labels.clear()),
            _ => {}
        }
        Ok(listing)
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

    async fn open_scope(&self, cx: &Cx, t: &Ticket, mut a: OpenScope) -> Result<Opened> {
        self.renamed(&mut a.stamp, How::OpensIgnoreTheKey);
        self.inner.open_scope(cx, t, a).await
    }

    async fn close_scope(&self, cx: &Cx, t: &Ticket, a: Target) -> Result<Removal> {
        if self.how == How::AbsenceIsAnError && self.is_absent(cx, &a).await {
            return Err(absent());
        }
        self.inner.close_scope(cx, t, a).await
    }

    async fn create(&self, cx: &Cx, t: &Ticket, mut a: Create) -> Result<Created> {
        self.renamed(&mut a.stamp, How::CreatesIgnoreTheKey);
        if self.how == How::EnvironmentIsLost {
            a.env.clear();
        }
        if self.how == How::MountsAreLost {
            a.mounts.clear();
        }
        let created = self.inner.create(cx, t, a).await;
        match (self.how, created) {
            (How::AdoptionIsNotTold, Ok(created)) => Ok(Created::new(created.id, created.phase)),
            (How::AnythingIsAdopted, Err(error)) if error.kind() == ErrorKind::Conflict => {
                Ok(Created::new("whatever", Phase::Running).adopted())
            }
            (_, created) => created,
        }
    }

    async fn start(&self, cx: &Cx, t: &Ticket, a: Target) -> Result<()> {
        if self.how == How::StartsDoNothing {
            return Ok(());
        }
        self.inner.start(cx, t, a).await
    }

    async fn stop(&self, cx: &Cx, t: &Ticket, mut a: Stop) -> Result<()> {
        if self.how == How::KillsAsk {
            a.grace = a.grace.max(Duration::from_secs(1));
        }
        if self.how == How::StopsDestroy {
            let destroy = Ticket::of_committed_intent(t.key().clone(), Verb::Destroy, t.epoch());
            return self.inner.destroy(cx, &destroy, a.target).await.map(|_| ());
        }
        self.inner.stop(cx, t, a).await
    }

    async fn pause(&self, cx: &Cx, t: &Ticket, mut a: Target) -> Result<()> {
        match self.how {
            How::PausesDoNothing => return Ok(()),
            How::PausesDestroy => {
                let destroy = Ticket::of_committed_intent(t.key().clone(), Verb::Destroy, t.epoch());
                return self.inner.destroy(cx, &destroy, a).await.map(|_| ());
            }
            How::StampsAreNotCompared => a = self.whatever(cx, a).await?,
            _ => {}
        }
        self.inner.pause(cx, t, a).await
    }

    async fn renew(&self, cx: &Cx, t: &Ticket, a: Renew) -> Result<()> {
        if self.how == How::RenewalsAreForgotten {
            return Ok(());
        }
        self.inner.renew(cx, t, a).await
    }

    async fn destroy(&self, cx: &Cx, t: &Ticket, mut a: Target) -> Result<Removal> {
        match self.how {
            How::DestroysDoNothing => return Ok(Removal::Gone),
            How::AbsenceIsAnError if self.is_absent(cx, &a).await => return Err(absent()),
            How::StampsAreNotCompared => a = self.whatever(cx, a).await?,
            _ => {}
        }
        self.inner.destroy(cx, t, a).await
    }

    async fn snapshot(&self, cx: &Cx, t: &Ticket, a: Snapshot) -> Result<Image> {
        let mut image = self.inner.snapshot(cx, t, a).await?;
        if self.how == How::SnapshotsSayNothing {
            image.without.clear();
        }
        Ok(image)
    }

    async fn exec(&self, cx: &Cx, a: Exec) -> Result<Process> {
        let mut process = self.inner.exec(cx, a).await?;
        match self.how {
            How::ErrorsAreMixedIn => {
                let stderr: BoxRead = process.stderr.take().unwrap_or_else(|| Box::pin(tokio::io::empty()));
                process.stdout = Box::pin(process.stdout.chain(stderr));
                process.stderr = Some(Box::pin(tokio::io::empty()));
            }
            How::OutputIsCut => process.stdout = Box::pin(process.stdout.take(1 << 20)),
            How::InputIsCut => process.stdin = process.stdin.map(|_| Box::pin(tokio::io::sink()) as _),
            How::ExitCodesAreLost | How::SignalsAreLost => {
                let (inner, how) = (process.control, self.how);
                process.control = Box::new(Handle { inner, how });
            }
            _ => {}
        }
        Ok(process)
    }

    async fn copy_in(&self, cx: &Cx, a: CopyIn, tar: BoxRead) -> Result<()> {
        self.inner.copy_in(cx, a, tar).await
    }

    async fn copy_out(&self, cx: &Cx, a: CopyOut) -> Result<BoxRead> {
        let tar = self.inner.copy_out(cx, a).await?;
        if self.how == How::CopiesAreEmpty {
            return Ok(Box::pin(std::io::Cursor::new(vec![0; 1024])));
        }
        Ok(tar)
    }

    async fn dial(&self, cx: &Cx, a: Dial) -> Result<Duplex> {
        if self.how == How::EveryPortAnswers {
            let (near, far) = tokio::io::duplex(64);
            tokio::spawn(async move {
                let (mut from, mut to) = tokio::io::split(far);
                tokio::io::copy(&mut from, &mut to).await
            });
            return Ok(Box::pin(near));
        }
        self.inner.dial(cx, a).await
    }

    async fn listen(&self, cx: &Cx, a: Listen) -> Result<Box<dyn Accept>> {
        self.inner.listen(cx, a).await
    }

    async fn logs(&self, cx: &Cx, mut a: Logs) -> Result<BoxRead> {
        match self.how {
            How::LogsAreEmpty => return Ok(Box::pin(tokio::io::empty())),
            How::LogsAreNotFollowed => a.follow = false,
            _ => {}
        }
        self.inner.logs(cx, a).await
    }
}

struct Handle {
    inner: Box<dyn Control>,
    how: How,
}

#[async_trait]
impl Control for Handle {
    async fn signal(&mut self, signal: Signal) -> Result<()> {
        if self.how == How::SignalsAreLost {
            return Ok(());
        }
        self.inner.signal(signal).await
    }

    async fn resize(&mut self, size: Size) -> Result<()> {
        self.inner.resize(size).await
    }

    async fn wait(&mut self) -> Result<Exit> {
        let exit = self.inner.wait().await?;
        Ok(if self.how == How::ExitCodesAreLost {
            Exit::Code(0)
        } else {
            exit
        })
    }
}
