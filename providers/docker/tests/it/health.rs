//! Health checks: an image's own, and those of a table.

use encamp_core::{Health, ProviderExt, Target};
use serde_json::{Value, json};

use crate::bed::{Bed, IMAGE, cx};

async fn judged(bed: &Bed, target: &Target) -> Option<Health> {
    let judged = |seen: &encamp_core::Observed| !matches!(seen.health, Some(Health::Starting));
    bed.provider.wait(&cx(), target.clone(), &judged).await.unwrap().health
}

fn checked(check: &Value) -> Value {
    json!({ "command": ["sleep", "1000"], "healthcheck": check })
}

#[tokio::test]
async fn the_check_of_an_image_is_observed_and_its_pace_may_be_the_tables() {
    let bed = Bed::new().await;
    let folder = tempfile::tempdir().unwrap();
    let dockerfile = format!("FROM {IMAGE}\nHEALTHCHECK --interval=1h CMD test -e /tmp/well\n");
    std::fs::write(folder.path().join("Dockerfile"), dockerfile).unwrap();
    let build = json!({ "build": folder.path().to_string_lossy(), "command": ["sleep", "1000"] });
    let slow = bed.machine("slow", build.clone()).await;
    let seen = bed.provider.inspect(&cx(), slow.clone()).await.unwrap();
    assert_eq!(seen.health, Some(Health::Starting));
    let mut quick = build;
    quick["healthcheck"] = json!({ "interval": "200ms", "retries": 1 });
    let quick = bed.machine("quick", quick).await;
    assert_eq!(judged(&bed, &quick).await, Some(Health::Unhealthy { said: None }));
    bed.sh(&quick, "touch /tmp/well").await;
    let well = |seen: &encamp_core::Observed| seen.health == Some(Health::Healthy);
    bed.provider.wait(&cx(), quick.clone(), &well).await.unwrap();
    // What does not run is neither well nor ill.
    let stop = encamp_core::Stop::kill(quick.clone());
    let ticket = bed.ticket("quick", encamp_core::Verb::Stop);
    bed.provider.stop(&cx(), &ticket, stop).await.unwrap();
    assert_eq!(bed.provider.inspect(&cx(), quick).await.unwrap().health, None);
}

#[tokio::test]
async fn a_check_of_the_table_says_its_last_words() {
    let bed = Bed::new().await;
    let ill = checked(&json!({ "test": "echo no answer; exit 1", "interval": "200ms", "retries": 2 }));
    let ill = bed.machine("ill", ill).await;
    let said = Some("no answer".to_owned());
    assert_eq!(judged(&bed, &ill).await, Some(Health::Unhealthy { said }));
    let well = checked(&json!({ "test": ["test", "-d", "/tmp"], "interval": "200ms" }));
    let well = bed.machine("well", well).await;
    assert_eq!(judged(&bed, &well).await, Some(Health::Healthy));
}
