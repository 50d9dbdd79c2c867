//! Streams that go in and come out, and how they end.

use std::time::Duration;

use encamp_core::{CopyIn, CopyOut, Cx, Dial, ErrorKind, Logs, Retry};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::bed::{Bed, cx, soon, unhurried};

#[tokio::test]
async fn a_stream_is_not_taken_for_ever() {
    let bed = Bed::new("copy_in) echo $$ >child; cat >got; exec sleep 1799;;").await;
    let stream = || Box::pin(std::io::Cursor::new(b"some".to_vec()));
    let short = Cx::within(Duration::from_millis(500));
    let error = tokio::time::timeout(
        Duration::from_secs(15),
        bed.provider
            .copy_in(&short, CopyIn::new(bed.target(), "/there"), stream()),
    )
    .await;
    let error = error.expect("it has no deadline").unwrap_err();
    assert_eq!((error.kind(), error.retryable()), (ErrorKind::Unavailable, Retry::Safe));
    // It may not have come to it.
    soon("the end", || !bed.lives("child")).await;
    // The same where it has taken all of it.
    let bed = Bed::new("copy_in) echo $$ >child; cat >got; exec sleep 1799;;").await;
    let cancelled = cx();
    let cancel = async {
        soon("the stream", || bed.read("got") == "some").await;
        cancelled.cancel();
    };
    let (taken, ()) = tokio::join!(
        bed.provider
            .copy_in(&cancelled, CopyIn::new(bed.target(), "/there"), stream()),
        cancel
    );
    let error = taken.unwrap_err();
    assert_eq!((error.kind(), error.retryable()), (ErrorKind::Unavailable, Retry::Safe));
    bed.ends("child").await;
}

#[tokio::test]
async fn how_a_stream_ends_is_not_lost() {
    let refused = "echo encamp:error:not_found:no such file >&2; exit 1;;";
    let bed = Bed::new(&format!("copy_out) {refused}\nlogs) {refused}\ndial) {refused}")).await;
    let errors = [
        bed.provider
            .copy_out(&cx(), CopyOut::new(bed.target(), "/no"))
            .await
            .err(),
        bed.provider.logs(&cx(), Logs::new(bed.target())).await.err(),
        unhurried(bed.provider.dial(&cx(), Dial::new(bed.target(), 80)))
            .await
            .err(),
    ];
    for error in errors {
        let error = error.expect("it has failed");
        assert_eq!((error.kind(), error.message()), (ErrorKind::NotFound, "no such file"));
    }
    // It has begun, and breaks off.
    let bed = Bed::new("copy_out) echo half; sleep 0.3; echo the disk is gone >&2; exit 3;;").await;
    let mut stream = bed
        .provider
        .copy_out(&cx(), CopyOut::new(bed.target(), "/a"))
        .await
        .unwrap();
    let mut read = Vec::new();
    let error = stream.read_to_end(&mut read).await.unwrap_err();
    assert_eq!(read, b"half\n");
    assert!(error.to_string().contains("its command exited 3"), "{error:?}");
    // What it leaves behind does not hold the stream.
    let bed = Bed::new("copy_out) sleep 1799 & echo $! >child; echo whole;;").await;
    let mut stream = bed
        .provider
        .copy_out(&cx(), CopyOut::new(bed.target(), "/a"))
        .await
        .unwrap();
    let (mut read, limit) = (Vec::new(), Duration::from_secs(30));
    let whole = tokio::time::timeout(limit, stream.read_to_end(&mut read)).await;
    whole.expect("it is held").unwrap();
    assert_eq!(read, b"whole\n");
    bed.ends("child").await;
}

#[tokio::test]
async fn a_connection_that_stands_is_one() {
    let bed = Bed::new("dial) exec cat;;\nlogs) echo $$ >child; exec sleep 1799;;").await;
    let mut connection = bed.provider.dial(&cx(), Dial::new(bed.target(), 80)).await.unwrap();
    connection.write_all(b"there and back").await.unwrap();
    connection.shutdown().await.unwrap();
    let mut read = String::new();
    connection.read_to_string(&mut read).await.unwrap();
    assert_eq!(read, "there and back");
    // Nor has what ends at once without a word anybody on its other side.
    let bed = Bed::new("dial) exit 0;;").await;
    let error = unhurried(bed.provider.dial(&cx(), Dial::new(bed.target(), 80)))
        .await
        .err();
    assert_eq!(error.unwrap().kind(), ErrorKind::Unavailable);
}

#[tokio::test]
async fn a_log_without_a_word_can_be_followed() {
    let follow = "[capabilities]\nlogs = { follow = true }";
    let bed = Bed::with(follow, "logs) echo $$ >child; exec sleep 1799;;").await;
    let mut logs = Logs::new(bed.target());
    logs.follow = true;
    let followed = tokio::time::timeout(Duration::from_secs(15), bed.provider.logs(&cx(), logs)).await;
    let stream = followed.expect("it is held").unwrap();
    bed.begins("child").await;
    drop(stream);
    bed.ends("child").await;
}
