//! Machines that the kernel ends for want of memory.

use encamp_core::{Exit, Observed, Phase, ProviderExt, Target};
use serde_json::json;

use crate::bed::{Bed, connect, cx};
use crate::relay::{edited, replace};

/// A machine that wants ever more memory, once it is told to. An engine does not always hear of what happens to a
/// container before its start has been answered (containerd/containerd#8180).
async fn hungry(bed: &Bed) -> Target {
    let line = "until [ -e /go ]; do sleep 0.05; done; sleep 0.5; x=x; while :; do x=$x$x; done";
    let target = bed
        .machine("hungry", json!({ "command": line, "memory": "8MiB" }))
        .await;
    bed.sh(&target, "touch /go").await;
    target
}

/// The reason may come after the end.
async fn until_told(bed: &Bed, target: &Target) -> Observed {
    let told = |seen: &Observed| matches!(seen.phase, Phase::Exited(_)) && seen.why.is_some();
    bed.provider.wait(&cx(), target.clone(), &told).await.unwrap()
}

#[tokio::test]
async fn a_machine_without_memory_ends_and_says_so() {
    let bed = Bed::new().await;
    let target = hungry(&bed).await;
    let seen = until_told(&bed, &target).await;
    assert_eq!(seen.phase, Phase::Exited(Exit::Code(137)));
    assert_eq!(seen.why.as_deref(), Some("out of memory"));
}

#[tokio::test]
async fn want_of_memory_is_told_where_the_state_forgets_it() {
    let bed = Bed::new().await;
    let folder = tempfile::tempdir().unwrap();
    let forgetful = edited(&folder, |answer| {
        replace(answer, br#""OOMKilled":"#, b"true", b"null");
        // As if the reason had come long after the end.
        replace(answer, br#""FinishedAt":""#, b"20", b"19");
    });
    let provider = connect(forgetful).await.unwrap();
    let target = hungry(&bed).await;
    let ended = until_told(&bed, &target).await;
    let seen = provider.inspect(&cx(), target).await.unwrap();
    assert_eq!((&seen.phase, &seen.why), (&ended.phase, &ended.why));
    let target = bed
        .machine("told", json!({ "command": "exit 137", "memory": "8MiB" }))
        .await;
    bed.until_exited(&target).await;
    let seen = provider.inspect(&cx(), target).await.unwrap();
    assert_eq!((seen.phase, seen.why), (Phase::Exited(Exit::Code(137)), None));
}
