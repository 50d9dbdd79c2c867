//! How long an environment is wanted: by which clock, and moved by whom.

use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use encamp_core::memory::{What, World};
use encamp_core::{EnvId, ErrorKind, Phase, Time};
use encamp_engine::RunOptions;
use encamp_engine::camp::Camp;
use encamp_engine::clock::{BootMoment, Clock, Lease};
use encamp_engine::events::Events;
use encamp_engine::failpoint::Failpoints;
use encamp_engine::journal::{Answer, EnvironmentRow, Journal, Op, Refusal, Wanted};
use encamp_file::spec::{Command, Environment, On, Stage, Task};
use encamp_file::text::Text;
use serde_json::json;

use crate::bed::Bed;
use crate::promises::{bed, environment, name, plain, up};

const HOUR: Duration = Duration::from_hours(1);

async fn shop(camp: &Camp) -> Option<EnvironmentRow> {
    camp.find("shop").await.unwrap()
}

/// A bed whose parts are changed before it is used.
fn changed(mut bed: Bed, change: impl FnOnce(&mut Camp)) -> Bed {
    change(Arc::get_mut(&mut bed.camp).unwrap());
    bed
}

#[tokio::test(start_paused = true)]
async fn an_extended_lease_ends_no_sooner_than_asked_for_and_never_sooner_than_before() {
    let bed = bed(json!({}));
    assert!(up(&bed, vec![plain("web")]).await.ready);
    let before = shop(&bed.camp).await.unwrap().lease.ends;
    let two = bed.world.now().plus(HOUR * 2);
    let extended = bed.camp.extend("shop", HOUR * 2).await.unwrap();
    assert_eq!((extended.was, extended.ends), (before, two));
    assert_eq!(extended.labelled, Some(before), "the labels stay as they are");
    let shorter = bed.camp.extend("shop", HOUR / 2).await.unwrap();
    assert_eq!((shorter.was, shorter.ends), (two, two));
    // As bringing the same thing up again does not shorten it.
    assert!(up(&bed, vec![plain("web")]).await.ready);
    assert_eq!(shop(&bed.camp).await.unwrap().lease.ends, two);

    tokio::time::sleep(HOUR * 3 / 2).await;
    assert!(bed.camp.gc(&Events::none()).await.unwrap().disposed.is_empty());
    tokio::time::sleep(HOUR / 2).await;
    assert!(
        bed.camp.gc(&Events::none()).await.unwrap().disposed.is_empty(),
        "the grace still runs"
    );
    tokio::time::sleep(bed.camp.policy.grace).await;
    assert_eq!(bed.camp.gc(&Events::none()).await.unwrap().disposed.len(), 1);
    assert!(bed.world.machines().is_empty());
    let error = bed.camp.extend("shop", HOUR).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotFound, "{error}");
}

#[tokio::test(start_paused = true)]
async fn what_is_being_taken_down_is_not_extended() {
    let bed = bed(json!({}));
    assert!(up(&bed, vec![plain("web")]).await.ready);
    let row = shop(&bed.camp).await.unwrap();
    bed.journal
        .apply(Op::WantGone(row.id.clone()), bed.world.now())
        .await
        .unwrap();
    let error = bed.camp.extend("shop", HOUR * 2).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Conflict, "{error}");
    assert_eq!(shop(&bed.camp).await.unwrap().lease, row.lease);
}

/// Applies one operation of another process when the engine comes to a place, once.
#[derive(Debug)]
struct Between {
    point: &'static str,
    journal: Arc<dyn Journal>,
    op: Mutex<Option<Op>>,
    world: World,
}

#[async_trait]
impl Failpoints for Between {
    async fn reach(&self, point: &str) {
        if point != self.point {
            return;
        }
        let op = self.op.lock().unwrap().take();
        if let Some(op) = op {
            self.journal.apply(op, self.world.now()).await.unwrap();
        }
    }
}

/// Whoever sees that a lease has ended may come to act on it after somebody has extended it.
#[tokio::test(start_paused = true)]
async fn a_lease_that_is_extended_at_the_last_moment_holds() {
    for tidy in [true, false] {
        let bed = bed(json!({}));
        assert!(up(&bed, vec![plain("web")]).await.ready);
        tokio::time::sleep(HOUR * 2).await;
        let environment = shop(&bed.camp).await.unwrap().id;
        let lease = Lease::of(HOUR, &*bed.camp.clock);
        let between = Between {
            point: "commit.expire.environment.before",
            journal: Arc::clone(&bed.journal),
            op: Mutex::new(Some(Op::Extend { environment, lease })),
            world: bed.world.clone(),
        };
        let bed = changed(bed, |camp| camp.failpoints = Arc::new(between));
        if tidy {
            let mut other = crate::promises::environment(vec![plain("db")]);
            other.name = name("other");
            let pending = bed.camp.prepare_up(other, Events::none()).await.unwrap();
            pending.abandon().await.unwrap();
        } else {
            assert!(bed.camp.gc(&Events::none()).await.unwrap().disposed.is_empty());
        }
        assert!(shop(&bed.camp).await.is_some_and(|row| row.wanted == Wanted::Present));
        assert_eq!(bed.world.machines().len(), 1);
    }
}

/// A wall clock that somebody sets, beside a clock since boot that nobody can.
#[derive(Debug)]
struct SetByHand {
    world: World,
    began: Time,
    off_millis: AtomicI64,
}

impl Clock for SetByHand {
    fn now(&self) -> Time {
        Time::from_unix_millis(self.world.now().unix_millis() + self.off_millis.load(Ordering::SeqCst))
    }

    fn boot(&self) -> Option<BootMoment> {
        Some(BootMoment {
            boot: "this".into(),
            millis: u64::try_from(self.world.now().since(self.began).as_millis()).unwrap(),
        })
    }
}

#[tokio::test(start_paused = true)]
async fn a_clock_that_is_set_ends_nothing_early() {
    let day = i64::try_from(Duration::from_hours(24).as_millis()).unwrap();
    for off in [day, -day] {
        let bed = bed(json!({}));
        let clock = Arc::new(SetByHand {
            world: bed.world.clone(),
            began: bed.world.now(),
            off_millis: AtomicI64::new(0),
        });
        let of_camp = Arc::clone(&clock);
        let bed = changed(bed, |camp| camp.clock = of_camp);
        assert!(up(&bed, vec![plain("web")]).await.ready);
        tokio::time::sleep(HOUR / 2).await;
        clock.off_millis.store(off, Ordering::SeqCst);
        let swept = bed.camp.gc(&Events::none()).await.unwrap();
        assert!(
            swept.disposed.is_empty() && bed.world.machines().len() == 1,
            "{off}: {swept:?}"
        );
        // An extension is no shorter for it.
        bed.camp.extend("shop", HOUR).await.unwrap();
        clock.off_millis.store(0, Ordering::SeqCst);
        tokio::time::sleep(HOUR * 3 / 4).await;
        let swept = bed.camp.gc(&Events::none()).await.unwrap();
        assert!(
            swept.disposed.is_empty() && bed.world.machines().len() == 1,
            "{off}: {swept:?}"
        );
        clock.off_millis.store(off, Ordering::SeqCst);
        tokio::time::sleep(HOUR / 4 + bed.camp.policy.grace).await;
        let swept = bed.camp.gc(&Events::none()).await.unwrap();
        assert_eq!(swept.disposed.len(), 1, "{off}: nor is it longer: {swept:?}");
    }
}

/// `shop` with one machine and a task that takes so long there.
fn lasting(task: Duration) -> Environment {
    let mut shop = environment(vec![plain("web")]);
    let argv = ["sleep".to_owned(), task.as_secs().to_string()].map(|word| Text::literal(&word));
    let mut task = Task::new(name("t"), On::Machines(name("web")), Command::Argv(argv.to_vec()));
    task.timeout = HOUR * 24;
    shop.stages = vec![Stage::new(name("s"), vec![task])];
    shop
}

/// What the only machine was told of its end, and whether it runs.
fn told(bed: &Bed) -> Vec<Time> {
    let told = |entry: encamp_core::memory::Entry| match entry.what {
        What::Renewed { expires, .. } => Some(expires),
        _ => None,
    };
    bed.world.history().into_iter().filter_map(told).collect()
}

fn runs(bed: &Bed) -> bool {
    matches!(&bed.world.machines()[..], [machine] if machine.phase == Phase::Running)
}

async fn only(bed: &Bed) -> EnvironmentRow {
    let mut rows = bed.journal.environments().await.unwrap();
    rows.retain(|row| row.disposed.is_none());
    assert_eq!(rows.len(), 1, "{rows:?}");
    rows.remove(0)
}

#[tokio::test(start_paused = true)]
async fn a_run_goes_on_for_as_long_as_its_lease_does() {
    for (extended, code) in [(None, 3), (Some(HOUR * 2), 0), (Some(HOUR), 3)] {
        for self_expiry in [false, true] {
            let bed = bed(json!({ "self_expiry": self_expiry }));
            // Simulated hours pass by the look.
            let bed = changed(bed, |camp| camp.policy.watch = Duration::from_secs(5));
            let running = bed.camp.run(lasting(HOUR * 2), RunOptions::default(), Events::none());
            let extending = async {
                tokio::time::sleep(HOUR / 2).await;
                if let Some(span) = extended {
                    let row = only(&bed).await;
                    let extended = bed.camp.extend(&row.name, span).await.unwrap();
                    // Who holds it has told its machine.
                    assert_eq!(extended.machines.len(), usize::from(self_expiry), "{extended:?}");
                    assert!(
                        extended.machines.iter().all(|told| told.error.is_none()),
                        "{extended:?}"
                    );
                    assert_eq!(told(&bed), if self_expiry { vec![extended.ends] } else { vec![] });
                }
            };
            let (report, ()) = tokio::join!(running, extending);
            let report = report.unwrap();
            assert_eq!(report.exit_code(), code, "{extended:?} {self_expiry}: {report:?}");
            assert!(bed.world.machines().is_empty());
        }
    }
}

/// Extends the only environment when the engine comes to a place, once.
#[derive(Debug)]
struct Extends {
    point: &'static str,
    journal: Arc<dyn Journal>,
    clock: Arc<dyn Clock>,
    done: Mutex<bool>,
}

#[async_trait]
impl Failpoints for Extends {
    async fn reach(&self, point: &str) {
        if point != self.point || std::mem::replace(&mut *self.done.lock().unwrap(), true) {
            return;
        }
        let rows = self.journal.environments().await.unwrap();
        let environment = rows.into_iter().find(|row| row.disposed.is_none()).unwrap().id;
        let lease = Lease::of(HOUR * 4, &*self.clock);
        let op = Op::Extend { environment, lease };
        assert_eq!(self.journal.apply(op, self.clock.now()).await.unwrap(), Answer::Done);
    }
}

/// Before a machine is there that could be told, and when the run is about to end for its lease.
#[tokio::test(start_paused = true)]
async fn a_run_that_is_extended_early_or_late_goes_on() {
    for (point, self_expiry) in [
        ("send.create.web.before", true),
        ("commit.seen.web.before", true),
        ("commit.expire.environment.before", false),
    ] {
        let bed = bed(json!({ "self_expiry": self_expiry }));
        let extends = Extends {
            point,
            journal: Arc::clone(&bed.journal),
            clock: Arc::clone(&bed.camp.clock),
            done: Mutex::default(),
        };
        let bed = changed(bed, |camp| {
            camp.policy.watch = Duration::from_secs(5);
            camp.failpoints = Arc::new(extends);
        });
        let running = bed.camp.run(lasting(HOUR * 2), RunOptions::default(), Events::none());
        let report = running.await.unwrap();
        assert_eq!(report.exit_code(), 0, "{point}: {report:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_machine_that_ends_by_itself_is_told_of_a_longer_lease() {
    let bed = bed(json!({ "self_expiry": true }));
    assert!(up(&bed, vec![plain("web")]).await.ready);
    tokio::time::sleep(HOUR / 2).await;
    let extended = bed.camp.extend("shop", HOUR * 2).await.unwrap();
    assert_eq!(told(&bed), [extended.ends]);
    assert_eq!((extended.machines.len(), extended.labelled), (1, None), "{extended:?}");
    // Once is enough.
    assert!(bed.camp.extend("shop", HOUR).await.unwrap().machines.is_empty());
    tokio::time::sleep(HOUR * 3 / 2).await;
    assert!(runs(&bed));
    // As `up` does, which moves the lease as well.
    assert!(up(&bed, vec![plain("web")]).await.ready);
    assert_eq!(told(&bed).len(), 2);
    tokio::time::sleep(HOUR * 3 / 4).await;
    assert!(runs(&bed));
    tokio::time::sleep(HOUR / 2).await;
    assert!(!runs(&bed), "at last it ends by itself");
}

/// Whatever the crash has left, the next one tells it.
#[tokio::test(start_paused = true)]
async fn a_crash_between_the_store_and_the_machine_is_made_good() {
    let mut crashed = 0;
    for at in 1..40 {
        let bed = bed(json!({ "self_expiry": true }));
        assert!(up(&bed, vec![plain("web"), plain("db")]).await.ready);
        bed.crash.arm(at);
        let dead = tokio::select! {
            biased;
            () = bed.crash.happened() => true,
            extended = bed.camp.extend("shop", HOUR * 2) => { extended.unwrap(); false }
        };
        bed.crash.arm(0);
        if !dead {
            break;
        }
        crashed += 1;
        let extended = bed.camp.extend("shop", HOUR * 2).await.unwrap();
        assert!(
            extended.machines.iter().all(|told| told.error.is_none()),
            "{at}: {extended:?}"
        );
        tokio::time::sleep(HOUR * 3 / 2).await;
        let alive = bed.world.machines();
        assert!(
            alive.len() == 2 && alive.iter().all(|machine| machine.phase == Phase::Running),
            "{at}: {alive:?}"
        );
    }
    // Its own commit, the tenure, and three places for each machine, before and after each.
    assert!(crashed >= 12, "{crashed} places");
}

#[tokio::test(start_paused = true)]
async fn a_machine_that_cannot_be_told_is_named() {
    let bed = bed(json!({ "self_expiry": true }));
    assert!(up(&bed, vec![plain("web")]).await.ready);
    bed.world.cut_off(&crate::promises::site());
    let extended = bed.camp.extend("shop", HOUR * 2).await.unwrap();
    let error = extended.machines[0].error.as_ref().expect("nobody answers");
    assert_eq!(error.machine(), Some("web"), "{error:?}");
    bed.world.reconnect(&crate::promises::site());
    // The lease is as long as was asked for, and the machine is told by the same command again.
    assert!(bed.camp.extend("shop", HOUR).await.unwrap().machines[0].error.is_none());
    assert_eq!(told(&bed), [extended.ends]);
}

#[tokio::test(start_paused = true)]
async fn an_older_lease_is_not_taken_for_the_newer_one() {
    let bed = bed(json!({}));
    assert!(up(&bed, vec![plain("web")]).await.ready);
    let row = shop(&bed.camp).await.unwrap();
    let missing = EnvId::new("zzzzzzzzzz").unwrap();
    let expire = |environment: EnvId| Op::Expire {
        environment,
        lease: row.lease.clone(),
    };
    let apply = |op| bed.journal.apply(op, bed.world.now());
    assert_eq!(
        apply(expire(missing)).await.unwrap(),
        Answer::Refused(Refusal::NoEnvironment)
    );
    bed.camp.extend("shop", HOUR * 2).await.unwrap();
    assert_eq!(
        apply(expire(row.id.clone())).await.unwrap(),
        Answer::Refused(Refusal::Extended)
    );
    assert_eq!(apply(Op::WantGone(row.id.clone())).await.unwrap(), Answer::Done);
}
