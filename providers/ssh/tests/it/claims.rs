//! Many who want the same few hosts.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use encamp_core::{ErrorKind, Exit, Resolve};
use serde_json::json;

use crate::bed::{Bed, cx, target, text};

const CLAIMANTS: usize = 12;
const HOSTS: usize = 3;

/// Each writes its name into a file of the host and looks, a moment later, whether it stands there alone.
#[tokio::test(flavor = "multi_thread")]
async fn no_host_is_held_twice() {
    let bed = Arc::new(Bed::new(HOSTS).await);
    let held = Arc::new(AtomicU32::new(0));
    let one = |index: usize| {
        let (bed, held) = (Arc::clone(&bed), Arc::clone(&held));
        async move {
            let name = format!("m{index}");
            for turn in 0.. {
                let host = (index + turn) % HOSTS;
                let request = bed.request(&format!("{name}-{turn}"), host, Duration::from_mins(10));
                match bed.create(&request).await {
                    Ok(_) => {
                        let seen = bed.host(host).join("seen");
                        let script = format!(
                            "[ ! -e '{0}' ] || exit 7; echo {name} >'{0}'; sleep 0.2; read -r who <'{0}'; [ \"$who\" = {name} ] || exit 8; rm '{0}'",
                            seen.display()
                        );
                        let (exit, said) = bed.run(&target(&request), &script).await.unwrap();
                        assert_eq!(exit, Exit::Code(0), "{said}");
                        held.fetch_add(1, Ordering::Relaxed);
                        bed.destroy(&target(&request)).await.unwrap();
                        return;
                    }
                    Err(error) => {
                        assert!(
                            matches!(error.kind(), ErrorKind::Capacity)
                                || error.retryable() == encamp_core::Retry::Safe,
                            "{error:?}"
                        );
                        tokio::time::sleep(Duration::from_millis(100)).await;
                    }
                }
            }
        }
    };
    let all: Vec<_> = (0..CLAIMANTS).map(|index| tokio::spawn(one(index))).collect();
    for each in all {
        each.await.unwrap();
    }
    assert_eq!(held.load(Ordering::Relaxed), u32::try_from(CLAIMANTS).unwrap());
    assert!(bed.keys().await.is_empty());
    let epochs: u32 = (0..HOSTS)
        .map(|host| {
            let record: BTreeMap<String, String> = text(&bed.host(host).join("record"))
                .lines()
                .filter_map(|line| line.split_once(' '))
                .map(|(name, value)| (name.to_owned(), value.to_owned()))
                .collect();
            record["epoch"].parse::<u32>().unwrap()
        })
        .sum();
    assert_eq!(
        epochs,
        u32::try_from(CLAIMANTS).unwrap(),
        "each claim has an epoch of its own"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_claim_waits_for_the_lock_of_its_host() {
    let bed = Arc::new(Bed::new(1).await);
    let first = bed.request("first", 0, Duration::from_mins(10));
    bed.create(&first).await.unwrap();
    bed.destroy(&target(&first)).await.unwrap();
    let lock = std::fs::File::open(bed.host(0).join("lock")).unwrap();
    lock.lock().unwrap();
    let claiming = tokio::spawn({
        let bed = Arc::clone(&bed);
        async move { bed.create(&bed.request("second", 0, Duration::from_mins(10))).await }
    });
    let before = text(&bed.host(0).join("record"));
    tokio::time::sleep(Duration::from_secs(3)).await;
    assert_eq!(text(&bed.host(0).join("record")), before, "somebody else has the lock");
    assert!(!claiming.is_finished());
    drop(lock);
    claiming.await.unwrap().unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_host_that_has_too_little_is_not_offered() {
    let bed = Bed::new(1).await;
    let with = async |cpu: f64| {
        let mut resolve = Resolve::new(json!({}));
        resolve.needs.cpu = Some(cpu);
        bed.provider.resolve(&cx(), resolve).await
    };
    assert_eq!(with(1.0).await.unwrap().len(), 1);
    let refused = with(100_000.0).await.unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::Capacity);
    let told = refused
        .context()
        .find(|(host, _)| *host == "h0")
        .map(|(_, why)| why.to_string());
    assert!(
        told.is_some_and(|why| why.starts_with("it has ")
            && why.ends_with(" processors")
            && why != "it has 0 processors"),
        "{refused:?}"
    );
}
