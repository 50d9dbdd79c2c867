#![expect(clippy::disallowed_methods, reason = "these tests measure the time that they pause")]

use std::collections::VecDeque;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use tokio::io::AsyncReadExt;
use tokio::time::Instant;

use super::*;
use crate::*;

/// A provider that answers what it is told to, and counts.
#[derive(Debug)]
struct Scripted {
    capabilities: Capabilities,
    site: Site,
    lists: Mutex<VecDeque<Error>>,
    calls: AtomicUsize,
    changes: AtomicUsize,
    under_way: AtomicUsize,
    most_at_once: AtomicUsize,
    takes: Duration,
}

impl Scripted {
    fn new(takes: Duration) -> Arc<Self> {
        let settle = Settle::Replay { token_life: None };
        let mut capabilities = Capabilities::new(Keeps::Labels, settle);
        capabilities.verbs.insert(Verb::CopyIn);
        capabilities.limits = Limits::new(2, 3);
        Arc::new(Self {
            capabilities,
            site: Site::new("scripted"),
            lists: Mutex::default(),
            calls: AtomicUsize::new(0),
            changes: AtomicUsize::new(0),
            under_way: AtomicUsize::new(0),
            most_at_once: AtomicUsize::new(0),
            takes,
        })
    }

    fn failing(errors: impl IntoIterator<Item = Error>) -> Arc<Self> {
        let provider = Self::new(Duration::ZERO);
        provider.lists.lock().unwrap().extend(errors);
        provider
    }

    async fn busy(&self) {
        let now = self.under_way.fetch_add(1, Ordering::SeqCst) + 1;
        self.most_at_once.fetch_max(now, Ordering::SeqCst);
        tokio::time::sleep(self.takes).await;
        self.under_way.fetch_sub(1, Ordering::SeqCst);
    }
}

#[async_trait]
impl Provider for Scripted {
    fn capabilities(&self) -> &Capabilities {
        &self.capabilities
    }
    fn site(&self) -> &Site {
        &self.site
    }
    async fn list(&self, _: &Cx, _: List) -> Result<Listing> {
        self.calls.fetch_add(1, Ordering::SeqCst);
        self.busy().await;
        match self.lists.lock().unwrap().pop_front() {
            Some(error) => Err(error),
            None => Ok(Listing::complete(self.site.clone(), Vec::new())),
        }
    }
    async fn create(&self, _: &Cx, _: &Ticket, a: Create) -> Result<Created> {
        self.changes.fetch_add(1, Ordering::SeqCst);
        self.busy().await;
        if a.body == "fail" {
            return Err(Error::new(ErrorKind::Unavailable, "no answer").retry(Retry::Safe));
        }
        Ok(Created::new("1", Phase::Running))
    }
    async fn destroy(&self, _: &Cx, _: &Ticket, _: Target) -> Result<Removal> {
        self.changes.fetch_add(1, Ordering::SeqCst);
        self.busy().await;
        Ok(Removal::Gone)
    }
    async fn stop(&self, _: &Cx, _: &Ticket, _: Stop) -> Result<()> {
        self.changes.fetch_add(1, Ordering::SeqCst);
        Ok(())
    }
    async fn copy_in(&self, _: &Cx, _: CopyIn, mut tar: BoxRead) -> Result<()> {
        let mut all = Vec::new();
        tar.read_to_end(&mut all).await.unwrap();
        self.busy().await;
        Ok(())
    }
}

fn around(provider: &Arc<Scripted>, options: Options) -> Arc<dyn Provider> {
    stack(Arc::<Scripted>::clone(provider), options)
}

fn options() -> Options {
    Options::new(InstanceName::new("lab").unwrap())
}

fn stamp() -> Stamp {
    let labels = Labels::from([
        (label::CONTROLLER.to_owned(), "abcdef".to_owned()),
        (label::ENVIRONMENT.to_owned(), "0123456789".to_owned()),
        (label::MACHINE.to_owned(), "web".to_owned()),
    ]);
    Stamp::new(Key::new("ec-abcdef-0123456789-web-g1-x"), Token::new("t"), labels)
}

fn create(body: Value) -> Create {
    Create::new(stamp(), Site::new("scripted"), body, Name::new("web").unwrap())
}

fn ticket(verb: Verb) -> Ticket {
    Ticket::of_committed_intent(stamp().key, verb, 1)
}

fn everything() -> List {
    List::new(ControllerPrefix::new(&ControllerId::new("abcdef").unwrap()))
}

fn target() -> Target {
    Target::new(stamp(), Site::new("scripted"), None)
}

const MINUTE: Duration = Duration::from_mins(1);

fn unavailable(retry: Retry) -> Error {
    Error::new(ErrorKind::Unavailable, "not now").retry(retry)
}

#[tokio::test(start_paused = true)]
async fn reads_are_repeated_by_their_class() {
    let provider = Scripted::failing([
        unavailable(Retry::Safe),
        unavailable(Retry::Unknown),
        Error::new(ErrorKind::Throttled, "slow down").retry(Retry::After(Duration::from_secs(7))),
    ]);
    let began = Instant::now();
    around(&provider, options())
        .list(&Cx::within(MINUTE), everything())
        .await
        .unwrap();
    assert_eq!(provider.calls.load(Ordering::SeqCst), 4);
    assert!(began.elapsed() >= Duration::from_secs(7), "{:?}", began.elapsed());
}

#[tokio::test(start_paused = true)]
async fn a_read_that_would_fail_again_is_not_repeated() {
    for error in [
        Error::new(ErrorKind::Unauthorized, "no"),
        Error::new(ErrorKind::Internal, "odd").retry(Retry::Unknown),
    ] {
        let provider = Scripted::failing([error]);
        let list = around(&provider, options());
        list.list(&Cx::within(MINUTE), everything()).await.unwrap_err();
        assert_eq!(provider.calls.load(Ordering::SeqCst), 1);
    }
}

#[tokio::test(start_paused = true)]
async fn repeated_reads_end_with_the_attempts_and_with_the_deadline() {
    let provider = Scripted::failing((0..9).map(|_| unavailable(Retry::Safe)));
    let error = around(&provider, options())
        .list(&Cx::within(MINUTE), everything())
        .await
        .unwrap_err();
    assert_eq!(provider.calls.load(Ordering::SeqCst), 5);
    assert!(error.context().any(|fact| fact == ("attempts", "5")), "{error:?}");

    let provider = Scripted::failing((0..9).map(|_| unavailable(Retry::After(Duration::from_secs(50)))));
    around(&provider, options())
        .list(&Cx::within(MINUTE), everything())
        .await
        .unwrap_err();
    assert_eq!(provider.calls.load(Ordering::SeqCst), 2);
}

#[tokio::test(start_paused = true)]
async fn changes_are_neither_repeated_nor_timed() {
    let provider = Scripted::new(MINUTE * 2);
    let stacked = around(&provider, options());
    let began = Instant::now();
    let error = stacked
        .create(&Cx::within(MINUTE), &ticket(Verb::Create), create("fail".into()))
        .await
        .unwrap_err();
    assert_eq!(provider.changes.load(Ordering::SeqCst), 1);
    assert_eq!(error.retryable(), Retry::Safe);
    assert_eq!(began.elapsed(), MINUTE * 2);
}

#[tokio::test(start_paused = true)]
async fn a_read_ends_at_the_deadline_and_when_it_is_cancelled() {
    let stacked = stack(Scripted::new(MINUTE * 2), options());
    let error = stacked.list(&Cx::within(MINUTE), everything()).await.unwrap_err();
    assert_eq!((error.kind(), error.retryable()), (ErrorKind::Unavailable, Retry::Safe));

    let cx = Cx::within(MINUTE);
    cx.cancel();
    let error = stacked.list(&cx, everything()).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Cancelled);
}

#[tokio::test(start_paused = true)]
async fn what_is_not_offered_is_refused_without_a_call() {
    let provider = Scripted::new(Duration::ZERO);
    let stacked = around(&provider, options());
    let stop = Stop::new(target(), Duration::ZERO);
    let error = stacked
        .stop(&Cx::within(MINUTE), &ticket(Verb::Stop), stop)
        .await
        .unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unsupported);
    assert_eq!(provider.changes.load(Ordering::SeqCst), 0);
}

#[tokio::test(start_paused = true)]
async fn a_ticket_for_something_else_is_refused_without_a_call() {
    let provider = Scripted::new(Duration::ZERO);
    let stacked = around(&provider, options());
    let cx = Cx::within(MINUTE);
    let of_other = Ticket::of_committed_intent(Key::new("ec-other"), Verb::Create, 1);
    for wrong in [of_other, ticket(Verb::Destroy)] {
        let error = stacked.create(&cx, &wrong, create(Value::Null)).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Internal);
    }
    assert_eq!(provider.changes.load(Ordering::SeqCst), 0);
    stacked
        .create(&cx, &ticket(Verb::Create), create(Value::Null))
        .await
        .unwrap();
}

#[tokio::test(start_paused = true)]
async fn an_error_says_where_it_comes_from_and_keeps_what_it_knew() {
    let known = unavailable(Retry::Never).at(Verb::Inspect);
    let provider = Scripted::failing([known]);
    let environment = EnvId::new("0123456789").unwrap();
    let stacked = stack(provider, options());
    let error = stacked
        .list(&Cx::within(MINUTE), everything().of(environment))
        .await
        .unwrap_err();
    assert_eq!(error.verb(), Some(Verb::Inspect));
    assert_eq!(error.provider().map(InstanceName::as_str), Some("lab"));
    assert_eq!(error.environment(), Some("0123456789"));

    let error = stacked
        .create(&Cx::within(MINUTE), &ticket(Verb::Create), create("fail".into()))
        .await
        .unwrap_err();
    assert_eq!((error.verb(), error.machine()), (Some(Verb::Create), Some("web")));
}

#[tokio::test(start_paused = true)]
async fn mounts_are_refused_where_they_are_not_declared() {
    let provider = Scripted::new(Duration::ZERO);
    let mut request = create(Value::Null);
    request.mounts.push(Mount::read_only("/run/x", "/run/encamp/secrets"));
    let cx = Cx::within(MINUTE);
    let stacked = around(&provider, options());
    let refused = stacked.create(&cx, &ticket(Verb::Create), request.clone()).await;
    assert_eq!(refused.unwrap_err().kind(), ErrorKind::Invalid);
    assert_eq!(provider.changes.load(Ordering::SeqCst), 0);

    let mut able = Arc::into_inner(Scripted::new(Duration::ZERO)).unwrap();
    able.capabilities.mounts = true;
    let stacked = stack(Arc::new(able), options());
    stacked.create(&cx, &ticket(Verb::Create), request).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn each_class_has_its_own_limit() {
    let provider = Scripted::new(Duration::from_secs(1));
    let stacked = around(&provider, options());
    let cx = Cx::within(MINUTE);
    let changes = (0..6).map(|_| {
        let (stacked, cx) = (Arc::clone(&stacked), cx.clone());
        tokio::spawn(async move {
            stacked
                .create(&cx, &ticket(Verb::Create), create(Value::Null))
                .await
                .map(|_| ())
        })
    });
    for change in changes.collect::<Vec<_>>() {
        change.await.unwrap().unwrap();
    }
    assert_eq!(provider.most_at_once.load(Ordering::SeqCst), 2);

    let reads = (0..9).map(|_| {
        let (stacked, cx) = (Arc::clone(&stacked), cx.clone());
        tokio::spawn(async move { stacked.list(&cx, everything()).await.map(|_| ()) })
    });
    for read in reads.collect::<Vec<_>>() {
        read.await.unwrap().unwrap();
    }
    assert_eq!(provider.most_at_once.load(Ordering::SeqCst), 3);
}

#[tokio::test(start_paused = true)]
async fn a_change_that_waits_too_long_was_certainly_not_sent() {
    let provider = Scripted::new(MINUTE * 5);
    let stacked = around(&provider, options());
    for _ in 0..2 {
        let stacked = Arc::clone(&stacked);
        let long = Cx::within(MINUTE * 10);
        tokio::spawn(async move {
            stacked
                .create(&long, &ticket(Verb::Create), create(Value::Null))
                .await
                .map(|_| ())
        });
    }
    tokio::time::sleep(Duration::from_secs(1)).await;
    let error = stacked
        .create(&Cx::within(MINUTE), &ticket(Verb::Create), create(Value::Null))
        .await
        .unwrap_err();
    assert_eq!(error.retryable(), Retry::Safe);
    assert_eq!(provider.changes.load(Ordering::SeqCst), 2);
}

#[tokio::test(start_paused = true)]
async fn a_copy_holds_its_permit_only_until_the_stream_is_read() {
    let provider = Scripted::new(Duration::ZERO);
    let stacked = stack(provider, options());
    let mut ends = Vec::new();
    for _ in 0..8 {
        let (end, tar) = tokio::io::duplex(16);
        ends.push(end);
        let (stacked, cx) = (Arc::clone(&stacked), Cx::within(MINUTE));
        tokio::spawn(async move { stacked.copy_in(&cx, CopyIn::new(target(), "/"), Box::pin(tar)).await });
    }
    tokio::time::sleep(Duration::from_secs(1)).await;
    let began = Instant::now();
    stacked.list(&Cx::within(MINUTE), everything()).await.unwrap();
    assert_eq!(began.elapsed(), Duration::ZERO);
    drop(ends);
}

#[tokio::test(start_paused = true)]
async fn a_rate_lets_a_burst_through_and_then_spaces_calls() {
    let stacked = stack(Scripted::new(Duration::ZERO), options().rate(Rate::new(2.0, 3)));
    let began = Instant::now();
    for _ in 0..7 {
        stacked.list(&Cx::within(MINUTE), everything()).await.unwrap();
    }
    assert_eq!(began.elapsed(), Duration::from_secs(2));
}

#[tokio::test(start_paused = true)]
async fn chaos_loses_replies_after_and_fails_before() {
    let provider = Scripted::new(Duration::ZERO);
    let lost = Chaos::new(1, [Fault::new(Effect::LoseReply, 1.0).of([Verb::Create])]);
    let stacked = around(&provider, options().chaos(lost));
    let cx = Cx::within(MINUTE);
    let error = stacked
        .create(&cx, &ticket(Verb::Create), create(Value::Null))
        .await
        .unwrap_err();
    assert!(error.outcome_unknown());
    assert_eq!(provider.changes.load(Ordering::SeqCst), 1);
    stacked.destroy(&cx, &ticket(Verb::Destroy), target()).await.unwrap();

    let before = Chaos::new(1, [Fault::new(Effect::FailBefore, 1.0)]);
    let stacked = around(&provider, options().chaos(before));
    let error = stacked
        .create(&cx, &ticket(Verb::Create), create(Value::Null))
        .await
        .unwrap_err();
    assert_eq!(error.retryable(), Retry::Safe);
    assert_eq!(provider.changes.load(Ordering::SeqCst), 2);
}

#[tokio::test(start_paused = true)]
async fn chaos_of_one_seed_is_the_same_every_time() {
    async fn outcomes(seed: u64) -> Vec<bool> {
        let chaos = Chaos::new(seed, [Fault::new(Effect::FailBefore, 0.5)]);
        let stacked = stack(Scripted::new(Duration::ZERO), options().chaos(chaos));
        let mut outcomes = Vec::new();
        for _ in 0..32 {
            let created = stacked
                .create(&Cx::within(MINUTE), &ticket(Verb::Create), create(Value::Null))
                .await;
            outcomes.push(created.is_ok());
        }
        outcomes
    }
    assert_eq!(outcomes(1).await, outcomes(1).await);
    assert_ne!(outcomes(1).await, outcomes(2).await);
}
