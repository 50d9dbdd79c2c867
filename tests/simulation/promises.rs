//! Single promises of the protocol, each on infrastructure that breaks in just one way.

use std::sync::Arc;
use std::time::Duration;

use encamp_core::memory::Foreign;
use encamp_core::{Class, Create, Cx, Generation, InstanceName, Name, Phase, Site, Ticket, Token, Verb};
use encamp_engine::events::Events;
use encamp_engine::identity::{Object, Particulars, freeze};
use encamp_engine::journal::Memory;
use encamp_engine::{RunOptions, UpReport};
use encamp_file::spec::{Command, Condition, Environment, Machine, On, Probe, Stage, Task};
use encamp_file::text::{Text, Tree};
use serde_json::json;

use crate::bed::{Bed, INSTANCE};

pub(crate) fn name(text: &str) -> Name {
    Name::new(text).unwrap()
}

pub(crate) fn bed(settings: serde_json::Value) -> Bed {
    Bed::new(7, settings, Arc::new(Memory::default()))
}

pub(crate) fn machine(who: &str, table: serde_json::Value) -> Machine {
    let mut machine = Machine::new(name(who), vec![InstanceName::new(INSTANCE).unwrap()]);
    machine
        .tables
        .insert(encamp_core::KindName::new("memory").unwrap(), Tree::fixed(table));
    machine
}

pub(crate) fn plain(who: &str) -> Machine {
    machine(who, json!({ "image": "any" }))
}

pub(crate) fn environment(machines: Vec<Machine>) -> Environment {
    Environment::new(name("shop"), Duration::from_hours(1), machines, "/")
}

pub(crate) async fn up(bed: &Bed, machines: Vec<Machine>) -> UpReport {
    let pending = bed
        .camp
        .prepare_up(environment(machines), Events::none())
        .await
        .unwrap();
    pending.execute().await.unwrap()
}

pub(crate) fn site() -> Site {
    Site::new(format!("memory:{INSTANCE}"))
}

/// A machine that carries our stamp and that no row knows: it came after its create had been given up.
pub(crate) async fn straggler(bed: &Bed, environment: &encamp_core::EnvId, generation: u32) {
    let object = Object {
        environment: environment.clone(),
        class: Class::Machine,
        name: "web".into(),
        generation: Generation(generation),
    };
    let now = bed.world.now();
    let particulars = Particulars {
        spec: "s".into(),
        created: now,
        expires: now.plus(Duration::from_hours(1)),
        epoch: 1,
    };
    let stamp = bed.camp.controller.stamp(&object, &particulars, Token::new(""));
    let request = Create::new(stamp, site(), json!({ "image": "any" }), name("web"));
    let (request, _) = freeze(request, |request| &mut request.stamp).unwrap();
    let cx = Cx::within(Duration::from_secs(10));
    let provider = bed
        .camp
        .providers
        .connect(&cx, &InstanceName::new(INSTANCE).unwrap())
        .await
        .unwrap();
    let ticket = Ticket::of_committed_intent(request.stamp.key.clone(), Verb::Create, 1);
    provider.create(&cx, &ticket, request).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_disposal_believes_a_listing_and_not_its_own_books() {
    let bed = bed(json!({}));
    assert!(up(&bed, vec![plain("web")]).await.ready);
    let row = bed.camp.find("shop").await.unwrap().unwrap();
    straggler(&bed, &row.id, 7).await;
    assert_eq!(bed.world.machines().len(), 2);
    let disposal = bed.camp.down("shop", Events::none()).await.unwrap();
    assert!(disposal.is_clean(), "{disposal:?}");
    assert!(bed.world.machines().is_empty(), "{:?}", bed.world.machines());
}

#[tokio::test(start_paused = true)]
async fn what_cannot_be_listed_is_not_disposed_of() {
    let bed = bed(json!({}));
    assert!(up(&bed, vec![plain("web")]).await.ready);
    bed.world.cut_off(&site());
    let disposal = bed.camp.down("shop", Events::none()).await.unwrap();
    assert!(!disposal.is_clean());
    assert!(bed.camp.find("shop").await.unwrap().is_some(), "it is still recorded");
    bed.world.reconnect(&site());
    let swept = bed.camp.gc(&Events::none()).await.unwrap();
    assert!(swept.is_clean(), "{swept:?}");
    assert!(bed.world.machines().is_empty());
    assert!(bed.camp.find("shop").await.unwrap().is_none());
}

/// Two phases and a listing each have their own retries; who types `down` waits for one deadline.
#[tokio::test(start_paused = true)]
async fn a_disposal_ends_by_its_own_deadline() {
    let bed = bed(json!({ "network": true, "removal": "10h" }));
    assert!(up(&bed, vec![plain("web"), plain("db")]).await.ready);
    let began = bed.world.now();
    let disposal = bed.camp.down("shop", Events::none()).await.unwrap();
    assert!(!disposal.is_clean());
    let policy = &bed.camp.policy;
    let longest = policy.down + policy.change + policy.settle;
    let took = bed.world.now().since(began);
    assert!(took <= longest, "{took:?} of {longest:?}");
}

/// R10: each changing command, `down` too.
#[tokio::test(start_paused = true)]
async fn a_down_disposes_of_what_is_due() {
    let bed = bed(json!({}));
    assert!(up(&bed, vec![plain("web")]).await.ready);
    let mut other = environment(vec![plain("db")]);
    other.name = name("other");
    let pending = bed.camp.prepare_up(other, Events::none()).await.unwrap();
    assert!(pending.execute().await.unwrap().ready);
    tokio::time::advance(Duration::from_hours(2)).await;
    let disposal = bed.camp.down("shop", Events::none()).await.unwrap();
    assert!(disposal.is_clean(), "{disposal:?}");
    assert!(bed.camp.find("other").await.unwrap().is_none(), "its lease has ended");
    assert!(bed.world.machines().is_empty());
}

/// A task that never ran has not failed: the way to it has.
#[tokio::test(start_paused = true)]
async fn a_refused_command_is_the_providers_failure() {
    let bed = bed(json!({ "without": ["exec"] }));
    let mut shop = environment(vec![plain("web")]);
    let task = Task::new(
        name("t"),
        On::Machines(name("web")),
        Command::Argv(vec![Text::literal("true")]),
    );
    shop.stages = vec![Stage::new(name("s"), vec![task])];
    let report = bed.camp.run(shop, RunOptions::default(), Events::none()).await.unwrap();
    assert_eq!(report.exit_code(), 3, "{report:?}");
    assert!(bed.world.machines().is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_paused_former_holder_sends_nothing() {
    let bed = bed(json!({}));
    let paused = bed
        .camp
        .prepare_up(environment(vec![plain("web")]), Events::none())
        .await
        .unwrap();
    let row = bed.camp.find("shop").await.unwrap().unwrap();
    let holder = encamp_engine::journal::Holder {
        pid: 2,
        verb: "gc".into(),
        since: bed.world.now(),
    };
    let take = encamp_engine::journal::Op::Take {
        environment: row.id.clone(),
        holder,
    };
    bed.journal.apply(take, bed.world.now()).await.unwrap();
    let error = paused.execute().await.unwrap_err();
    assert_eq!(error.kind(), encamp_core::ErrorKind::Cancelled, "{error}");
    assert!(
        bed.world.standing().is_empty() && bed.world.history().iter().all(|entry| entry.verb != Some(Verb::Create))
    );
}

#[tokio::test(start_paused = true)]
async fn decoys_survive_every_verb() {
    let bed = bed(json!({}));
    assert!(up(&bed, vec![plain("web")]).await.ready);
    let row = bed.camp.find("shop").await.unwrap().unwrap();
    let intents = bed.journal.intents(&row.id).await.unwrap();
    let stamp = &intents[0].stamp;
    for foreign in [
        Foreign::with_copied_labels(stamp, "committed"),
        Foreign::of_other_controller(stamp),
        Foreign::with_our_prefix(stamp),
        Foreign::new("bystander", encamp_core::Labels::new()),
    ] {
        bed.world.add_foreign(&site(), foreign);
    }
    assert!(up(&bed, vec![machine("web", json!({ "image": "newer" }))]).await.ready);
    assert!(bed.camp.down("shop", Events::none()).await.unwrap().is_clean());
    tokio::time::sleep(Duration::from_hours(24)).await;
    bed.camp.gc(&Events::none()).await.unwrap();
    bed.camp.gc(&Events::none()).await.unwrap();
    assert!(bed.world.harmed().is_empty(), "{:?}", bed.world.harmed());
}

#[tokio::test(start_paused = true)]
async fn a_machine_that_dies_while_waiting_fails_at_once_with_its_last_lines() {
    let bed = bed(json!({}));
    let mut dying = machine(
        "web",
        json!({ "image": "any", "says": ["cannot bind 0.0.0.0:80"], "dies_after": "2s", "exits": 3 }),
    );
    let mut probe = Probe::new(Condition::Run(encamp_file::spec::Command::Argv(vec![Text::literal(
        "false",
    )])));
    probe.within = Duration::from_mins(10);
    dying.ready = vec![probe];
    let began = bed.world.now();
    let report = up(&bed, vec![dying]).await;
    assert!(!report.ready);
    assert!(
        bed.world.now().since(began) < Duration::from_secs(10),
        "it waited for the whole time-out"
    );
    let error = &report.errors[0];
    assert!(error.message().contains("exited 3"), "{error}");
    assert!(
        error
            .context()
            .any(|(key, line)| key == "said" && line.contains("cannot bind")),
        "{error:?}"
    );
    assert_eq!(error.machine(), Some("web"));
}

#[tokio::test(start_paused = true)]
async fn the_same_description_twice_changes_nothing() {
    let bed = bed(json!({ "network": true }));
    assert!(up(&bed, vec![plain("web"), plain("db")]).await.ready);
    let calls = bed
        .world
        .history()
        .iter()
        .filter(|entry| entry.verb == Some(Verb::Create))
        .count();
    let pending = bed
        .camp
        .prepare_up(environment(vec![plain("web"), plain("db")]), Events::none())
        .await
        .unwrap();
    assert!(pending.plan().is_empty(), "{:?}", pending.plan());
    assert!(pending.execute().await.unwrap().ready);
    assert_eq!(
        bed.world
            .history()
            .iter()
            .filter(|entry| entry.verb == Some(Verb::Create))
            .count(),
        calls
    );
}

#[tokio::test(start_paused = true)]
async fn what_somebody_removed_is_replaced() {
    let bed = bed(json!({}));
    assert!(up(&bed, vec![plain("web"), plain("db")]).await.ready);
    let web = bed
        .world
        .machines()
        .into_iter()
        .find(|machine| machine.object() == "web")
        .unwrap();
    bed.world.snatch(&web.id);
    let report = up(&bed, vec![plain("web"), plain("db")]).await;
    assert!(report.ready, "{:?}", report.errors);
    let machines = bed.world.machines();
    let web = machines.iter().find(|machine| machine.object() == "web").unwrap();
    assert_eq!((machines.len(), web.generation(), &web.phase), (2, 2, &Phase::Running));
}

#[tokio::test(start_paused = true)]
async fn a_replacement_waits_until_the_old_one_is_proved_to_be_gone() {
    let bed = bed(json!({ "removal": "10m" }));
    assert!(up(&bed, vec![plain("web")]).await.ready);
    let report = up(&bed, vec![machine("web", json!({ "image": "newer" }))]).await;
    assert!(!report.ready, "the old one is still on its way");
    assert!(bed.world.doubles().is_empty(), "{:?}", bed.world.doubles());
    tokio::time::sleep(Duration::from_mins(10)).await;
    let report = up(&bed, vec![machine("web", json!({ "image": "newer" }))]).await;
    assert!(report.ready, "{:?}", report.errors);
    assert!(bed.world.doubles().is_empty(), "{:?}", bed.world.doubles());
}

#[tokio::test(start_paused = true)]
async fn an_up_of_which_nothing_came_leaves_no_row() {
    let bed = bed(json!({}));
    let report = up(
        &bed,
        vec![machine("web", json!({ "image": "any", "fail": ["prepare"] }))],
    )
    .await;
    assert!(!report.ready);
    assert!(
        bed.camp.find("shop").await.unwrap().is_none(),
        "nothing exists, so nothing is listed"
    );
    assert!(up(&bed, vec![plain("web")]).await.ready);
}

#[tokio::test(start_paused = true)]
async fn what_was_built_goes_a_week_after_its_last_use() {
    let bed = bed(json!({}));
    let day = Duration::from_hours(24);
    let pruned = async || bed.camp.gc(&Events::none()).await.unwrap().pruned;
    assert!(up(&bed, vec![plain("web")]).await.ready);
    assert!(bed.camp.down("shop", Events::none()).await.unwrap().is_clean());
    tokio::time::sleep(6 * day).await;
    assert!(up(&bed, vec![plain("web")]).await.ready);
    assert!(bed.camp.down("shop", Events::none()).await.unwrap().is_clean());
    tokio::time::sleep(6 * day).await;
    assert!(pruned().await.is_empty());
    tokio::time::sleep(day).await;
    assert_eq!(pruned().await.len(), 1);
    assert!(pruned().await.is_empty());
}
