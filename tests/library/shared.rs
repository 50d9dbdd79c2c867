//! One environment for several processes.

use std::time::Duration;

use encamp::{Encamp, Share, SharedGuard};

use crate::bed::{Bed, WITHIN, ended, line, pair, until};

#[tokio::test]
async fn processes_of_one_run_share() {
    let bed = Bed::new(true);
    let mut children: Vec<_> = (0..6).map(|_| bed.child("shared")).collect();
    let is_id = |line: &str| line.len() == 10;
    let ids: Vec<String> = children.iter_mut().map(|child| line(child, is_id)).collect();
    assert!(ids.iter().all(|id| *id == ids[0]), "{ids:?}");
    bed.works(2);
    // Whoever made it may die; the others still use it.
    for child in &mut children[..3] {
        child.kill().expect("it can be killed");
        ended(child);
    }
    crate::bed::nap(Duration::from_millis(600));
    bed.works(2);
    let mut next = bed.child("shared");
    assert_eq!(line(&mut next, is_id), ids[0]);
    drop(next.stdin.take());
    assert!(ended(&mut next).success());
    for child in &mut children[3..] {
        drop(child.stdin.take());
        assert!(ended(child).success());
    }
    // Their parent is this process, so that others of its run may come.
    crate::bed::nap(Duration::from_millis(600));
    bed.works(2);
    let camp = bed.open();
    let all = camp.environments().await.expect("a listing");
    assert_eq!(all.len(), 1, "{all:?}");
    camp.down(&all[0].name, encamp::Events::none()).await.expect("it goes");
    bed.is_empty_within(Duration::ZERO);
}

async fn shared(camp: &Encamp, bed: &Bed, share: Share) -> SharedGuard {
    camp.shared(pair(&bed.nap), share).await.expect("it is shared")
}

#[tokio::test]
async fn what_is_kept_goes_once_it_was_not_used_for_that_long() {
    let bed = Bed::new(true);
    let camp = bed.open();
    let share = Share::Kept(Duration::from_secs(2));
    let first = shared(&camp, &bed, share).await;
    let second = shared(&camp, &bed, share).await;
    let id = first.summary().id.clone();
    assert_eq!(second.summary().id, id);
    drop((first, second));
    let goes = Duration::from_secs(2) + WITHIN;
    until(goes, "it goes", || bed.at_work().is_empty(), String::new);
    bed.is_empty_within(WITHIN);
    assert_ne!(shared(&camp, &bed, share).await.summary().id, id);
    bed.is_empty_within(goes);
}

#[tokio::test]
async fn another_description_is_another_environment() {
    let bed = Bed::new(false);
    let camp = bed.open();
    let share = Share::Kept(Duration::ZERO);
    let one = camp.shared(pair(&bed.nap), share).await.expect("it is shared");
    let other = pair(&bed.nap).output("said", "another");
    let other = camp.shared(other, share).await.expect("it is shared");
    assert_ne!(one.summary().id, other.summary().id);
    let fresh = camp.shared(pair(&bed.nap), Share::Test).await.expect("a fresh one");
    assert_ne!(one.summary().id, fresh.summary().id);
    bed.works(6);
    drop((one, other, fresh));
    bed.works(4);
    // Without a keeper it is the next one's to end.
    drop(camp.up(pair(&bed.nap)).await.expect("it is up"));
    bed.is_empty_within(Duration::ZERO);
    // The same for others.
    let one = camp.shared(pair(&bed.nap), share).await.expect("it is shared");
    let of_binary = camp.shared(pair(&bed.nap), Share::Binary).await;
    let of_binary = of_binary.expect("it is shared");
    assert_ne!(one.summary().id, of_binary.summary().id);
    bed.works(4);
    let name = of_binary.name().to_owned();
    drop((one, of_binary));
    // This process still runs, so that nothing else would end it.
    camp.down(&name, encamp::Events::none()).await.expect("it goes");
    bed.is_empty_within(Duration::ZERO);
}
