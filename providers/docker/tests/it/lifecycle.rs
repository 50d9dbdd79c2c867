//! Made, adopted, refused, started, stopped, destroyed, looked at.

use std::time::Duration;

use bollard::query_parameters as query;
use encamp_core::{ErrorKind, Exit, Phase, Removal, Retry, Stop, Target, Verb, label};
use serde_json::json;

use crate::bed::{Bed, cx};

#[tokio::test]
async fn a_machine_is_held_until_it_is_started_and_gone_when_it_is_destroyed() {
    let bed = Bed::new().await;
    let created = bed
        .create(bed.request("db", json!({ "command": ["sleep", "1000"] })).await)
        .await
        .unwrap();
    assert!(!created.adopted);
    let target = bed.target("db", Some(&created.id));
    let seen = bed.provider.inspect(&cx(), target.clone()).await.unwrap();
    assert_eq!((seen.phase, seen.id), (Phase::Held, created.id.clone()));
    bed.start("db", &created.id).await.unwrap();
    bed.start("db", &created.id).await.unwrap();
    let seen = bed.provider.inspect(&cx(), target.clone()).await.unwrap();
    assert_eq!(seen.phase, Phase::Running);
    assert_eq!(seen.addrs.len(), 1);
    assert_eq!(bed.destroy(&target).await.unwrap(), Removal::Gone);
    assert_eq!(bed.destroy(&target).await.unwrap(), Removal::Gone);
    let seen = bed.provider.inspect(&cx(), target.clone()).await.unwrap();
    assert_eq!(seen.phase, Phase::Gone);
    let error = bed.start("db", &created.id).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotFound);
}

#[tokio::test(flavor = "multi_thread")]
async fn sixteen_creates_of_one_key_make_one_machine() {
    let bed = Bed::new().await;
    let request = bed.request("db", json!({})).await;
    let ticket = bed.ticket("db", Verb::Create);
    let cx = cx();
    let calls = (0..16).map(|_| bed.provider.create(&cx, &ticket, request.clone()));
    let all = futures_util::future::join_all(calls).await;
    let all: Vec<_> = all.into_iter().map(Result::unwrap).collect();
    assert!(all.iter().all(|created| created.id == all[0].id));
    assert_eq!(all.iter().filter(|created| !created.adopted).count(), 1);
}

#[tokio::test]
async fn the_same_request_is_adopted_and_another_is_a_conflict() {
    let bed = Bed::new().await;
    let request = bed.request("db", json!({ "command": ["sleep", "1000"] })).await;
    let first = bed.run(request.clone()).await;
    let again = bed.create(request.clone()).await.unwrap();
    assert!(again.adopted);
    assert_eq!((Some(again.id), again.phase), (first.id.clone(), Phase::Running));
    let mut other = request;
    other.env.insert("A".into(), "b".into());
    let error = bed.create(other).await.unwrap_err();
    assert_eq!((error.kind(), error.retryable()), (ErrorKind::Conflict, Retry::Never));
}

#[tokio::test]
async fn a_foreign_name_is_a_conflict_and_is_not_touched() {
    let bed = Bed::new().await;
    let key = bed.stamp("db").key.to_string();
    bed.foreign(&key, encamp_core::Labels::new()).await;
    let error = bed.create(bed.request("db", json!({})).await).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Conflict);
    let target = bed.target("db", None);
    for error in [
        bed.destroy(&target).await.unwrap_err(),
        bed.start("db", "").await.unwrap_err(),
        bed.provider.inspect(&cx(), target.clone()).await.unwrap_err(),
    ] {
        assert_eq!(error.kind(), ErrorKind::Conflict, "{error}");
    }
    assert!(bed.there(&key).await);
}

#[tokio::test]
async fn copied_labels_prove_nothing() {
    let bed = Bed::new().await;
    let other = format!("somebody-{}", bed.controller);
    let id = bed.foreign(&other, bed.stamp("db").labels).await;
    assert_eq!(bed.destroy(&bed.target("db", None)).await.unwrap(), Removal::Gone);
    let error = bed.destroy(&bed.target("db", Some(&id))).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Conflict);
    assert!(bed.there(&other).await);
    // Our name with labels of which one is not ours is no better.
    let mut labels = bed.stamp("web").labels;
    labels.insert(label::PROOF.into(), "another".into());
    let key = bed.stamp("web").key.to_string();
    bed.foreign(&key, labels).await;
    assert_eq!(
        bed.destroy(&bed.target("web", None)).await.unwrap_err().kind(),
        ErrorKind::Conflict
    );
    assert!(bed.there(&key).await);
}

#[tokio::test]
async fn an_exit_is_seen_with_its_code() {
    let bed = Bed::new().await;
    let target = bed.machine("job", json!({ "command": "exit 7" })).await;
    assert_eq!(bed.until_exited(&target).await.phase, Phase::Exited(Exit::Code(7)));
}

#[tokio::test]
async fn a_stopped_machine_starts_again() {
    let bed = Bed::new().await;
    let target = bed
        .machine(
            "db",
            json!({ "command": "trap 'exit 3' TERM; echo listens; while :; do sleep 0.1; done" }),
        )
        .await;
    bed.until_said(&target, "listens").await;
    let stop = Stop::new(target.clone(), Duration::from_secs(5));
    let ticket = bed.ticket("db", Verb::Stop);
    bed.provider.stop(&cx(), &ticket, stop.clone()).await.unwrap();
    bed.provider.stop(&cx(), &ticket, stop).await.unwrap();
    let seen = bed.provider.inspect(&cx(), target.clone()).await.unwrap();
    assert_eq!(seen.phase, Phase::Exited(Exit::Code(3)));
    bed.start("db", target.id.as_deref().unwrap()).await.unwrap();
    let seen = bed.provider.inspect(&cx(), target).await.unwrap();
    assert_eq!(seen.phase, Phase::Running);
}

#[tokio::test]
async fn a_machine_with_a_grace_is_asked_to_end_before_it_is_destroyed() {
    let bed = Bed::new().await;
    bed.open("vol-data", json!({ "volume": "data" })).await.unwrap();
    let table = json!({
        "command": "trap 'echo ended > /data/ended; exit 0' TERM; echo listens; while :; do sleep 0.1; done",
        "volumes": ["data:/data"], "stop_grace": "5s",
    });
    let mut request = bed.request("db", table).await;
    let opened = bed.open("vol-data", json!({ "volume": "data" })).await.unwrap();
    request.scope.insert("vol-data".into(), opened.clone());
    let target = bed.run(request).await;
    bed.until_said(&target, "listens").await;
    assert_eq!(bed.destroy(&target).await.unwrap(), Removal::Gone);
    let mut request = bed
        .request(
            "look",
            json!({ "command": ["sleep", "1000"], "volumes": ["data:/data"] }),
        )
        .await;
    request.scope.insert("vol-data".into(), opened);
    let target = bed.run(request).await;
    assert_eq!(bed.sh(&target, "cat /data/ended").await.0, "ended\n");
}

#[tokio::test]
async fn another_daemon_is_never_gone() {
    let bed = Bed::new().await;
    let target = Target::new(bed.stamp("db"), encamp_core::Site::new("docker:other"), None);
    for error in [
        bed.destroy(&target).await.unwrap_err(),
        bed.provider.inspect(&cx(), target.clone()).await.unwrap_err(),
    ] {
        assert_eq!(error.kind(), ErrorKind::Unavailable);
        assert!(error.message().contains("another daemon"), "{error}");
    }
}

#[tokio::test]
async fn a_command_that_is_not_in_the_image_says_so() {
    let bed = Bed::new().await;
    let created = bed
        .create(bed.request("db", json!({ "command": ["nope"] })).await)
        .await
        .unwrap();
    let error = bed.start("db", &created.id).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Invalid, "{error:?}");
    assert_eq!(bed.destroy(&bed.target("db", None)).await.unwrap(), Removal::Gone);
}

#[tokio::test]
async fn the_table_reaches_the_container() {
    let bed = Bed::new().await;
    let table = json!({
        "command": ["sleep", "1000"], "user": "1000:1000", "workdir": "/tmp", "hostname": "other", "init": true,
        "memory": "64MiB", "cpus": 0.5, "pids": 64, "ulimits": { "nofile": 123 }, "tmpfs": ["/scratch:size=1m"],
        "shm_size": "32MiB", "sysctls": { "net.ipv4.ip_unprivileged_port_start": "0" }, "hardened": true,
    });
    let mut request = bed.request("db", table).await;
    request.env.insert("GREETING".into(), "a = b".into());
    let target = bed.run(request).await;
    let line = "id -u; pwd; hostname; ulimit -n; echo $GREETING; mount | grep -c ' /scratch '; \
                cat /proc/sys/net/ipv4/ip_unprivileged_port_start";
    let (out, err, exit) = bed.sh(&target, line).await;
    assert_eq!(
        (out.as_str(), err.as_str()),
        ("1000\n/tmp\nother\n123\na = b\n1\n0\n", "")
    );
    assert_eq!(exit, Exit::Code(0));
    let options = None::<query::InspectContainerOptions>;
    let seen = bed
        .raw
        .inspect_container(target.id.as_deref().unwrap(), options)
        .await
        .unwrap();
    let host = seen.host_config.unwrap();
    assert_eq!(
        (host.memory, host.nano_cpus, host.pids_limit),
        (Some(64 << 20), Some(500_000_000), Some(64))
    );
    assert_eq!(host.cap_drop.unwrap(), ["ALL"]);
}

#[tokio::test]
async fn what_the_settings_do_not_allow_is_refused() {
    let bed = Bed::new().await;
    for (table, word) in [
        (json!({ "image": "a", "volumes": ["/etc:/host:ro"] }), "bind-mounts"),
        (
            json!({ "image": "a", "volumes": ["/var/run/docker.sock:/s"] }),
            "docker-socket",
        ),
        (json!({ "image": "a", "cap_add": ["NET_ADMIN"] }), "privileges"),
    ] {
        let context = cx();
        let error = bed
            .provider
            .resolve(&context, encamp_core::Resolve::new(table))
            .await
            .unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Unauthorized);
        assert!(error.hint().unwrap().contains(word));
    }
    let allowing = Bed::with(json!({ "allow": ["bind-mounts"] })).await;
    let target = allowing
        .machine(
            "db",
            json!({ "command": ["sleep", "1000"], "volumes": ["/etc/hostname:/h:ro"] }),
        )
        .await;
    assert_eq!(allowing.sh(&target, "cat /h >/dev/null").await.2, Exit::Code(0));
}
