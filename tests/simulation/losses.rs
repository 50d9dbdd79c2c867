//! The store is gone and the owner key is not.

use std::sync::Arc;
use std::time::Duration;

use encamp_core::{Class, InstanceName, Phase, Verb};
use encamp_engine::Recovery;
use encamp_engine::camp::Camp;
use encamp_engine::events::Events;
use encamp_engine::journal::{Journal, Memory};
use serde_json::json;

use crate::bed::{Bed, INSTANCE};
use crate::promises::{bed, plain, site, straggler, up};

/// The same controller after its store is gone.
fn without_store(bed: &Bed) -> Arc<Camp> {
    let mut providers = encamp_engine::providers::Providers::new(encamp_core::Ambient::none());
    providers.add_kind(encamp_core::memory::kind(bed.world.clone()));
    let kind = encamp_core::KindName::new("memory").unwrap();
    let instance = encamp_engine::providers::Instance {
        kind,
        settings: json!({}),
    };
    providers.add_instance(InstanceName::new(INSTANCE).unwrap(), instance);
    let journal: Arc<dyn Journal> = Arc::new(Memory::default());
    Arc::new(Camp {
        controller: bed.camp.controller.clone(),
        journal,
        locks: Arc::new(encamp_engine::tenure::MemoryLocks::default()),
        clock: Arc::clone(&bed.camp.clock),
        entropy: Arc::clone(&bed.camp.entropy),
        failpoints: Arc::clone(&bed.camp.failpoints),
        providers,
        secrets: bed.camp.secrets.clone(),
        secret_folder: bed.camp.secret_folder.clone(),
        keepers: encamp_engine::keeper::Keepers::none(),
        users: encamp_engine::users::Users::none(),
        queue: encamp_engine::queue::Queue::none(),
        policy: bed.camp.policy.clone(),
        user: "simulation".into(),
        pid: 1,
    })
}

#[tokio::test(start_paused = true)]
async fn a_lost_store_adopts_and_never_kills_on_sight() {
    let bed = bed(json!({}));
    assert!(up(&bed, vec![plain("web"), plain("db")]).await.ready);
    let camp = without_store(&bed);
    let swept = camp.gc(&Events::none()).await.unwrap();
    assert_eq!(swept.recovered.len(), 2, "{swept:?}");
    assert_eq!(bed.world.machines().len(), 2, "nothing was killed on sight");
    // Adopted, its lease counts as that of any other.
    tokio::time::sleep(Duration::from_hours(2)).await;
    let swept = camp.gc(&Events::none()).await.unwrap();
    assert!(swept.is_clean() && bed.world.machines().is_empty(), "{swept:?}");
}

#[tokio::test(start_paused = true)]
async fn labels_alone_kill_only_after_two_sightings_and_not_many_at_once() {
    let bed = bed(json!({ "limits": { "changes": 64, "reads": 64 } }));
    let many = (0..12).map(|index| plain(&format!("m{index}"))).collect();
    assert!(up(&bed, many).await.ready);
    let camp = without_store(&bed);
    tokio::time::sleep(Duration::from_hours(2)).await;
    let first = camp.gc(&Events::none()).await.unwrap();
    assert_eq!(
        (first.condemned.len(), bed.world.machines().len()),
        (12, 12),
        "{first:?}"
    );
    let at_once = camp.gc(&Events::none()).await.unwrap();
    assert_eq!(at_once.expired.len(), 0, "the sightings must be apart");
    tokio::time::sleep(Duration::from_secs(61)).await;
    let second = camp.gc(&Events::none()).await.unwrap();
    assert_eq!((second.expired.len(), bed.world.machines().len()), (5, 7), "{second:?}");
}

/// What was recorded again, by name.
fn recorded(recovery: &Recovery) -> Vec<&str> {
    let objects = recovery
        .environments
        .iter()
        .flat_map(|environment| &environment.objects);
    objects
        .filter(|standing| standing.is_new)
        .map(|standing| standing.object.as_str())
        .collect()
}

#[tokio::test(start_paused = true)]
async fn a_recovery_records_all_that_is_ours_and_destroys_nothing() {
    let bed = bed(json!({ "network": true }));
    assert!(up(&bed, vec![plain("web"), plain("db")]).await.ready);
    let ends = bed.camp.find("shop").await.unwrap().unwrap().lease.ends;
    let before = bed.world.standing();
    let camp = without_store(&bed);
    let recovery = camp.recover().await.unwrap();
    let [environment] = &recovery.environments[..] else {
        panic!("{recovery:?}")
    };
    assert!(environment.is_new && environment.ended.is_none(), "{recovery:?}");
    assert_eq!(environment.ends, ends, "the labels tell the lease");
    assert_eq!(recorded(&recovery).len(), 3, "{recovery:?}");
    assert_eq!((recovery.sites.len(), recovery.unreached.len()), (1, 0), "{recovery:?}");
    assert_eq!(bed.world.standing(), before);

    let again = camp.recover().await.unwrap();
    assert!(
        recorded(&again).is_empty() && !again.environments[0].is_new,
        "{again:?}"
    );
    let rows = camp
        .journal
        .intents(&camp.find(&environment.name).await.unwrap().unwrap().id)
        .await
        .unwrap();
    let ready = |row: &&encamp_engine::journal::IntentRow| row.state == encamp_engine::journal::IntentState::Ready;
    assert_eq!(rows.iter().filter(ready).count(), 2, "what runs is ready: {rows:?}");
    let disposal = camp.down(&environment.name, Events::none()).await.unwrap();
    assert!(disposal.is_clean(), "{disposal:?}");
    assert!(bed.world.standing().is_empty(), "{:?}", bed.world.standing());
}

/// Nothing is known of what stands there, so nothing may be said of it.
#[tokio::test(start_paused = true)]
async fn a_recovery_names_what_it_cannot_reach() {
    let bed = bed(json!({}));
    assert!(up(&bed, vec![plain("web")]).await.ready);
    bed.world.cut_off(&site());
    let camp = without_store(&bed);
    let recovery = camp.recover().await.unwrap();
    let [unreached] = &recovery.unreached[..] else {
        panic!("{recovery:?}")
    };
    assert_eq!(unreached.instance, InstanceName::new(INSTANCE).unwrap());
    assert!(unreached.may_hide && recovery.sites.is_empty(), "{recovery:?}");
    bed.world.reconnect(&site());
    assert_eq!(recorded(&camp.recover().await.unwrap()), ["web"]);
}

/// The label of a lease that was extended is an old one, and whoever recovers wants to look before anything goes.
#[tokio::test(start_paused = true)]
async fn what_was_to_be_gone_by_its_labels_is_given_a_little_longer() {
    let bed = bed(json!({}));
    assert!(up(&bed, vec![plain("web")]).await.ready);
    let ended = bed.camp.find("shop").await.unwrap().unwrap().lease.ends;
    tokio::time::sleep(Duration::from_hours(2)).await;
    let camp = without_store(&bed);
    let recovery = camp.recover().await.unwrap();
    let environment = &recovery.environments[0];
    assert_eq!(environment.ended, Some(ended));
    let left = environment.ends.since(bed.world.now());
    assert!(
        left > Duration::from_secs(599) && left <= Duration::from_mins(10),
        "{left:?}"
    );
    tokio::time::sleep(Duration::from_mins(9)).await;
    camp.gc(&Events::none()).await.unwrap();
    assert_eq!(bed.world.machines().len(), 1);
    tokio::time::sleep(Duration::from_mins(3)).await;
    assert!(camp.gc(&Events::none()).await.unwrap().is_clean());
    assert!(bed.world.machines().is_empty());
}

/// A tombstone is a positive reason to destroy, so what came late is not wanted again.
#[tokio::test(start_paused = true)]
async fn a_recovery_adopts_nothing_that_was_disposed_of() {
    let bed = bed(json!({}));
    assert!(up(&bed, vec![plain("web")]).await.ready);
    let row = bed.camp.find("shop").await.unwrap().unwrap();
    assert!(bed.camp.down("shop", Events::none()).await.unwrap().is_clean());
    straggler(&bed, &row.id, 1).await;
    let recovery = bed.camp.recover().await.unwrap();
    assert_eq!((recovery.late.len(), recovery.recorded()), (1, 0), "{recovery:?}");
    assert!(bed.camp.find("shop").await.unwrap().is_none());
}

/// The same key under other names, and another's: they are named where somebody could take them for ours, and left alone.
#[tokio::test(start_paused = true)]
async fn a_recovery_leaves_alone_what_does_not_prove_to_be_ours() {
    use encamp_core::memory::Foreign;

    let bed = bed(json!({}));
    assert!(up(&bed, vec![plain("web")]).await.ready);
    let row = bed.camp.find("shop").await.unwrap().unwrap();
    let stamp = bed.journal.intents(&row.id).await.unwrap()[0].stamp.clone();
    bed.world
        .add_foreign(&site(), Foreign::with_copied_labels(&stamp, "committed"));
    bed.world.add_foreign(&site(), Foreign::of_other_controller(&stamp));
    bed.world
        .add_foreign(&site(), Foreign::new("bystander", encamp_core::Labels::new()));
    let camp = without_store(&bed);
    let recovery = camp.recover().await.unwrap();
    assert_eq!(recorded(&recovery), ["web"], "{recovery:?}");
    let unproved: Vec<&str> = recovery.unproved.iter().map(|unproved| unproved.key.as_str()).collect();
    assert_eq!(unproved, ["committed"], "{recovery:?}");
    let name = &recovery.environments[0].name;
    assert!(camp.down(name, Events::none()).await.unwrap().is_clean());
    assert!(bed.world.harmed().is_empty(), "{:?}", bed.world.harmed());
}

/// What ended while nobody looked is recorded as it stands.
#[tokio::test(start_paused = true)]
async fn a_machine_whose_process_has_ended_is_recovered_as_failed() {
    let bed = bed(json!({}));
    assert!(up(&bed, vec![plain("web")]).await.ready);
    let machine = bed.world.machines().remove(0);
    bed.world.end_main_process(&machine.id, &encamp_core::Exit::Code(3));
    let camp = without_store(&bed);
    let recovery = camp.recover().await.unwrap();
    let standing = &recovery.environments[0].objects[0];
    assert!(matches!(standing.phase, Phase::Exited(_)) && standing.class == Class::Machine);
    let id = camp.find(&recovery.environments[0].name).await.unwrap().unwrap().id;
    let rows = camp.journal.intents(&id).await.unwrap();
    assert_eq!(rows[0].failure.as_deref(), Some("its process exited 3"));
    let destroyed = |entry: &encamp_core::memory::Entry| entry.verb == Some(Verb::Destroy);
    assert!(!bed.world.history().iter().any(destroyed));
}
