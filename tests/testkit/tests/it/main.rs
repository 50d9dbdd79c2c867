//! The suite itself is under test: it must find every promise that is broken, and nothing where none is.

#![expect(
    clippy::unwrap_used,
    reason = "all of this is a test, also outside of test functions"
)]

mod breach;

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use encamp_core::memory::{World, kind};
use encamp_core::{Ambient, Cx, Error, ErrorKind, InstanceName, Kind, Provider, Result, Time, Value};
use encamp_testkit::{Factory, Verdict, examine, examine_only, examine_until};
use serde_json::json;

use breach::{Breach, How};

/// The simulated kind with one promise broken.
struct Broken {
    world: World,
    how: How,
}

impl Broken {
    fn factory(how: How) -> Arc<dyn Factory> {
        let world = World::new(1);
        Arc::new(Self { world, how })
    }
}

#[async_trait]
impl Factory for Broken {
    fn name(&self) -> &'static str {
        "broken"
    }

    fn kind(&self) -> Arc<dyn Kind> {
        kind(self.world.clone())
    }

    async fn connect(&self) -> Result<Arc<dyn Provider>> {
        let cx = Cx::within(Duration::from_secs(1));
        let settings = json!({ "self_expiry": true, "held": true });
        let name = InstanceName::new("lab").unwrap();
        let inner = self.kind().connect(&cx, name, settings, Ambient::none()).await?;
        Breach::connect(inner, self.how)
    }

    fn plain(&self) -> Value {
        json!({ "image": "any" })
    }

    fn invalid(&self) -> Value {
        json!({ "image": 1 })
    }

    fn exits(&self, code: i32) -> Option<Value> {
        Some(json!({ "image": "any", "exits": code }))
    }

    fn says(&self, line: &str) -> Option<Value> {
        Some(json!({ "image": "any", "says": [line], "repeats": "200ms" }))
    }

    fn heeds(&self, begun: &str, asked: &str) -> Option<Value> {
        Some(json!({ "image": "any", "says": [begun], "heeds": asked }))
    }

    fn health(&self, holds: bool) -> Option<Value> {
        let fails = (!holds).then_some("no answer");
        Some(json!({ "image": "any", "health": { "after": "100ms", "fails": fails } }))
    }

    fn echoes(&self, port: u16) -> Option<Value> {
        Some(json!({ "image": "any", "listens": [port] }))
    }

    fn shares(&self) -> Value {
        json!({ "image": "any", "volumes": { "data": "/data" } })
    }

    fn shared_folder(&self) -> Option<&'static str> {
        Some("/data")
    }

    fn user(&self) -> Option<&'static str> {
        Some("1000")
    }

    fn now(&self) -> Time {
        self.world.now()
    }
}

#[tokio::test(start_paused = true)]
async fn a_provider_without_fault_breaks_nothing_ten_times() {
    for _ in 0..10 {
        let report = examine(&Broken::factory(How::NotAtAll)).await;
        assert!(report.is_good(), "{report}");
        let held = report
            .tried
            .iter()
            .filter(|tried| tried.verdict == Verdict::Held)
            .count();
        assert!(held > 70, "{report}");
    }
}

/// Each breach, and the promise that it breaks.
const BREACHES: [(How, &str); 40] = [
    (
        How::CreatesIgnoreTheKey,
        "creation::a_repeated_create_finds_the_same_machine",
    ),
    (How::CreatesIgnoreTheKey, "creation::creates_at_once_make_one_machine"),
    (
        How::AdoptionIsNotTold,
        "creation::a_repeated_create_through_another_instance_finds_it_too",
    ),
    (
        How::AnythingIsAdopted,
        "creation::another_request_under_the_same_key_is_a_conflict",
    ),
    (
        How::AnythingIsAdopted,
        "creation::a_create_on_what_is_foreign_is_a_conflict",
    ),
    (How::StartsDoNothing, "creation::a_created_machine_runs_after_its_start"),
    (How::EnvironmentIsLost, "creation::the_environment_reaches_the_machine"),
    (How::AbsenceIsAnError, "removal::destroying_what_never_was_says_gone"),
    (How::AbsenceIsAnError, "removal::a_repeated_destroy_says_gone"),
    (
        How::DestroysDoNothing,
        "removal::a_destroyed_machine_is_gone_from_a_complete_listing",
    ),
    (
        How::StampsAreNotCompared,
        "removal::a_destroy_with_another_proof_is_a_conflict",
    ),
    (
        How::StampsAreNotCompared,
        "decoys::copied_labels_under_another_name_are_not_ours",
    ),
    (
        How::ListingsForget,
        "listing::machines_and_scope_items_are_listed_with_key_and_class",
    ),
    (
        How::ListingsAreIncomplete,
        "listing::an_empty_environment_is_listed_completely",
    ),
    (How::LabelsAreLost, "listing::what_is_listed_carries_its_labels"),
    (How::EnvironmentsAreMixed, "listing::one_environment_is_listed_alone"),
    (How::OpensIgnoreTheKey, "scope::a_repeated_open_finds_the_same_item"),
    (How::AbsenceIsAnError, "scope::closing_what_never_was_says_gone"),
    (How::StopsDestroy, "life::files_survive_a_stop"),
    (How::KillsAsk, "life::a_stop_asks_and_a_kill_does_not"),
    (
        How::PausesDoNothing,
        "pause::a_paused_machine_stands_still_until_its_start",
    ),
    (How::PausesDestroy, "pause::a_repeated_pause_is_harmless"),
    (
        How::StampsAreNotCompared,
        "pause::a_pause_with_another_proof_is_a_conflict",
    ),
    (
        How::HealthIsMadeUp,
        "health::a_machine_without_a_health_check_has_no_health",
    ),
    (How::HealthIsMadeUp, "health::a_health_check_that_fails_is_seen"),
    (How::MountsAreLost, "mounts::a_folder_of_the_controller_is_seen_inside"),
    (
        How::SnapshotsSayNothing,
        "life::a_snapshot_says_which_folders_it_is_without",
    ),
    (How::RenewalsAreForgotten, "life::a_renewed_machine_lives_on"),
    (How::ExitCodesAreLost, "commands::exit_codes_are_exact"),
    (
        How::ExitCodesAreLost,
        "commands::a_command_that_is_not_there_is_no_success",
    ),
    (How::SignalsAreLost, "commands::a_signal_ends_what_a_command_started"),
    (How::ErrorsAreMixedIn, "streams::output_and_errors_are_apart"),
    (How::OutputIsCut, "streams::large_output_is_not_lost"),
    (How::InputIsCut, "streams::input_comes_back_to_its_end"),
    (How::CopiesAreEmpty, "files::what_is_copied_in_comes_out"),
    (How::LogsAreEmpty, "logs::what_was_said_is_in_the_logs"),
    (How::LogsAreNotFollowed, "logs::logs_are_followed"),
    (
        How::EveryPortAnswers,
        "network::a_connection_ends_where_nothing_listens",
    ),
    (How::MoreIsOfferedThanDeclared, "unoffered::stop_is_unsupported"),
    (How::SitesChange, "kind::the_site_is_the_same_for_every_instance"),
];

#[tokio::test(start_paused = true)]
async fn every_breach_is_found() {
    for (how, promise) in BREACHES {
        let report = examine_only(&Broken::factory(how), |name| name == promise).await;
        let verdicts: Vec<_> = report.tried.iter().map(|tried| &tried.verdict).collect();
        assert!(
            matches!(verdicts[..], [Verdict::Broken(_)]),
            "{how:?} was not found by {promise}:\n{report}"
        );
    }
}

#[tokio::test(start_paused = true)]
async fn what_a_case_leaves_behind_is_found() {
    let harmless = "creation::a_repeated_start_is_harmless";
    let report = examine_only(&Broken::factory(How::DestroysDoNothing), |name| name == harmless).await;
    assert!(report.to_string().contains("left behind"), "{report}");
}

#[tokio::test(start_paused = true)]
async fn what_is_stopped_tries_the_promise_at_hand_and_no_other() {
    let factory = Broken::factory(How::DestroysDoNothing);
    let asked = std::sync::atomic::AtomicU32::new(0);
    let stop = || asked.fetch_add(1, std::sync::atomic::Ordering::Relaxed) > 0;
    let report = examine_until(&factory, |name| name.starts_with("creation::"), stop).await;
    assert_eq!((report.tried.len(), report.is_whole), (1, false), "{report}");
    let whole = examine_until(&factory, |name| name.starts_with("creation::"), || false).await;
    assert!(whole.tried.len() > 1 && whole.is_whole, "{whole}");
}

#[tokio::test(start_paused = true)]
async fn a_report_says_each_promise_once() {
    let wanted = [
        "kind::a_check_finds_no_error",
        "life::a_repeated_stop_is_harmless",
        "unoffered::stop_is_unsupported",
        "unoffered::exec_is_unsupported",
    ];
    let report = examine_only(&Broken::factory(How::MoreIsOfferedThanDeclared), |name| {
        wanted.contains(&name)
    })
    .await;
    assert_eq!(
        report.to_string(),
        "held         kind: a check finds no error\n\
         not offered  life: a repeated stop is harmless (stop)\n\
         broken       unoffered: stop is unsupported\n             \
         `stop`, which is not declared, succeeded; `unsupported` was expected\n\
         1 held, 1 broken, 1 not offered"
    );
}

/// A factory whose infrastructure is not there.
struct Nowhere;

#[async_trait]
impl Factory for Nowhere {
    fn name(&self) -> &'static str {
        "nowhere"
    }

    fn kind(&self) -> Arc<dyn Kind> {
        kind(World::new(1))
    }

    async fn connect(&self) -> Result<Arc<dyn Provider>> {
        Err(Error::new(ErrorKind::Unavailable, "no daemon answers").next_step("run `tests/run --install`"))
    }

    fn plain(&self) -> Value {
        Value::Null
    }

    fn invalid(&self) -> Value {
        Value::Null
    }
}

#[test]
fn what_cannot_be_connected_fails_and_says_what_to_do() {
    let factory: Arc<dyn Factory> = Arc::new(Nowhere);
    let trials = encamp_testkit::suite(&factory);
    let names: Vec<_> = trials.iter().map(libtest_mimic::Trial::name).collect();
    assert_eq!(names, ["nowhere::connects"]);
    let report = tokio::runtime::Builder::new_current_thread()
        .build()
        .unwrap()
        .block_on(examine(&factory));
    assert!(report.to_string().contains("run `tests/run --install`"), "{report}");
}
