//! Logins that several wait for. Each of them may give up, and the login goes on for the others.

use std::sync::{Arc, Weak};
use std::time::Duration;

use encamp_core::{Cx, Error, ErrorKind, Result, SshAccess};
use tokio::sync::watch;
use tokio_util::sync::{CancellationToken, DropGuard};

use crate::error::Failure;
use crate::host::Dialer;
use crate::transport::Connection;
use crate::within::within;

/// How long a login may take with all that is waited for before it. It ends when nobody waits for it any more, which is
/// much earlier.
const LOGIN_MAX: Duration = Duration::from_mins(10);

/// How far a login is.
#[derive(Debug, Clone)]
enum Stand {
    /// It is tried, again perhaps: why it failed the last time.
    UnderWay(Option<Error>),
    Done(Result<()>),
}

/// A login that somebody waits for.
#[derive(Debug)]
pub(crate) struct Login {
    stand: watch::Receiver<Stand>,
    /// Gone when nobody waits any more.
    held: Weak<DropGuard>,
    /// Held by each who wants a session on the connection, and by this.
    wanted: Arc<()>,
}

/// Somebody who waits for a login, which is given up with the last of them.
#[derive(Debug)]
pub(crate) struct Waiting {
    stand: watch::Receiver<Stand>,
    _held: Arc<DropGuard>,
    wants: Option<Arc<()>>,
}

impl Login {
    /// Logs in, apart from whoever asks. `ended` gets what it came to, and tells those who wait.
    pub(crate) fn begin(
        dialer: Arc<Dialer>,
        ended: impl FnOnce(Result<Arc<dyn Connection>>, &dyn Fn(Result<()>)) + Send + 'static,
    ) -> (Self, Waiting) {
        let (tell, stand) = watch::channel(Stand::UnderWay(None));
        let given_up = CancellationToken::new();
        let cx = Cx::within(LOGIN_MAX).with_cancel(given_up.clone());
        let held = Arc::new(given_up.drop_guard());
        let wanted = Arc::new(());
        tokio::spawn(async move {
            let failed = |error| drop(tell.send_replace(Stand::UnderWay(Some(error))));
            let connected = dialer.connect(&cx, failed).await;
            ended(connected, &|done| drop(tell.send_replace(Stand::Done(done))));
        });
        let waiting = Waiting {
            stand: stand.clone(),
            wants: Some(Arc::clone(&wanted)),
            _held: Arc::clone(&held),
        };
        let login = Self {
            stand,
            held: Arc::downgrade(&held),
            wanted,
        };
        (login, waiting)
    }

    /// Somebody waits for it, and it is not done.
    pub(crate) fn is_under_way(&self) -> bool {
        let alone = self.held.strong_count() == 0;
        !alone && matches!(&*self.stand.borrow(), Stand::UnderWay(_)) && self.stand.has_changed().is_ok()
    }

    /// Waits with the others for one of so many sessions.
    pub(crate) fn join(&self, sessions_max: usize) -> Option<Waiting> {
        if Arc::strong_count(&self.wanted) > sessions_max {
            return None;
        }
        let mut waiting = self.watch()?;
        waiting.wants = Some(Arc::clone(&self.wanted));
        Some(waiting)
    }

    /// Waits with the others, for no session.
    pub(crate) fn watch(&self) -> Option<Waiting> {
        Some(Waiting {
            stand: self.stand.clone(),
            _held: self.held.upgrade()?,
            wants: None,
        })
    }
}

impl Waiting {
    /// The same, who wants no session.
    pub(crate) fn watched(mut self) -> Self {
        self.wants = None;
        self
    }

    /// Waits until somebody is logged in.
    pub(crate) async fn until_done(mut self, cx: &Cx, access: &SshAccess) -> Result<()> {
        let seen = self.stand.clone();
        let done = async {
            let done = self.stand.wait_for(|stand| matches!(stand, Stand::Done(_))).await;
            match done.as_deref() {
                Ok(Stand::Done(done)) => done.clone(),
                _ => Err(Error::new(ErrorKind::Internal, "a login ended without a word")),
            }
        };
        within(cx, done, || match &*seen.borrow() {
            Stand::UnderWay(Some(error)) => error.clone(),
            _ => Failure::Route {
                why: "no login before the deadline".to_owned(),
            }
            .translate(access, &[]),
        })
        .await
    }
}
