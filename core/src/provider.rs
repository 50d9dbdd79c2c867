//! The contract itself.

use std::fmt::Debug;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;

use crate::{
    Accept, Access, BoxRead, Candidate, Capabilities, Check, CopyIn, CopyOut, Create, Created, Cx, Dial, Duplex, Error,
    ErrorKind, Exec, Finding, Image, Level, List, Listen, Listing, Logs, Observed, OpenScope, Opened, Phase, Process,
    Prune, Removal, Renew, Reserve, Resolve, Result, Site, Snapshot, Stop, Target, Ticket, Verb,
};

/// Infrastructure that machines are made on, as the engine sees it.
///
/// Required are [`capabilities`](Self::capabilities), [`site`](Self::site), [`list`](Self::list),
/// [`create`](Self::create) and [`destroy`](Self::destroy); everything else has a default, so that a small
/// provider stays small. A verb whose default answers [`Unsupported`](ErrorKind::Unsupported) is offered only
/// where [`Capabilities::verbs`] names it.
///
/// # Changes
/// A changing verb takes a [`Ticket`] and is harmless when it is repeated with the same arguments. Before it
/// changes a thing that exists, it compares what the thing carries with the stamp
/// ([`Stamp::matches`](crate::Stamp::matches)) and answers [`Conflict`](ErrorKind::Conflict) where they differ.
/// An error whose effect may have happened says [`Retry::Unknown`](crate::Retry::Unknown). Dropping the future
/// of a change means "outcome unknown", never "did not happen". A provider never tries alternatives inside one
/// call, and never repeats a change by itself.
#[async_trait]
pub trait Provider: Debug + Send + Sync + 'static {
    /// Facts about this instance, learnt in `connect`.
    fn capabilities(&self) -> &Capabilities;

    /// The site that `connect` learnt; where an instance spans several, the one it prefers.
    fn site(&self) -> &Site;

    /// Every site that it reaches: a host each, where it spans several. By default the one that it prefers.
    fn sites(&self) -> Vec<Site> {
        vec![self.site().clone()]
    }

    /// Whether it could work now. By default lists nothing in particular once.
    async fn check(&self, cx: &Cx, a: Check) -> Result<Vec<Finding>> {
        let _ = a;
        let controller =
            crate::ControllerId::new("000000").map_err(|e| Error::new(ErrorKind::Internal, e.to_string()))?;
        let listing = self
            .list(cx, List::new(crate::ControllerPrefix::new(&controller)))
            .await?;
        let failed = listing
            .coverage
            .into_iter()
            .filter_map(|coverage| coverage.outcome.err().map(|error| (coverage.site, error)));
        Ok(failed
            .map(|(site, error)| Finding::new(Level::Error, format!("{site}: {error}")))
            .collect())
    }

    /// What could be made of a table, best first. Changes nothing. By default the table as it is, on the one site.
    async fn resolve(&self, cx: &Cx, a: Resolve) -> Result<Vec<Candidate>> {
        let _ = cx;
        Ok(vec![Candidate::new(self.site().clone(), a.table)])
    }

    /// One look at a machine. By default picks one line out of `list`; what is not in a complete listing is [`Phase::Gone`].
    async fn inspect(&self, cx: &Cx, a: Target) -> Result<Observed> {
        let controller = a
            .stamp
            .labels
            .get(crate::label::CONTROLLER)
            .cloned()
            .unwrap_or_default();
        let controller =
            crate::ControllerId::new(controller).map_err(|e| Error::new(ErrorKind::Invalid, e.to_string()))?;
        let everything = List::new(crate::ControllerPrefix::new(&controller));
        let listing = self.list(cx, everything.at(a.site.clone())).await?;
        if let Some(found) = listing.find(&a.site, &a.stamp, self.capabilities().keeps) {
            let access = found.access.clone().unwrap_or(Access::None);
            return Ok(Observed::new(found.phase.clone(), found.id.clone(), access));
        }
        if listing.covers(&a.site) {
            return Ok(Observed::new(Phase::Gone, a.id.unwrap_or_default(), Access::None));
        }
        Err(Error::new(
            ErrorKind::Unavailable,
            format!("{} could not be listed completely", a.site),
        )
        .retry(crate::Retry::Safe))
    }

    /// Everything that carries a controller's key, with what was seen completely and what was not.
    async fn list(&self, cx: &Cx, a: List) -> Result<Listing>;

    /// Pulls, builds, fills digests in: repeatable, run once per distinct candidate, may be cancelled. Carries no stamp.
    async fn prepare(&self, cx: &Cx, a: Candidate) -> Result<Candidate> {
        let _ = cx;
        Ok(a)
    }

    /// Removes what [`prepare`](Self::prepare) has built and nobody has prepared again since then, whichever
    /// installation it was built for; what a machine uses stays. Gives the names of what is gone. By default nothing is
    /// built, so nothing goes.
    async fn prune(&self, cx: &Cx, a: Prune) -> Result<Vec<String>> {
        let _ = (cx, a);
        Ok(Vec::new())
    }

    /// Opens an item that machines of an environment share. By default there is nothing to open.
    async fn open_scope(&self, cx: &Cx, t: &Ticket, a: OpenScope) -> Result<Opened> {
        let _ = (cx, t);
        Ok(Opened::new(a.stamp.key.as_str(), serde_json::Value::Null))
    }

    /// Closes such an item.
    async fn close_scope(&self, cx: &Cx, t: &Ticket, a: Target) -> Result<Removal> {
        let _ = (cx, t, a);
        Ok(Removal::Gone)
    }

    /// Keeps the place of a candidate free for one environment, for a short while: what is reserved for another one, or
    /// taken, is [`Capacity`](ErrorKind::Capacity). It makes nothing, ends by itself, and may be repeated, which lengthens
    /// it; so it needs no ticket and nothing is recorded of it. A create of that environment uses it up.
    async fn reserve(&self, cx: &Cx, a: Reserve) -> Result<()> {
        let _ = (cx, a);
        Err(Error::unsupported(Verb::Reserve))
    }

    /// Makes one machine of a frozen request. Accepted, not yet running; may leave it [`Phase::Held`].
    async fn create(&self, cx: &Cx, t: &Ticket, a: Create) -> Result<Created>;

    /// Releases what is held, brings back what is stopped, and lets go on what is paused. By default there is nothing
    /// to do.
    async fn start(&self, cx: &Cx, t: &Ticket, a: Target) -> Result<()> {
        let _ = (cx, t, a);
        Ok(())
    }

    /// Stops a machine, also a paused one, so that `start` can bring it back.
    async fn stop(&self, cx: &Cx, t: &Ticket, a: Stop) -> Result<()> {
        let _ = (cx, t, a);
        Err(Error::unsupported(Verb::Stop))
    }

    /// Lets all processes of a running machine stand still, until `start` lets them go on. No command runs in it
    /// meanwhile: what opens one answers [`Unavailable`](ErrorKind::Unavailable).
    async fn pause(&self, cx: &Cx, t: &Ticket, a: Target) -> Result<()> {
        let _ = (cx, t, a);
        Err(Error::unsupported(Verb::Pause))
    }

    /// Rewrites the moment at which a machine ends by itself.
    async fn renew(&self, cx: &Cx, t: &Ticket, a: Renew) -> Result<()> {
        let _ = (cx, t, a);
        Err(Error::unsupported(Verb::Renew))
    }

    /// Removes a machine and what is its own, or an image that [`snapshot`](Self::snapshot) has made, unless something
    /// is made of it still. What is absent is [`Removal::Gone`].
    async fn destroy(&self, cx: &Cx, t: &Ticket, a: Target) -> Result<Removal>;

    /// Makes an image of a machine.
    async fn snapshot(&self, cx: &Cx, t: &Ticket, a: Snapshot) -> Result<Image> {
        let _ = (cx, t, a);
        Err(Error::unsupported(Verb::Snapshot))
    }

    /// Runs a command.
    async fn exec(&self, cx: &Cx, a: Exec) -> Result<Process> {
        let _ = (cx, a);
        Err(Error::unsupported(Verb::Exec))
    }

    /// Unpacks a tar stream.
    async fn copy_in(&self, cx: &Cx, a: CopyIn, tar: BoxRead) -> Result<()> {
        let _ = (cx, a, tar);
        Err(Error::unsupported(Verb::CopyIn))
    }

    /// Packs a tar stream.
    async fn copy_out(&self, cx: &Cx, a: CopyOut) -> Result<BoxRead> {
        let _ = (cx, a);
        Err(Error::unsupported(Verb::CopyOut))
    }

    /// Connects as the machine itself would.
    async fn dial(&self, cx: &Cx, a: Dial) -> Result<Duplex> {
        let _ = (cx, a);
        Err(Error::unsupported(Verb::Dial))
    }

    /// Listens in the machine's network.
    async fn listen(&self, cx: &Cx, a: Listen) -> Result<Box<dyn Accept>> {
        let _ = (cx, a);
        Err(Error::unsupported(Verb::Listen))
    }

    /// What the machine's main process has said.
    async fn logs(&self, cx: &Cx, a: Logs) -> Result<BoxRead> {
        let _ = (cx, a);
        Err(Error::unsupported(Verb::Logs))
    }
}

/// The first pause between two looks, and the longest.
const POLL: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(2));

/// What follows from the verbs.
#[async_trait]
pub trait ProviderExt: Provider {
    /// Looks at a machine until `enough` says so or the deadline is reached, with growing pauses from 100 ms to 2 s.
    /// At the deadline the error says what was seen last.
    async fn wait(
        &self,
        cx: &Cx,
        a: Target,
        enough: &(dyn for<'o> Fn(&'o Observed) -> bool + Send + Sync),
    ) -> Result<Observed> {
        let mut pause = POLL.0;
        loop {
            let observed = self.inspect(cx, a.clone()).await?;
            if enough(&observed) {
                return Ok(observed);
            }
            if cx.remaining() < pause {
                let mut error = Error::new(ErrorKind::Unavailable, "the machine did not get there in time")
                    .with("last seen", format!("{:?}", observed.phase));
                if let Some(why) = observed.why {
                    error = error.with("why", why);
                }
                return Err(error);
            }
            tokio::select! {
                () = tokio::time::sleep(pause) => {}
                () = cx.cancelled() => return Err(Error::new(ErrorKind::Cancelled, "cancelled while waiting")),
            }
            pause = (pause * 3 / 2).min(POLL.1);
        }
    }
}

impl<P: Provider + ?Sized> ProviderExt for P {}

#[expect(dead_code, reason = "a witness that the trait stays object-safe")]
fn object_safe(_: &dyn Provider, _: Arc<dyn Provider>) {}
