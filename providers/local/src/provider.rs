//! The contract's verbs.

use std::sync::Arc;

use async_trait::async_trait;
use encamp_core::{
    BoxRead, Candidate, Capabilities, Check, CopyIn, CopyOut, Create, Created, Cx, Dial, Duplex, Exec, Finding, List,
    Listing, Logs, Observed, Process, Provider, Removal, Renew, Resolve, Result, Site, Stop, Target, Ticket,
};

use crate::capabilities;
use crate::client::Host;

/// This host as a provider.
#[derive(Debug)]
pub(crate) struct Local {
    host: Arc<Host>,
    capabilities: Capabilities,
}

impl Local {
    pub(crate) fn new(host: Host) -> Self {
        let capabilities = capabilities::of(host.settings.changes_at_once, &host.plan);
        Self {
            host: Arc::new(host),
            capabilities,
        }
    }
}

#[async_trait]
impl Provider for Local {
    fn capabilities(&self) -> &Capabilities {
        &self.capabilities
    }

    fn site(&self) -> &Site {
        &self.host.site
    }

    async fn check(&self, cx: &Cx, _: Check) -> Result<Vec<Finding>> {
        self.host.check(cx).await
    }

    async fn resolve(&self, _: &Cx, a: Resolve) -> Result<Vec<Candidate>> {
        Ok(vec![self.host.resolve(a)?])
    }

    async fn inspect(&self, _: &Cx, a: Target) -> Result<Observed> {
        self.host.inspect(&a)
    }

    async fn list(&self, _: &Cx, a: List) -> Result<Listing> {
        Ok(self.host.list(&a))
    }

    async fn create(&self, cx: &Cx, _: &Ticket, a: Create) -> Result<Created> {
        self.host.create(cx, a).await
    }

    async fn start(&self, cx: &Cx, _: &Ticket, a: Target) -> Result<()> {
        self.host.start(cx, &a).await
    }

    async fn stop(&self, cx: &Cx, _: &Ticket, a: Stop) -> Result<()> {
        self.host.stop(cx, &a.target, a.grace).await
    }

    async fn pause(&self, _: &Cx, _: &Ticket, a: Target) -> Result<()> {
        self.host.pause(&a).await
    }

    async fn renew(&self, _: &Cx, _: &Ticket, a: Renew) -> Result<()> {
        self.host.renew(&a)
    }

    async fn destroy(&self, cx: &Cx, _: &Ticket, a: Target) -> Result<Removal> {
        self.host.destroy(cx, &a).await
    }

    async fn exec(&self, cx: &Cx, a: Exec) -> Result<Process> {
        self.host.exec(cx, a).await
    }

    async fn copy_in(&self, cx: &Cx, a: CopyIn, tar: BoxRead) -> Result<()> {
        self.host.copy_in(cx, &a, tar).await
    }

    async fn copy_out(&self, cx: &Cx, a: CopyOut) -> Result<BoxRead> {
        self.host.copy_out(cx, &a).await
    }

    async fn dial(&self, _: &Cx, a: Dial) -> Result<Duplex> {
        self.host.dial(&a).await
    }

    async fn logs(&self, _: &Cx, a: Logs) -> Result<BoxRead> {
        self.host.logs(&a).await
    }
}
