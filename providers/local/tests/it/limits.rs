//! Limits, which control groups hold.

use std::path::Path;
use std::time::Duration;

use encamp_core::{Cx, ErrorKind, Exit, Needs, Phase, Resolve};
use libtest_mimic::Trial;
use serde_json::json;

use crate::bed::{Bed, cx, is_root, trial};

pub(crate) fn trials() -> Vec<Trial> {
    if !can_limit() {
        return vec![trial("limits::what_nobody_can_hold_is_refused", refused)];
    }
    vec![
        trial("limits::memory_and_processes_have_an_end", held),
        trial("limits::a_full_machine_says_so_and_goes_on", full),
        trial("limits::needs_become_limits", needs),
        trial("limits::groups_go_with_their_machine", gone),
    ]
}

/// The controllers of version 1 that are mounted here.
fn of_version_one(controller: &str) -> bool {
    let own = std::fs::read_to_string("/proc/self/cgroup").unwrap();
    own.lines().any(|line| {
        line.split(':')
            .nth(1)
            .is_some_and(|these| these.split(',').any(|one| one == controller))
    })
}

/// Root may limit what version 1 controls, and everything from the root of version 2.
fn can_limit() -> bool {
    let from_root = std::fs::read_to_string("/sys/fs/cgroup/cgroup.controllers").is_ok()
        && !Path::new("/sys/fs/cgroup/cgroup.type").exists()
        && std::fs::read_to_string("/proc/self/cgroup").unwrap().contains("0::/\n");
    is_root() && (from_root || ["memory", "cpu", "pids"].into_iter().all(of_version_one))
}

async fn refused() {
    let bed = Bed::new().await;
    for (key, table) in [
        ("memory", json!({ "memory": "256MiB" })),
        ("cpus", json!({ "cpus": 0.5 })),
        ("pids", json!({ "pids": 100 })),
    ] {
        let error = bed.provider.resolve(&cx(), Resolve::new(table)).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Unsupported);
        assert!(error.message().contains(key), "{error:?}");
    }
}

async fn held() {
    let bed = Bed::new().await;
    bed.raise("small", json!({ "memory": "96MiB", "pids": 24 })).await;
    bed.raise("wide", json!({})).await;
    // `tail` keeps a line without an end in memory.
    let much = "head -c 300000000 /dev/zero | tail > /dev/null";
    let said = bed.run("wide", much).await;
    assert_eq!(said.exit, Exit::Code(0), "{said:?}");
    bed.destroy("wide").await;
    let said = bed.run("small", much).await;
    assert_ne!(said.exit, Exit::Code(0), "{said:?}");
    let said = bed.run("small", "echo here").await;
    assert_eq!(said.out, "here\n");
    let said = bed
        .run(
            "small",
            "i=0; while [ $i -lt 60 ]; do sleep 2 & i=$((i + 1)); done; wait; echo all",
        )
        .await;
    assert!(!said.out.contains("all"), "60 processes were started: {said:?}");
    // What it left is still there.
    assert_eq!(bed.run("small", "echo here").await.out, "here\n");
    bed.destroy("small").await;
}

/// Nothing can be started in it, threads of its first process neither.
async fn full() {
    let bed = Bed::new().await;
    let table = json!({ "pids": 24, "command": "trap 'echo asked; exit 7' TERM; while :; do :; done" });
    bed.raise("full", table).await;
    let allow = |pids: &str| {
        let limited = groups().into_iter().map(|group| Path::new(&group).join("pids.max"));
        let mine = limited.filter(|file| file.to_string_lossy().contains("-full-") && file.exists());
        assert!(mine.map(|file| std::fs::write(file, pids).unwrap()).count() > 0);
    };
    assert_eq!(bed.run("full", "echo here").await.out, "here\n");
    allow("1");
    let soon = Cx::within(Duration::from_secs(10));
    for _ in 0..2 {
        let started = bed.provider.exec(&soon, bed.script("full", "echo here"));
        let Err(error) = started.await else {
            panic!("it was started")
        };
        assert!(error.message().contains("nothing more can be started"), "{error:?}");
    }
    allow("24");
    assert_eq!(bed.run("full", "echo here").await.out, "here\n");
    allow("1");
    // It still hears that it is to end.
    bed.stop("full", Duration::from_secs(10)).await;
    assert_eq!(bed.phase("full").await, Phase::Stopped);
    assert_eq!(bed.said("full").await, "asked\n");
    bed.destroy("full").await;
}

async fn needs() {
    let bed = Bed::new().await;
    let mut resolve = Resolve::new(json!({}));
    resolve.needs = serde_json::from_value::<Needs>(json!({ "memory": 256 << 20, "cpu": 0.5 })).unwrap();
    let candidate = bed.provider.resolve(&cx(), resolve).await.unwrap().remove(0);
    assert_eq!(candidate.body, json!({ "memory": "256MiB", "cpus": 0.5 }));
    let mut request = bed.request("web", json!({})).await;
    request.body = candidate.body;
    bed.raise_request(request).await;
    // A busy loop of a second takes two where half a core is there.
    let said = bed
        .run("web", "timeout 2 sh -c 'while :; do :; done'; cat /proc/self/cgroup")
        .await;
    assert!(said.out.contains("encamp-"), "{said:?}");
    let quota = files_of("cpu.cfs_quota_us").chain(files_of("cpu.max"));
    assert!(
        quota.into_iter().any(|text| text.starts_with("50000")),
        "no group limits the cores"
    );
    bed.destroy("web").await;
    let mut resolve = Resolve::new(json!({}));
    resolve.needs.memory = Some(1 << 60);
    let error = bed.provider.resolve(&cx(), resolve).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unsupported);
}

/// What all groups of machines say in one file.
fn files_of(name: &'static str) -> impl Iterator<Item = String> {
    groups()
        .into_iter()
        .filter_map(move |group| std::fs::read_to_string(Path::new(&group).join(name)).ok())
}

fn groups() -> Vec<String> {
    let found = std::process::Command::new("find")
        .args(["/sys/fs/cgroup", "-type", "d", "-name", "encamp-ec-abcdef-*"])
        .output()
        .unwrap();
    String::from_utf8_lossy(&found.stdout)
        .lines()
        .map(str::to_owned)
        .collect()
}

async fn gone() {
    let bed = Bed::new().await;
    let own = |groups: Vec<String>| groups.into_iter().filter(|group| group.contains("-mine-")).count();
    bed.raise("mine", json!({ "pids": 100 })).await;
    // Of version 2 it is the one in which its processes are.
    let count = if of_version_one("pids") { 2 } else { 1 };
    assert_eq!(own(groups()), count);
    bed.stop("mine", Duration::ZERO).await;
    assert_eq!(own(groups()), 0);
    bed.start("mine").await.unwrap();
    bed.destroy("mine").await;
    assert_eq!(own(groups()), 0);
}
