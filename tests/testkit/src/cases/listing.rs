//! What a listing shows.

use encamp_core::{Class, List, Phase};

use super::labels;
use crate::bed::Bed;
use crate::promise::{Outcome, Promise, Stop, ensure, promises};
use crate::stamps::StampMaker;

pub(crate) fn promises() -> [Promise; 7] {
    promises!(listing {
        an_empty_environment_is_listed_completely,
        machines_and_scope_items_are_listed_with_key_and_class,
        what_is_listed_carries_its_labels if labels, or "the carrier keeps the key alone",
        what_cannot_be_asked_is_not_listed_as_empty,
        a_machine_is_listed_before_it_is_started,
        another_controller_sees_nothing_of_ours,
        one_environment_is_listed_alone,
    })
}

async fn an_empty_environment_is_listed_completely(bed: &Bed) -> Outcome {
    let listing = bed.list().await?;
    ensure!(
        listing.found.is_empty(),
        "a fresh environment shows {:?}",
        listing.found
    );
    Ok(())
}

async fn machines_and_scope_items_are_listed_with_key_and_class(bed: &Bed) -> Outcome {
    let request = bed.request("web", bed.factory.shares()).await?;
    let target = bed.raise_request(&request).await?;
    let found = bed.listed(target.stamp.key.as_str()).await?;
    ensure!(
        found.class == Class::Machine,
        "the machine is listed as {:?}",
        found.class
    );
    ensure!(found.site == target.site, "the machine is listed at {}", found.site);
    ensure!(
        Some(&found.id) == target.id.as_ref(),
        "the machine is listed as {}",
        found.id
    );
    ensure!(
        found.phase == Phase::Running,
        "the running machine is listed as {:?}",
        found.phase
    );
    for (name, opened) in &request.scope {
        let stamp = bed.stamps.stamp(name, Class::Scope, 1);
        let found = bed.listed(stamp.key.as_str()).await?;
        ensure!(
            found.class == Class::Scope,
            "the item {name} is listed as {:?}",
            found.class
        );
        ensure!(
            found.id == opened.id,
            "the item {name} was opened as {} and is listed as {}",
            opened.id,
            found.id
        );
    }
    Ok(())
}

async fn what_is_listed_carries_its_labels(bed: &Bed) -> Outcome {
    let request = bed.request("web", bed.factory.shares()).await?;
    bed.raise_request(&request).await?;
    let items = request.scope.keys().map(|name| bed.stamps.stamp(name, Class::Scope, 1));
    for stamp in items.chain([request.stamp.clone()]) {
        let found = bed.listed(stamp.key.as_str()).await?;
        for (name, value) in &stamp.labels {
            let kept = found.labels.get(name);
            ensure!(
                kept == Some(value),
                "the label {name} of {} is {kept:?} and not {value}",
                stamp.object()
            );
        }
        if let Some(token) = &found.token {
            ensure!(
                token == stamp.token.as_str(),
                "the token of {} is listed as {token}",
                stamp.object()
            );
        }
    }
    Ok(())
}

async fn what_cannot_be_asked_is_not_listed_as_empty(bed: &Bed) -> Outcome {
    let missing = || Stop::NotOffered("what its listing asks cannot be made to fail".into());
    let helpless = bed.factory.helpless().await.ok_or_else(missing)??;
    let target = bed.plain().await?;
    let key = target.stamp.key.as_str();
    bed.listed(key).await?;
    let all = List::new(bed.stamps.prefix()).of(bed.stamps.environment().clone());
    // To say that it cannot is right; so is everything that needs no answer.
    if let Ok(listing) = helpless.list(&bed.cx(), all).await {
        let there = listing.found.iter().any(|found| found.key == key);
        ensure!(
            there || !listing.covers(bed.provider.site()),
            "nothing that it asks is answered, and it says that it has listed everything, without the machine that is \
             there: does something swallow a failure, as `for n in $(failing)` does?"
        );
    }
    Ok(())
}

async fn a_machine_is_listed_before_it_is_started(bed: &Bed) -> Outcome {
    let request = bed.request("web", bed.factory.plain()).await?;
    let created = bed.create(&request).await?;
    let found = bed.listed(request.stamp.key.as_str()).await?;
    ensure!(
        found.id == created.id,
        "it was created as {} and is listed as {}",
        created.id,
        found.id
    );
    ensure!(
        matches!(found.phase, Phase::Held | Phase::Starting | Phase::Running),
        "before its start it is listed as {:?}",
        found.phase
    );
    Ok(())
}

async fn another_controller_sees_nothing_of_ours(bed: &Bed) -> Outcome {
    bed.raise("web", bed.factory.shares()).await?;
    let other = StampMaker::random(bed.factory.now())?;
    let listing = bed.list_of(List::new(other.prefix())).await?;
    ensure!(listing.found.is_empty(), "another controller sees {:?}", listing.found);
    Ok(())
}

async fn one_environment_is_listed_alone(bed: &Bed) -> Outcome {
    let ours = bed.plain().await?;
    let other = bed.stamps.sibling()?;
    let stamp = other.stamp("web", Class::Machine, 1);
    let request = bed.request_of(stamp, "web", bed.factory.plain()).await?;
    let theirs = bed.raise_request(&request).await?;
    bed.listed_anywhere(&theirs.stamp).await?;
    let listing = bed.list().await?;
    let keys: Vec<_> = listing
        .found
        .iter()
        .filter(|found| found.class == Class::Machine)
        .map(|found| &found.key)
        .collect();
    ensure!(
        keys == [ours.stamp.key.as_str()],
        "the listing of one environment shows the machines {keys:?}"
    );
    let listing = bed.list_of(List::new(bed.stamps.prefix())).await?;
    for key in [&ours.stamp.key, &theirs.stamp.key] {
        let there = listing.found.iter().any(|found| found.key == key.as_str());
        ensure!(there, "the listing of the whole controller lacks {key}");
    }
    Ok(())
}
