//! A run of nextest: many tests in several test programs, one process each, that share one environment.

use std::collections::BTreeSet;
use std::fs::OpenOptions;
use std::io::Write;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use encamp::{Result, Share};
use encamp_test::Camp;
use rustix::process::{Signal, getpid, kill_process};
use serde_json::{Value, json};

use crate::bed::{Bed, NAP, SCENE, played};
use crate::scenes::{pair, variable};

/// Where each test writes which environment it has got.
const LOG: &str = "ENCAMP_TEST_LOG";
/// How many test programs there are. They are one file, of which nextest is told so.
const PROGRAMS: usize = 3;

/// The tests of the run. They do nothing outside of it.
macro_rules! crowd {
    ($($name:ident = $number:literal),*) => {
        mod crowd {
            $(
                #[encamp_test::test]
                async fn $name(camp: &encamp_test::Camp) -> encamp::Result<()> {
                    super::one_of_many(camp, $number).await
                }
            )*

            pub(super) const TESTS: usize = [$($number),*].len();
        }
    };
}

crowd!(
    a = 0,
    b = 1,
    c = 2,
    d = 3,
    e = 4,
    f = 5,
    g = 6,
    h = 7,
    i = 8,
    j = 9,
    k = 10,
    l = 11,
    m = 12,
    n = 13,
    o = 14,
    p = 15,
    q = 16
);

/// How many of the tests of one program are killed while they use what is shared.
const KILLED: usize = crowd::TESTS.div_ceil(4);

async fn one_of_many(camp: &Camp, number: usize) -> Result<()> {
    let (Some("crowd"), Some(nap), Some(log)) = (variable(SCENE).as_deref(), variable(NAP), variable(LOG)) else {
        return Ok(());
    };
    let env = camp.shared(pair(&nap), Share::Run).await?;
    let mut log = OpenOptions::new()
        .append(true)
        .create(true)
        .open(log)
        .expect("the log can be written");
    log.write_all(format!("{}\n", env.summary().id).as_bytes())
        .expect("the log can be written");
    // A moment that nobody chose.
    let moment = u64::from(getpid().as_raw_nonzero().get().unsigned_abs()) * 7919 % 400;
    let using = env.machine("db")?.exec(["sleep".to_owned(), format!("0.{moment:03}")]);
    if number.is_multiple_of(4) {
        tokio::select! {
            _ = using.clone().output() => {}
            () = tokio::time::sleep(Duration::from_millis(moment / 2)) => {}
        }
        kill_process(getpid(), Signal::KILL).expect("this process can be killed");
    }
    assert!(using.output().await?.exit.success());
    Ok(())
}

#[test]
fn tests_of_a_run_share_what_is_made_once_and_goes_at_its_end() {
    let bed = Bed::new();
    let log = bed.file("log");
    let played = played(bed.tell(&mut nextest(&bed), "crowd").env(LOG, &log).args([
        "-E",
        "test(/^runs::crowd::/)",
        "--no-fail-fast",
        "--test-threads",
        "12",
        "--color",
        "never",
    ]));
    let all = PROGRAMS * crowd::TESTS;
    // Those that are killed have failed, by nextest's reckoning.
    assert_eq!(played.status.code(), Some(100), "{}", played.said);
    let (passed, failed) = (all - PROGRAMS * KILLED, PROGRAMS * KILLED);
    let summary = format!("{all} tests run: {passed} passed, {failed} failed");
    assert!(played.said.contains(&summary), "{summary}: {}", played.said);
    let ids = std::fs::read_to_string(&log).expect("every test has written into it");
    assert_eq!(ids.lines().count(), all, "{ids}");
    let made: BTreeSet<&str> = ids.lines().collect();
    assert_eq!(made.len(), 1, "{made:?}");
    bed.is_empty_within(Duration::from_secs(15));
}

/// A run of this program's tests, as if several programs had them. Nothing is built.
fn nextest(bed: &Bed) -> Command {
    let cargo = env!("CARGO");
    let metadata = Command::new(cargo)
        .args(["metadata", "--format-version=1", "--offline", "--locked"])
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .output()
        .expect("cargo is there");
    assert!(
        metadata.status.success(),
        "{}",
        String::from_utf8_lossy(&metadata.stderr)
    );
    let (of_cargo, of_programs) = (bed.file("cargo.json"), bed.file("programs.json"));
    std::fs::write(&of_cargo, &metadata.stdout).expect("a file");
    let metadata: Value = serde_json::from_slice(&metadata.stdout).expect("cargo metadata prints JSON");
    std::fs::write(&of_programs, programs(&metadata).to_string()).expect("a file");
    let config = bed.file("nextest.toml");
    std::fs::write(&config, "").expect("a file");
    let mut command = Command::new(cargo);
    for name in of_nextest() {
        command.env_remove(name);
    }
    command.args(["nextest", "run"]);
    for (flag, path) in [
        ("--cargo-metadata", &of_cargo),
        ("--binaries-metadata", &of_programs),
        ("--config-file", &config),
    ] {
        command.arg(flag).arg(path);
    }
    command.current_dir(env!("CARGO_MANIFEST_DIR"));
    command
}

/// What this test may have been told by a nextest of its own.
#[expect(
    clippy::disallowed_methods,
    reason = "a run in a run is not to know of the outer one"
)]
fn of_nextest() -> impl Iterator<Item = std::ffi::OsString> {
    let names = std::env::vars_os().map(|(name, _)| name);
    names.filter(|name| name.to_string_lossy().starts_with("NEXTEST"))
}

fn programs(metadata: &Value) -> Value {
    let packages = metadata["packages"].as_array().expect("packages is a list");
    let own = packages.iter().find(|package| package["name"] == "encamp-test");
    let id = &own.expect("this package is there")["id"];
    let target = metadata["target_directory"].as_str().expect("a folder");
    let program = std::env::current_exe().expect("a test knows where it lies");
    let one = |number: usize| {
        let name = format!("encamp-test::program-{number}");
        let value = json!({
            "binary-id": name,
            "binary-name": format!("program-{number}"),
            "package-id": id,
            "kind": "test",
            "binary-path": program,
            "build-platform": "target",
        });
        (name, value)
    };
    let all: serde_json::Map<String, Value> = (0..PROGRAMS).map(one).collect();
    json!({
        "rust-build-meta": {
            "target-directory": target,
            "base-output-directories": [Path::new("debug")],
            "non-test-binaries": {},
            "build-script-out-dirs": {},
            "linked-paths": [],
            "target-platforms": [],
            "target-platform": null,
        },
        "rust-binaries": all,
    })
}
