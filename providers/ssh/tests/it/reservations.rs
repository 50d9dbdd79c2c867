//! A place that is kept for an environment whose machines are still to come.

use std::time::Duration;

use encamp_core::{Cx, ErrorKind, Reserve, Resolve, Site};
use serde_json::json;

use crate::bed::{Bed, ENVIRONMENT, cx, target};

const LONG: Duration = Duration::from_mins(1);
const OTHER: &str = "ec-abcdef-0000000000-";

fn reserve(bed: &Bed, owner: &str, span: Duration) -> Reserve {
    let site = Site::new(format!("ssh:127.0.0.1:{}", bed.lab.ports[0]));
    Reserve::new(site, json!({ "host": "h0" }), owner, span)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_kept_place_is_for_its_environment_alone() {
    let bed = Bed::new(1).await;
    let ours = format!("ec-abcdef-{ENVIRONMENT}-");
    bed.provider.reserve(&cx(), reserve(&bed, OTHER, LONG)).await.unwrap();
    // Again, which lengthens it; but not for others.
    bed.provider.reserve(&cx(), reserve(&bed, OTHER, LONG)).await.unwrap();
    let refused = bed
        .provider
        .reserve(&cx(), reserve(&bed, &ours, LONG))
        .await
        .unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::Capacity);
    let request = bed.request("m", 0, LONG);
    let refused = bed.create(&request).await.unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::Capacity);
    assert!(
        encamp_core::Report(&refused).to_string().contains("kept for another"),
        "{refused:?}"
    );
    // Others see why; whoever it is kept for sees it free.
    let of_others = bed.resolve(json!({})).await.unwrap();
    assert!(of_others[0].taken.as_ref().unwrap().contains(OTHER), "{of_others:?}");
    let mut resolve = Resolve::new(json!({}));
    resolve.owner = Some(OTHER.to_owned());
    assert_eq!(bed.provider.resolve(&cx(), resolve).await.unwrap()[0].taken, None);
    // What others give back is not theirs; what is given back is free.
    bed.provider
        .reserve(&cx(), reserve(&bed, &ours, Duration::ZERO))
        .await
        .unwrap();
    assert!(bed.create(&request).await.is_err());
    bed.provider
        .reserve(&cx(), reserve(&bed, OTHER, Duration::ZERO))
        .await
        .unwrap();
    bed.create(&request).await.unwrap();
    let refused = bed
        .provider
        .reserve(&cx(), reserve(&bed, OTHER, LONG))
        .await
        .unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::Capacity);
    bed.destroy(&target(&request)).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_kept_place_is_used_up_by_its_machine_and_ends_by_itself() {
    let bed = Bed::new(1).await;
    let ours = format!("ec-abcdef-{ENVIRONMENT}-");
    bed.provider.reserve(&cx(), reserve(&bed, &ours, LONG)).await.unwrap();
    let request = bed.request("m", 0, LONG);
    bed.create(&request).await.unwrap();
    let kept = std::fs::read_to_string(bed.host(0).join("reserved")).unwrap();
    assert_eq!(kept, "", "it is kept still");
    // One more machine of the same environment may follow on it.
    bed.provider.reserve(&cx(), reserve(&bed, &ours, LONG)).await.unwrap();
    bed.provider
        .reserve(&cx(), reserve(&bed, &ours, Duration::ZERO))
        .await
        .unwrap();
    bed.destroy(&target(&request)).await.unwrap();
    bed.provider.reserve(&cx(), reserve(&bed, OTHER, LONG)).await.unwrap();
    let again = bed.request("n", 0, LONG);
    bed.create(&again).await.unwrap_err();
    // A shorter one takes its place, and ends by itself.
    let short = Duration::from_secs(1);
    bed.provider.reserve(&cx(), reserve(&bed, OTHER, short)).await.unwrap();
    let deadline = Cx::within(LONG / 2);
    while let Err(error) = bed.create(&again).await {
        assert_eq!(error.kind(), ErrorKind::Capacity, "{error:?}");
        assert!(!deadline.remaining().is_zero(), "it is kept still: {error:?}");
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    bed.destroy(&target(&again)).await.unwrap();
}
