//! The contract's verbs, each translate, call, translate.

use async_trait::async_trait;
use encamp_core::{
    BoxRead, Candidate, Capabilities, Check, CopyIn, CopyOut, Create, Created, Cx, Dial, Duplex, Exec, Finding, Image,
    List, Listing, Logs, Observed, OpenScope, Opened, Process, Provider, Prune, Removal, Resolve, Result, Site,
    Snapshot, Stop, Target, Ticket,
};

use crate::capabilities;
use crate::client::Engine;
use crate::convert::{Item, container, network_request, platform_of, volume_request};

/// One engine as a provider.
#[derive(Debug)]
pub(crate) struct Docker {
    engine: Engine,
    capabilities: Capabilities,
}

impl Docker {
    pub(crate) fn new(engine: Engine) -> Self {
        let capabilities = capabilities::of(engine.settings.changes_at_once, engine.learnt);
        Self { engine, capabilities }
    }
}

#[async_trait]
impl Provider for Docker {
    fn capabilities(&self) -> &Capabilities {
        &self.capabilities
    }

    fn site(&self) -> &Site {
        &self.engine.site
    }

    async fn check(&self, cx: &Cx, a: Check) -> Result<Vec<Finding>> {
        self.engine.check(cx, a.thorough).await
    }

    async fn resolve(&self, cx: &Cx, a: Resolve) -> Result<Vec<Candidate>> {
        Ok(vec![self.engine.resolve(cx, a).await?])
    }

    async fn inspect(&self, cx: &Cx, a: Target) -> Result<Observed> {
        self.engine.inspect(cx, &a).await
    }

    async fn list(&self, cx: &Cx, a: List) -> Result<Listing> {
        Ok(Box::pin(self.engine.list(cx, &a)).await)
    }

    async fn prepare(&self, cx: &Cx, a: Candidate) -> Result<Candidate> {
        self.engine.prepare(cx, a).await
    }

    async fn prune(&self, cx: &Cx, a: Prune) -> Result<Vec<String>> {
        self.engine.prune(cx, a).await
    }

    async fn open_scope(&self, cx: &Cx, _: &Ticket, a: OpenScope) -> Result<Opened> {
        self.engine.at(&a.site)?;
        match Item::read(&a.item)? {
            Item::Network { subnet } => {
                let request = network_request(&a.stamp, subnet.as_deref());
                self.engine.open_network(cx, &a.stamp, request).await
            }
            Item::Volume => self.engine.open_volume(cx, &a.stamp, volume_request(&a.stamp)).await,
        }
    }

    async fn close_scope(&self, cx: &Cx, _: &Ticket, a: Target) -> Result<Removal> {
        self.engine.close(cx, &a).await
    }

    async fn create(&self, cx: &Cx, _: &Ticket, a: Create) -> Result<Created> {
        self.engine.at(&a.site)?;
        if let Some(created) = self.engine.mounts_are_there(cx, &a).await? {
            return Ok(created);
        }
        let request = container(&a, &self.engine.reach())?;
        self.engine.create(cx, &a.stamp, platform_of(&a.body), request).await
    }

    async fn start(&self, cx: &Cx, _: &Ticket, a: Target) -> Result<()> {
        self.engine.start(cx, &a).await
    }

    async fn stop(&self, cx: &Cx, _: &Ticket, a: Stop) -> Result<()> {
        self.engine.stop(cx, &a.target, a.grace).await
    }

    async fn pause(&self, cx: &Cx, _: &Ticket, a: Target) -> Result<()> {
        self.engine.pause(cx, &a).await
    }

    async fn destroy(&self, cx: &Cx, _: &Ticket, a: Target) -> Result<Removal> {
        self.engine.destroy(cx, &a).await
    }

    async fn snapshot(&self, cx: &Cx, _: &Ticket, a: Snapshot) -> Result<Image> {
        self.engine.snapshot(cx, &a).await
    }

    async fn exec(&self, cx: &Cx, a: Exec) -> Result<Process> {
        self.engine.exec(cx, a).await
    }

    async fn copy_in(&self, cx: &Cx, a: CopyIn, tar: BoxRead) -> Result<()> {
        self.engine.copy_in(cx, &a, tar).await
    }

    async fn copy_out(&self, cx: &Cx, a: CopyOut) -> Result<BoxRead> {
        self.engine.copy_out(cx, &a).await
    }

    async fn dial(&self, cx: &Cx, a: Dial) -> Result<Duplex> {
        self.engine.dial(cx, &a).await
    }

    async fn logs(&self, cx: &Cx, a: Logs) -> Result<BoxRead> {
        self.engine.logs(cx, &a).await
    }
}
