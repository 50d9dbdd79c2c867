//! The one implementation of the contract that all layers share: what a layer does is a function around a call.

use std::fmt::Debug;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use async_trait::async_trait;
use tokio::io::{AsyncRead, ReadBuf};
use tokio::sync::oneshot;

use crate::{
    Accept, BoxRead, Candidate, Capabilities, Check, CopyIn, CopyOut, Create, Created, Cx, Dial, Duplex, Exec, Finding,
    Image, Key, List, Listen, Listing, Logs, Observed, OpenScope, Opened, Process, Provider, Prune, Removal, Renew,
    Reserve, Resolve, Result, Site, Snapshot, Stamp, Stop, Target, Ticket, Verb, label,
};

/// A call under way.
pub(super) type Answer<'a, T> = Pin<Box<dyn Future<Output = Result<T>> + Send + 'a>>;
/// The rest of a call that can be made once.
pub(super) type Once<'a, T> = Box<dyn FnOnce(Cx) -> Answer<'a, T> + Send + 'a>;
/// The rest of a read, which can be made any number of times.
pub(super) type Again<'a, T> = &'a (dyn Fn(Cx) -> Answer<'a, T> + Send + Sync + 'a);

/// What a layer may know of a call.
#[derive(Debug)]
pub(super) struct Call<'a> {
    pub(super) verb: Verb,
    pub(super) cx: &'a Cx,
    pub(super) ticket: Option<&'a Ticket>,
    pub(super) about: About,
    /// Completes when a stream that goes in begins to be read: the call is open from then on.
    pub(super) opened: Option<oneshot::Receiver<()>>,
}

/// What a call is about, as far as that is one thing.
#[derive(Debug, Clone, Default)]
pub(super) struct About {
    pub(super) key: Option<Key>,
    pub(super) environment: Option<String>,
    pub(super) machine: Option<String>,
    /// The request asks for folders of the controller.
    pub(super) mounts: bool,
}

impl About {
    fn stamp(stamp: &Stamp) -> Self {
        let environment = stamp.labels.get(label::ENVIRONMENT).cloned();
        let machine = Some(stamp.object().to_owned()).filter(|object| !object.is_empty());
        Self {
            key: Some(stamp.key.clone()),
            environment,
            machine,
            mounts: false,
        }
    }
}

/// One concern around every call.
pub(super) trait Layer: Debug + Send + Sync + 'static {
    /// Whether [`Call::opened`] is to be told.
    const WATCHES_OPENING: bool = false;

    /// Around any call that is not a read.
    fn around<'a, T: Send + 'a>(&'a self, call: Call<'a>, next: Once<'a, T>) -> Answer<'a, T>;

    /// Around a read.
    fn around_read<'a, T: Send + 'a>(&'a self, call: Call<'a>, next: Again<'a, T>) -> Answer<'a, T> {
        self.around(call, Box::new(next))
    }

    /// The errors that a listing carries inside.
    fn listing(&self, _about: &About, listing: Listing) -> Listing {
        listing
    }

    /// The handle that a started command leaves behind.
    fn process(&self, _about: &About, process: Process) -> Process {
        process
    }

    /// The handle that a listener leaves behind.
    fn accept(&self, _about: &About, accept: Box<dyn Accept>) -> Box<dyn Accept> {
        accept
    }
}

/// A provider with a layer around it.
#[derive(Debug)]
pub(super) struct Layered<L> {
    layer: L,
    inner: Arc<dyn Provider>,
}

impl<L: Layer> Layered<L> {
    pub(super) fn around(inner: Arc<dyn Provider>, layer: L) -> Arc<dyn Provider> {
        Arc::new(Self { layer, inner })
    }

    async fn change<'a, T: Send + 'a>(
        &'a self,
        (verb, cx, ticket): (Verb, &'a Cx, &'a Ticket),
        about: About,
        next: impl FnOnce(Cx) -> Answer<'a, T> + Send + 'a,
    ) -> Result<T> {
        let call = Call {
            verb,
            cx,
            ticket: Some(ticket),
            about,
            opened: None,
        };
        self.layer.around(call, Box::new(next)).await
    }

    async fn once<'a, T: Send + 'a>(
        &'a self,
        (verb, cx): (Verb, &'a Cx),
        about: About,
        next: impl FnOnce(Cx) -> Answer<'a, T> + Send + 'a,
    ) -> Result<T> {
        self.layer.around(call(verb, cx, about), Box::new(next)).await
    }
}

fn call(verb: Verb, cx: &Cx, about: About) -> Call<'_> {
    Call {
        verb,
        cx,
        ticket: None,
        about,
        opened: None,
    }
}

/// `self.inner.verb(&cx, …)` as an [`Answer`].
macro_rules! rest {
    ($self:ident.$verb:ident($($argument:expr),*)) => {
        |cx: Cx| Box::pin(async move { $self.inner.$verb(&cx, $($argument),*).await })
    };
}

/// The same for a read: the argument is cloned for each time.
macro_rules! again {
    ($self:ident.$verb:ident($argument:ident)) => {
        &|cx: Cx| {
            let argument = $argument.clone();
            Box::pin(async move { $self.inner.$verb(&cx, argument).await })
        }
    };
}

#[deny(clippy::missing_trait_methods)]
#[async_trait]
impl<L: Layer> Provider for Layered<L> {
    fn capabilities(&self) -> &Capabilities {
        self.inner.capabilities()
    }

    fn site(&self) -> &Site {
        self.inner.site()
    }

    fn sites(&self) -> Vec<Site> {
        self.inner.sites()
    }

    async fn check(&self, cx: &Cx, a: Check) -> Result<Vec<Finding>> {
        let call = call(Verb::Check, cx, About::default());
        self.layer.around_read(call, again!(self.check(a))).await
    }

    async fn resolve(&self, cx: &Cx, a: Resolve) -> Result<Vec<Candidate>> {
        let call = call(Verb::Resolve, cx, About::default());
        self.layer.around_read(call, again!(self.resolve(a))).await
    }

    async fn inspect(&self, cx: &Cx, a: Target) -> Result<Observed> {
        let call = call(Verb::Inspect, cx, About::stamp(&a.stamp));
        self.layer.around_read(call, again!(self.inspect(a))).await
    }

    async fn list(&self, cx: &Cx, a: List) -> Result<Listing> {
        let about = About {
            environment: a.environment.as_ref().map(ToString::to_string),
            ..About::default()
        };
        let call = call(Verb::List, cx, about.clone());
        let listing = self.layer.around_read(call, again!(self.list(a))).await?;
        Ok(self.layer.listing(&about, listing))
    }

    async fn prepare(&self, cx: &Cx, a: Candidate) -> Result<Candidate> {
        self.once((Verb::Prepare, cx), About::default(), rest!(self.prepare(a)))
            .await
    }

    async fn prune(&self, cx: &Cx, a: Prune) -> Result<Vec<String>> {
        self.once((Verb::Prune, cx), About::default(), rest!(self.prune(a)))
            .await
    }

    async fn reserve(&self, cx: &Cx, a: Reserve) -> Result<()> {
        self.once((Verb::Reserve, cx), About::default(), rest!(self.reserve(a)))
            .await
    }

    async fn open_scope(&self, cx: &Cx, t: &Ticket, a: OpenScope) -> Result<Opened> {
        let about = About::stamp(&a.stamp);
        self.change((Verb::OpenScope, cx, t), about, rest!(self.open_scope(t, a)))
            .await
    }

    async fn close_scope(&self, cx: &Cx, t: &Ticket, a: Target) -> Result<Removal> {
        let about = About::stamp(&a.stamp);
        self.change((Verb::CloseScope, cx, t), about, rest!(self.close_scope(t, a)))
            .await
    }

    async fn create(&self, cx: &Cx, t: &Ticket, a: Create) -> Result<Created> {
        let about = About {
            mounts: !a.mounts.is_empty(),
            ..About::stamp(&a.stamp)
        };
        self.change((Verb::Create, cx, t), about, rest!(self.create(t, a)))
            .await
    }

    async fn start(&self, cx: &Cx, t: &Ticket, a: Target) -> Result<()> {
        let about = About::stamp(&a.stamp);
        self.change((Verb::Start, cx, t), about, rest!(self.start(t, a))).await
    }

    async fn stop(&self, cx: &Cx, t: &Ticket, a: Stop) -> Result<()> {
        let about = About::stamp(&a.target.stamp);
        self.change((Verb::Stop, cx, t), about, rest!(self.stop(t, a))).await
    }

    async fn pause(&self, cx: &Cx, t: &Ticket, a: Target) -> Result<()> {
        let about = About::stamp(&a.stamp);
        self.change((Verb::Pause, cx, t), about, rest!(self.pause(t, a))).await
    }

    async fn renew(&self, cx: &Cx, t: &Ticket, a: Renew) -> Result<()> {
        let about = About::stamp(&a.target.stamp);
        self.change((Verb::Renew, cx, t), about, rest!(self.renew(t, a))).await
    }

    async fn destroy(&self, cx: &Cx, t: &Ticket, a: Target) -> Result<Removal> {
        let about = About::stamp(&a.stamp);
        self.change((Verb::Destroy, cx, t), about, rest!(self.destroy(t, a)))
            .await
    }

    async fn snapshot(&self, cx: &Cx, t: &Ticket, a: Snapshot) -> Result<Image> {
        // The intent is the image's; who reads an error wants to know of which machine.
        let about = About {
            key: Some(a.stamp.key.clone()),
            ..About::stamp(&a.target.stamp)
        };
        self.change((Verb::Snapshot, cx, t), about, rest!(self.snapshot(t, a)))
            .await
    }

    async fn exec(&self, cx: &Cx, a: Exec) -> Result<Process> {
        let about = About::stamp(&a.target.stamp);
        let process = self.once((Verb::Exec, cx), about.clone(), rest!(self.exec(a))).await?;
        Ok(self.layer.process(&about, process))
    }

    async fn copy_in(&self, cx: &Cx, a: CopyIn, tar: BoxRead) -> Result<()> {
        let mut call = call(Verb::CopyIn, cx, About::stamp(&a.target.stamp));
        let tar = if L::WATCHES_OPENING {
            let (tell, opened) = oneshot::channel();
            call.opened = Some(opened);
            Box::pin(Opening { tar, tell: Some(tell) })
        } else {
            tar
        };
        self.layer.around(call, Box::new(rest!(self.copy_in(a, tar)))).await
    }

    async fn copy_out(&self, cx: &Cx, a: CopyOut) -> Result<BoxRead> {
        let about = About::stamp(&a.target.stamp);
        self.once((Verb::CopyOut, cx), about, rest!(self.copy_out(a))).await
    }

    async fn dial(&self, cx: &Cx, a: Dial) -> Result<Duplex> {
        let about = About::stamp(&a.target.stamp);
        self.once((Verb::Dial, cx), about, rest!(self.dial(a))).await
    }

    async fn listen(&self, cx: &Cx, a: Listen) -> Result<Box<dyn Accept>> {
        let about = About::stamp(&a.target.stamp);
        let accept = self
            .once((Verb::Listen, cx), about.clone(), rest!(self.listen(a)))
            .await?;
        Ok(self.layer.accept(&about, accept))
    }

    async fn logs(&self, cx: &Cx, a: Logs) -> Result<BoxRead> {
        let about = About::stamp(&a.target.stamp);
        self.once((Verb::Logs, cx), about, rest!(self.logs(a))).await
    }
}

/// Tells when a stream is read for the first time.
struct Opening {
    tar: BoxRead,
    tell: Option<oneshot::Sender<()>>,
}

impl AsyncRead for Opening {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<std::io::Result<()>> {
        if let Some(tell) = self.tell.take() {
            // Nobody to tell is fine: the call has ended.
            let _ = tell.send(());
        }
        self.tar.as_mut().poll_read(cx, buf)
    }
}
