//! What the main process says.

use std::time::{SystemTime, UNIX_EPOCH};

use encamp_core::{Logs, Time};
use serde_json::json;
use tokio::io::AsyncReadExt;

use crate::bed::{Bed, all, cx};

fn now() -> Time {
    let millis = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis();
    Time::from_unix_millis(i64::try_from(millis).unwrap())
}

#[tokio::test]
async fn both_streams_come_in_order_and_the_tail_alone_on_request() {
    let bed = Bed::new().await;
    // What is said at once on both may come in any order.
    let line = "mkfifo /tmp/go; echo one; read x < /tmp/go; echo two >&2; read x < /tmp/go; echo three";
    let target = bed.machine("db", json!({ "command": line })).await;
    for said in ["one", "two"] {
        bed.until_said(&target, said).await;
        bed.sh(&target, "echo > /tmp/go").await;
    }
    bed.until_exited(&target).await;
    let mut logs = Logs::new(target);
    assert_eq!(
        all(bed.provider.logs(&cx(), logs.clone()).await.unwrap()).await,
        "one\ntwo\nthree\n"
    );
    logs.tail = Some(1);
    assert_eq!(all(bed.provider.logs(&cx(), logs).await.unwrap()).await, "three\n");
}

#[tokio::test]
async fn logs_begin_at_a_moment_within_a_second() {
    let bed = Bed::new().await;
    let line = "echo early; read x < /tmp/go; echo late; sleep 1000";
    let created = bed
        .create(
            bed.request("db", json!({ "command": format!("mkfifo /tmp/go; {line}") }))
                .await,
        )
        .await;
    let target = bed.target("db", Some(&created.unwrap().id));
    bed.start("db", target.id.as_deref().unwrap()).await.unwrap();
    bed.until_said(&target, "early").await;
    let since = now();
    bed.sh(&target, "echo > /tmp/go").await;
    bed.until_said(&target, "late").await;
    let mut logs = Logs::new(target);
    logs.since = Some(since);
    assert_eq!(all(bed.provider.logs(&cx(), logs).await.unwrap()).await, "late\n");
}

#[tokio::test]
async fn logs_are_followed_to_the_end() {
    let bed = Bed::new().await;
    let target = bed.machine("db", json!({ "command": "echo a; sleep 1; echo b" })).await;
    let mut logs = Logs::new(target);
    logs.follow = true;
    let mut stream = bed.provider.logs(&cx(), logs).await.unwrap();
    let mut first = [0; 2];
    stream.read_exact(&mut first).await.unwrap();
    assert_eq!(&first, b"a\n");
    assert_eq!(all(stream).await, "b\n");
}
