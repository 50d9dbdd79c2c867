//! Everything of a controller, and nothing else.

use encamp_core::{Class, EnvId, Keeps, Labels, Phase};
use serde_json::json;

use crate::bed::{Bed, cx};

#[tokio::test]
async fn everything_is_found_by_name_or_by_label_once() {
    let bed = Bed::new().await;
    let target = bed.sleeper("db").await;
    bed.create(bed.request("held", json!({})).await).await.unwrap();
    bed.open("net", json!({ "subnet": null })).await.unwrap();
    bed.open("vol-data", json!({ "volume": "data" })).await.unwrap();
    // Stripped of its labels, and renamed by somebody.
    let stripped = bed.stamp("stripped").key.to_string();
    bed.foreign(&stripped, Labels::new()).await;
    let renamed = format!("renamed-{}", bed.controller);
    bed.foreign(&renamed, bed.stamp("moved").labels).await;
    let listing = bed.provider.list(&cx(), bed.list_args()).await.unwrap();
    assert!(listing.covers(bed.provider.site()));
    let mut keys: Vec<_> = listing.found.iter().map(|found| found.key.clone()).collect();
    keys.sort();
    let key = |object: &str| bed.stamp(object).key.to_string();
    let mut expected = vec![key("db"), key("held"), key("net"), key("vol-data"), stripped, renamed];
    expected.sort();
    assert_eq!(keys, expected);
    let db = listing
        .find(bed.provider.site(), &bed.stamp("db"), Keeps::Labels)
        .unwrap();
    assert_eq!(
        (db.class, &db.phase, Some(&db.id)),
        (Class::Machine, &Phase::Running, target.id.as_ref())
    );
    let held = listing
        .find(bed.provider.site(), &bed.stamp("held"), Keeps::Labels)
        .unwrap();
    assert_eq!(held.phase, Phase::Held);
    let net = listing
        .find(bed.provider.site(), &bed.stamp("net"), Keeps::Labels)
        .unwrap();
    assert_eq!(net.class, Class::Scope);
    assert!(
        listing
            .find(bed.provider.site(), &bed.stamp("moved"), Keeps::Labels)
            .is_none()
    );
}

#[tokio::test]
async fn one_environment_is_listed_alone() {
    let bed = Bed::new().await;
    bed.create(bed.request("db", json!({})).await).await.unwrap();
    let of = |environment: EnvId| bed.list_args().of(environment);
    let ours = bed.provider.list(&cx(), of(bed.environment.clone())).await.unwrap();
    assert_eq!(ours.found.len(), 1);
    let other = bed
        .provider
        .list(&cx(), of(EnvId::new("0000000000").unwrap()))
        .await
        .unwrap();
    assert_eq!(other.found, []);
    assert!(other.covers(bed.provider.site()));
}
