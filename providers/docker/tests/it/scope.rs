//! Networks and volumes.

use bollard::models::{NetworkConnectRequest, NetworkCreateRequest, VolumeCreateRequest};
use encamp_core::{ErrorKind, Exit, Removal, Retry, Target};
use serde_json::{Value, json};

use crate::bed::{Bed, connect};
use crate::relay::{edited, replace};

fn net() -> Value {
    json!({ "subnet": null })
}

fn data() -> Value {
    json!({ "volume": "data" })
}

#[tokio::test]
async fn a_network_opens_once_and_closes_for_good() {
    let bed = Bed::new().await;
    let first = bed.open("net", net()).await.unwrap();
    assert_eq!(bed.open("net", net()).await.unwrap(), first);
    assert_eq!(bed.close("net").await.unwrap(), Removal::Gone);
    assert_eq!(bed.close("net").await.unwrap(), Removal::Gone);
    assert_ne!(bed.open("net", net()).await.unwrap().id, first.id);
}

/// The client's type has lost the field that asks for unique names.
async fn raw_network(bed: &Bed, name: &str, labels: encamp_core::Labels) -> String {
    let request = NetworkCreateRequest {
        name: name.to_owned(),
        labels: Some(labels.into_iter().collect()),
        ..NetworkCreateRequest::default()
    };
    bed.raw.create_network(request).await.unwrap().id
}

#[tokio::test]
async fn a_foreign_network_of_our_name_is_a_conflict() {
    let bed = Bed::new().await;
    let key = bed.stamp("net").key.to_string();
    let id = raw_network(&bed, &key, encamp_core::Labels::new()).await;
    assert_eq!(bed.open("net", net()).await.unwrap_err().kind(), ErrorKind::Conflict);
    assert_eq!(bed.close("net").await.unwrap_err().kind(), ErrorKind::Conflict);
    bed.raw.remove_network(&id).await.unwrap();
}

#[tokio::test]
async fn a_network_that_was_made_twice_does_not_keep_machines_from_starting() {
    let bed = Bed::new().await;
    let stamp = bed.stamp("net");
    let first = raw_network(&bed, stamp.key.as_str(), stamp.labels.clone()).await;
    raw_network(&bed, stamp.key.as_str(), stamp.labels.clone()).await;
    let opened = bed.open("net", net()).await.unwrap();
    assert_eq!(opened.id, first);
    let mut request = bed.request("db", json!({ "command": ["sleep", "1000"] })).await;
    request.scope.insert("net".into(), opened);
    let target = bed.run(request).await;
    assert_eq!(bed.sh(&target, "true").await.2, Exit::Code(0));
    bed.destroy(&target).await.unwrap();
    assert_eq!(bed.close("net").await.unwrap(), Removal::Gone);
    let listing = bed.provider.list(&crate::bed::cx(), bed.list_args()).await.unwrap();
    assert_eq!(listing.found, []);
}

#[tokio::test]
async fn every_network_of_a_stamp_is_closed() {
    let bed = Bed::new().await;
    let stamp = bed.stamp("net");
    raw_network(&bed, stamp.key.as_str(), stamp.labels.clone()).await;
    raw_network(&bed, stamp.key.as_str(), stamp.labels.clone()).await;
    assert_eq!(bed.close("net").await.unwrap(), Removal::Gone);
    let listing = bed.provider.list(&crate::bed::cx(), bed.list_args()).await.unwrap();
    assert_eq!(listing.found, []);
}

/// A machine that somebody else has connected to the network.
async fn network_with_a_stranger(bed: &Bed) -> Target {
    let opened = bed.open("net", net()).await.unwrap();
    let stranger = bed.sleeper("stranger").await;
    let request = NetworkConnectRequest {
        container: stranger.id.clone().unwrap(),
        endpoint_config: None,
    };
    bed.raw.connect_network(&opened.id, request).await.unwrap();
    stranger
}

#[tokio::test]
async fn strangers_do_not_keep_a_network() {
    let bed = Bed::new().await;
    let stranger = network_with_a_stranger(&bed).await;
    assert_eq!(bed.close("net").await.unwrap(), Removal::Gone);
    assert_eq!(bed.sh(&stranger, "true").await.2, Exit::Code(0));
}

/// The daemon counts a network's endpoints apart from keeping them, and may count too many.
#[tokio::test]
async fn a_network_that_is_kept_for_nothing_says_what_lets_it_go() {
    let mut bed = Bed::new().await;
    network_with_a_stranger(&bed).await;
    let folder = tempfile::tempdir().unwrap();
    let settings = edited(&folder, |answer| {
        replace(answer, b"", b"\"Containers\":", b"\"Kontainers\":");
    });
    bed.provider = connect(settings).await.unwrap();
    let error = bed.close("net").await.unwrap_err();
    // It may be counted anew at any moment.
    assert_eq!((error.kind(), error.retryable()), (ErrorKind::Unavailable, Retry::Safe));
    assert!(error.to_string().contains("counts endpoints"), "{error}");
    assert!(error.hint().is_some_and(|hint| hint.contains("restart")), "{error:?}");
}

/// What a daemon keeps of a container that was killed while it started has a name and no container.
#[tokio::test]
async fn what_a_gone_container_left_behind_does_not_keep_a_network() {
    let mut bed = Bed::new().await;
    network_with_a_stranger(&bed).await;
    let folder = tempfile::tempdir().unwrap();
    let settings = edited(&folder, |answer| replace(answer, br#""Containers":{""#, b"", b"ep-"));
    bed.provider = connect(settings).await.unwrap();
    assert_eq!(bed.close("net").await.unwrap(), Removal::Gone);
}

#[tokio::test]
async fn a_volume_outlives_its_machine_and_is_closed_after_it() {
    let bed = Bed::new().await;
    let opened = bed.open("vol-data", data()).await.unwrap();
    assert_eq!(bed.open("vol-data", data()).await.unwrap(), opened);
    let table = json!({ "command": ["sleep", "1000"], "volumes": ["data:/d"] });
    let mut request = bed.request("db", table.clone()).await;
    request.scope.insert("vol-data".into(), opened.clone());
    let target = bed.run(request).await;
    bed.sh(&target, "echo kept > /d/x").await;
    assert_eq!(bed.close("vol-data").await.unwrap(), Removal::Pending);
    bed.destroy(&target).await.unwrap();
    let mut request = bed.request("db2", table).await;
    request.scope.insert("vol-data".into(), opened);
    let target = bed.run(request).await;
    assert_eq!(bed.sh(&target, "cat /d/x").await.0, "kept\n");
    bed.destroy(&target).await.unwrap();
    assert_eq!(bed.close("vol-data").await.unwrap(), Removal::Gone);
    assert_eq!(bed.close("vol-data").await.unwrap(), Removal::Gone);
}

#[tokio::test]
async fn a_volume_with_other_labels_is_a_conflict_and_stays() {
    let bed = Bed::new().await;
    let key = bed.stamp("vol-data").key.to_string();
    let request = VolumeCreateRequest {
        name: Some(key.clone()),
        ..VolumeCreateRequest::default()
    };
    bed.raw.create_volume(request).await.unwrap();
    assert_eq!(
        bed.open("vol-data", data()).await.unwrap_err().kind(),
        ErrorKind::Conflict
    );
    assert_eq!(bed.close("vol-data").await.unwrap_err().kind(), ErrorKind::Conflict);
    assert!(bed.raw.inspect_volume(&key).await.is_ok());
}
