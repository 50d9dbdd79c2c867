//! A host that cannot be had says what mends it.

use std::time::Duration;

use encamp_core::{Error, ErrorKind, Value};
use serde_json::json;

use crate::bed::{Bed, target, text};

/// What is wrong with the settings of a host, or with the host; and what its error is.
struct Wrong {
    what: &'static str,
    key: &'static str,
    value: Value,
    kind: ErrorKind,
    message: &'static str,
    hint: &'static str,
}

fn wrong(
    (what, key, value): (&'static str, &'static str, Value),
    kind: ErrorKind,
    message: &'static str,
    hint: &'static str,
) -> Wrong {
    Wrong {
        what,
        key,
        value,
        kind,
        message,
        hint,
    }
}

fn is_told(what: &str, error: &Error, kind: ErrorKind, message: &str, hint: &str) {
    assert_eq!(error.kind(), kind, "{what}: {error:?}");
    assert!(error.message().contains(message), "{what}: {error:?}");
    let told = error.hint().unwrap_or_default();
    assert!(told.contains(hint), "{what}: {error:?}");
    assert!(
        error.context().any(|(key, value)| key == "host" && value == "h0"),
        "{what}: {error:?}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn what_keeps_a_host_from_being_asked_is_told_with_its_mend() {
    let bed = Bed::new(1).await;
    let other_key = text(&bed.lab.at("user.pub"));
    for Wrong {
        what,
        key,
        value,
        kind,
        message,
        hint,
    } in [
        wrong(
            ("an unknown key", "host_keys", json!([])),
            ErrorKind::Unauthorized,
            "nobody knows the host key of [127.0.0.1]",
            "into `host_keys`",
        ),
        wrong(
            ("a changed key", "host_keys", json!([other_key.trim()])),
            ErrorKind::Unauthorized,
            "shows another host key",
            "vouched for the old key",
        ),
        wrong(
            ("a wrong user", "user", json!("nobody-here")),
            ErrorKind::Unauthorized,
            "nobody-here@127.0.0.1",
            "authorized_keys",
        ),
        wrong(
            ("nobody who listens", "port", json!(1)),
            ErrorKind::Unavailable,
            "connection refused",
            "is sshd running there",
        ),
        wrong(
            ("no address", "host", json!("no-such-host.invalid")),
            ErrorKind::NotFound,
            "no-such-host.invalid",
            "getent hosts",
        ),
    ] {
        let mut hosts = bed.lab.settings()["hosts"].clone();
        hosts["h0"][key] = value;
        let more = json!({ "hosts": hosts, "known_hosts": "/nonexistent" });
        let error = bed.again_with(more).await.resolve(json!({})).await.unwrap_err();
        // An address that is no port of the lab has no key there.
        is_told(what, &error, kind, message, hint);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_host_that_can_run_nothing_is_told_with_its_mend() {
    let bed = Bed::with_server("SetEnv PATH=/nowhere", "").await;
    let error = bed.resolve(json!({})).await.unwrap_err();
    is_told("no shell", &error, ErrorKind::Unsupported, "has no `sh`", "POSIX sh");
    let bed = Bed::with_server("MaxSessions 0", "").await;
    let error = bed.resolve(json!({})).await.unwrap_err();
    is_told(
        "no session",
        &error,
        ErrorKind::Quota,
        "gives no session",
        "raise `MaxSessions`",
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_host_whose_disk_is_full_is_told_with_its_mend() {
    // The folder of its runs.
    let fill = "mount -t tmpfs -o size=16k tmpfs \"$at\"; head -c 65536 /dev/zero >\"$at/full\"";
    let bed = Bed::with_server("", &format!("at=${{1%/*}}/run; {fill}")).await;
    // To ask it, and to change who has it, takes no room there.
    bed.resolve(json!({})).await.unwrap();
    let request = bed.request("web", 0, Duration::from_mins(10));
    bed.create(&request).await.unwrap();
    let error = bed.run(&target(&request), "true").await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Quota, "{error:?}");
    assert!(error.message().contains("is full at"), "{error:?}");
    assert!(error.hint().unwrap_or_default().starts_with("make room below"));
    // The folder of its record.
    let fill = format!("at=${{1%/*}}/host-0; mkdir \"$at\"; {fill}");
    let bed = Bed::with_server("", &fill.replace("size=16k", "size=12k")).await;
    let request = bed.request("web", 0, Duration::from_mins(10));
    let error = bed.create(&request).await.unwrap_err();
    assert_eq!(error.message(), "the disk of h0 is full", "{error:?}");
    assert_eq!(error.hint(), Some("make room on h0"));
    assert!(bed.keys().await.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_host_whose_disk_its_machine_has_filled_is_given_back() {
    let small = "at=${1%/*}/host-0; mkdir \"$at\"; mount -t tmpfs -o size=64k tmpfs \"$at\"";
    let bed = Bed::with_server("", small).await;
    let request = bed.request("web", 0, Duration::from_mins(10));
    bed.create(&request).await.unwrap();
    let fill = "head -c 200000 /dev/zero >full; test -s full";
    let filled = bed.run(&target(&request), fill).await.unwrap();
    assert!(filled.0.success(), "{filled:?}");
    bed.destroy(&target(&request)).await.unwrap();
    assert!(bed.keys().await.is_empty());
    bed.resolve(json!({})).await.unwrap();
}
