//! What machines of an environment share.

use encamp_core::{Candidate, ErrorKind, OpenScope, Removal, ScopeItem, Target};

use super::labels;
use crate::bed::{Bed, expect_kind};
use crate::promise::{Outcome, Promise, Stop, ensure, promises};

pub(crate) fn promises() -> [Promise; 5] {
    promises!(scope {
        a_repeated_open_finds_the_same_item,
        an_open_on_what_is_foreign_is_a_conflict if labels, or "the carrier keeps the key alone",
        closing_what_never_was_says_gone,
        items_are_closed_after_their_machines,
        a_close_with_another_proof_is_a_conflict if labels, or "the carrier keeps the key alone",
    })
}

async fn items(bed: &Bed) -> Outcome<(Candidate, Vec<ScopeItem>)> {
    let candidate = bed.candidate(bed.factory.shares()).await?;
    let items = candidate.scope.clone();
    if items.is_empty() {
        return Err(Stop::NotOffered("machines share nothing".into()));
    }
    Ok((candidate, items))
}

async fn a_repeated_open_finds_the_same_item(bed: &Bed) -> Outcome {
    let (candidate, items) = items(bed).await?;
    for item in items {
        let stamp = bed.item_stamp(&item);
        let first = bed.open(&candidate.site, item.clone()).await?;
        bed.listed(stamp.key.as_str()).await?;
        let again = OpenScope::new(stamp.clone(), candidate.site.clone(), item.clone());
        let second = bed.open_again(again).await?;
        ensure!(
            second.id == first.id,
            "{} was opened as {} and then as {}",
            item.name,
            first.id,
            second.id
        );
        let listing = bed.list().await?;
        let count = listing
            .found
            .iter()
            .filter(|found| found.key == stamp.key.as_str())
            .count();
        ensure!(count == 1, "{} is listed {count} times", item.name);
    }
    Ok(())
}

async fn an_open_on_what_is_foreign_is_a_conflict(bed: &Bed) -> Outcome {
    let (candidate, items) = items(bed).await?;
    for item in items {
        let stamp = bed.item_stamp(&item);
        bed.open(&candidate.site, item.clone()).await?;
        bed.listed(stamp.key.as_str()).await?;
        let forged = OpenScope::new(bed.stamps.forged(&stamp), candidate.site.clone(), item);
        expect_kind(
            bed.open_again(forged).await,
            ErrorKind::Conflict,
            "an open under the key of something foreign",
        )?;
    }
    Ok(())
}

async fn closing_what_never_was_says_gone(bed: &Bed) -> Outcome {
    let (candidate, items) = items(bed).await?;
    for item in items {
        let target = Target::new(bed.item_stamp(&item), candidate.site.clone(), None);
        let removal = bed.close(target).await?;
        ensure!(
            removal == Removal::Gone,
            "closing {}, which never was, says {removal:?}",
            item.name
        );
    }
    Ok(())
}

async fn items_are_closed_after_their_machines(bed: &Bed) -> Outcome {
    let (_, items) = items(bed).await?;
    let request = bed.request("web", bed.factory.shares()).await?;
    let machine = bed.raise_request(&request).await?;
    bed.dispose(&machine).await?;
    for item in items {
        let stamp = bed.item_stamp(&item);
        let id = request.scope.get(&item.name).map(|opened| opened.id.clone());
        let target = Target::new(stamp.clone(), request.site.clone(), id);
        bed.eventually("closed", || async {
            let removal = bed.close(target.clone()).await?;
            Ok((removal == Removal::Gone).then_some(()))
        })
        .await?;
        let removal = bed.close(target).await?;
        ensure!(removal == Removal::Gone, "closing {} again says {removal:?}", item.name);
    }
    Ok(())
}

async fn a_close_with_another_proof_is_a_conflict(bed: &Bed) -> Outcome {
    let (candidate, items) = items(bed).await?;
    for item in items {
        let stamp = bed.item_stamp(&item);
        let opened = bed.open(&candidate.site, item.clone()).await?;
        bed.listed(stamp.key.as_str()).await?;
        let forged = Target::new(bed.stamps.forged(&stamp), candidate.site.clone(), Some(opened.id));
        expect_kind(
            bed.close(forged).await,
            ErrorKind::Conflict,
            "a close with another proof",
        )?;
        bed.listed(stamp.key.as_str()).await?;
    }
    Ok(())
}
