//! Claims whose lease is over.

use std::time::Duration;

use encamp_core::{ErrorKind, Renew, Ticket, Verb};

use crate::bed::{Bed, cx, lives, now, target, text, until};

#[tokio::test(flavor = "multi_thread")]
async fn a_claim_ends_by_itself() {
    let bed = Bed::new(1).await;
    let request = bed.request("web", 0, Duration::from_secs(16));
    bed.create(&request).await.unwrap();
    let nap = format!("18{}.9", std::process::id());
    bed.run(&target(&request), &format!("setsid sleep {nap} >/dev/null 2>&1 &"))
        .await
        .unwrap();
    until(Duration::from_secs(5), "it sleeps", || lives(&nap)).await;
    // Sixteen seconds, one of grace, and the host looks every five.
    until(Duration::from_secs(45), "the host is free", || {
        text(&bed.host(0).join("record")).contains("state free")
    })
    .await;
    assert!(!lives(&nap));
    assert!(bed.keys().await.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_claim_that_is_renewed_stays() {
    let bed = Bed::new(1).await;
    let request = bed.request("web", 0, Duration::from_secs(8));
    bed.create(&request).await.unwrap();
    let renew = Renew::new(target(&request), now().plus(Duration::from_mins(10)));
    let ticket = Ticket::of_committed_intent(request.stamp.key.clone(), Verb::Renew, 1);
    bed.provider.renew(&cx(), &ticket, renew).await.unwrap();
    tokio::time::sleep(Duration::from_secs(9)).await;
    let other = bed.request("other", 0, Duration::from_mins(1));
    let refused = bed.create(&other).await.unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::Capacity, "{refused:?}");
    let says = |key: &str| {
        let mut context = refused.context();
        context.find(|(known, _)| *known == key).map(|(_, value)| value)
    };
    assert_eq!(says("by"), Some(request.stamp.key.as_str()), "{refused:?}");
    assert!(says("until").is_some(), "{refused:?}");
    tokio::time::sleep(Duration::from_secs(5)).await;
    assert_eq!(bed.keys().await.len(), 1);
}
