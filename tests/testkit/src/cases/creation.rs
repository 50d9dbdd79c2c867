//! What a create makes, once.

use std::sync::Arc;

use encamp_core::{Access, ErrorKind, Exit, Phase, Target};

use super::{exec, labels, replays};
use crate::bed::{Bed, expect_kind, with_id};
use crate::promise::{Outcome, Promise, Stop, ensure, promises};

pub(crate) fn promises() -> [Promise; 11] {
    promises!(creation {
        a_created_machine_runs_after_its_start,
        a_repeated_create_finds_the_same_machine,
        a_repeated_create_through_another_instance_finds_it_too,
        creates_at_once_make_one_machine if replays, or "creates are settled by looking, so the engine sends one at a time",
        another_request_under_the_same_key_is_a_conflict if labels, or "the carrier keeps the key alone",
        a_create_on_what_is_foreign_is_a_conflict if labels, or "the carrier keeps the key alone",
        a_repeated_start_is_harmless,
        starting_what_is_absent_says_so,
        what_is_absent_is_gone,
        an_early_end_is_seen_with_its_code,
        the_environment_reaches_the_machine if exec, or "exec",
    })
}

async fn a_created_machine_runs_after_its_start(bed: &Bed) -> Outcome {
    let request = bed.request("web", bed.factory.plain()).await?;
    let created = bed.create(&request).await?;
    ensure!(!created.adopted, "a new machine was said to be adopted");
    ensure!(!created.id.is_empty(), "the machine has no id");
    ensure!(
        matches!(created.phase, Phase::Held | Phase::Starting | Phase::Running),
        "a new machine is {:?}",
        created.phase
    );
    let target = Target::new(request.stamp.clone(), request.site.clone(), Some(created.id.clone()));
    bed.start(&target).await?;
    let observed = bed.wait_for(&target, &Phase::Running).await?;
    ensure!(
        observed.id == created.id,
        "`create` said {} and `inspect` says {}",
        created.id,
        observed.id
    );
    if let Access::Ssh(ssh) = &observed.access {
        ensure!(!ssh.host_keys.is_empty(), "access over SSH without a host key");
    }
    // The id is known only after SEEN; before, the key must do.
    bed.listed(request.stamp.key.as_str()).await?;
    let by_key = bed.inspect(&with_id(&target, None)).await?;
    ensure!(
        by_key.id == created.id,
        "by its key alone it is {} and not {}",
        by_key.id,
        created.id
    );
    Ok(())
}

async fn a_repeated_create_finds_the_same_machine(bed: &Bed) -> Outcome {
    let request = bed.request("web", bed.factory.plain()).await?;
    let first = bed.create(&request).await?;
    bed.listed(request.stamp.key.as_str()).await?;
    let second = bed.create(&request).await?;
    ensure!(
        second.id == first.id,
        "the same request made {} and then {}",
        first.id,
        second.id
    );
    ensure!(second.adopted, "the repeated create does not say that it adopted");
    let target = Target::new(request.stamp.clone(), request.site.clone(), Some(first.id.clone()));
    bed.start(&target).await?;
    bed.wait_for(&target, &Phase::Running).await?;
    let third = bed.create(&request).await?;
    ensure!(
        third.id == first.id && third.adopted,
        "a running machine was not adopted: {third:?}"
    );
    only_one(bed, request.stamp.key.as_str()).await
}

async fn a_repeated_create_through_another_instance_finds_it_too(bed: &Bed) -> Outcome {
    let request = bed.request("web", bed.factory.plain()).await?;
    let first = bed.create(&request).await?;
    bed.listed(request.stamp.key.as_str()).await?;
    let other = bed.factory.connect().await?;
    let second = bed.create_by(&other, &request).await?;
    ensure!(
        second.id == first.id,
        "another instance made {} beside {}",
        second.id,
        first.id
    );
    ensure!(second.adopted, "another instance does not say that it adopted");
    only_one(bed, request.stamp.key.as_str()).await
}

async fn only_one(bed: &Bed, key: &str) -> Outcome {
    let listing = bed.list().await?;
    let count = listing.found.iter().filter(|found| found.key == key).count();
    ensure!(count == 1, "the listing shows {count} machines of one key");
    Ok(())
}

async fn creates_at_once_make_one_machine(bed: &Bed) -> Outcome {
    let request = bed.request("web", bed.factory.plain()).await?;
    let mut creates = tokio::task::JoinSet::new();
    for _ in 0..8 {
        let provider = Arc::clone(&bed.provider);
        let (request, cx) = (request.clone(), bed.cx());
        creates.spawn(async move {
            let ticket = crate::bed::ticket(&request.stamp, encamp_core::Verb::Create);
            provider.create(&cx, &ticket, request).await
        });
    }
    let mut ids = Vec::new();
    while let Some(created) = creates.join_next().await {
        let created = created.map_err(|error| Stop::Broken(format!("a create panicked: {error}")))??;
        ids.push((created.id, created.adopted));
    }
    // Notes the machine for removal, and must find it as all others did.
    ids.push((bed.create(&request).await?.id, true));
    ids.sort();
    ids.dedup_by(|left, right| left.0 == right.0);
    ensure!(ids.len() == 1, "creates at the same time made {ids:?}");
    only_one(bed, request.stamp.key.as_str()).await
}

async fn another_request_under_the_same_key_is_a_conflict(bed: &Bed) -> Outcome {
    let request = bed.request("web", bed.factory.plain()).await?;
    let target = bed.raise_request(&request).await?;
    bed.listed(request.stamp.key.as_str()).await?;
    let mut other = request.clone();
    other.env.insert("ENCAMP_TESTKIT_OTHER".into(), "1".into());
    let other = bed.stamps.freeze(other);
    expect_kind(
        bed.create(&other).await,
        ErrorKind::Conflict,
        "another request under the same key",
    )?;
    still_runs(bed, &target).await
}

async fn a_create_on_what_is_foreign_is_a_conflict(bed: &Bed) -> Outcome {
    let request = bed.request("web", bed.factory.plain()).await?;
    let mut foreign = request.clone();
    foreign.stamp = bed.stamps.forged(&request.stamp);
    let target = bed.raise_request(&bed.stamps.freeze(foreign)).await?;
    bed.listed(request.stamp.key.as_str()).await?;
    expect_kind(
        bed.create(&request).await,
        ErrorKind::Conflict,
        "a create under the key of something foreign",
    )?;
    still_runs(bed, &target).await
}

async fn still_runs(bed: &Bed, target: &Target) -> Outcome {
    let phase = bed.inspect(target).await?.phase;
    ensure!(
        phase == Phase::Running,
        "the machine that was there before is {phase:?} now"
    );
    Ok(())
}

async fn a_repeated_start_is_harmless(bed: &Bed) -> Outcome {
    let target = bed.plain().await?;
    bed.start(&target).await?;
    let observed = bed.wait_for(&target, &Phase::Running).await?;
    ensure!(
        Some(&observed.id) == target.id.as_ref(),
        "a repeated start made another machine"
    );
    Ok(())
}

async fn starting_what_is_absent_says_so(bed: &Bed) -> Outcome {
    match bed.start(&bed.absent()).await {
        // Without `Held`, `start` has nothing to do.
        Ok(()) => Err(Stop::NotOffered("`start` has nothing to do".into())),
        refused => expect_kind(refused, ErrorKind::NotFound, "the start of what is absent"),
    }
}

async fn what_is_absent_is_gone(bed: &Bed) -> Outcome {
    let phase = bed.inspect(&bed.absent()).await?.phase;
    ensure!(phase == Phase::Gone, "what never was is {phase:?}");
    Ok(())
}

async fn an_early_end_is_seen_with_its_code(bed: &Bed) -> Outcome {
    let missing = || Stop::NotOffered("no table for a machine that exits".into());
    for code in [0, 7] {
        let table = bed.factory.exits(code).ok_or_else(missing)?;
        let request = bed.request(&format!("exits-{code}"), table).await?;
        let created = bed.create(&request).await?;
        let target = Target::new(request.stamp.clone(), request.site.clone(), Some(created.id));
        bed.start(&target).await?;
        bed.wait_for(&target, &Phase::Exited(Exit::Code(code))).await?;
    }
    Ok(())
}

async fn the_environment_reaches_the_machine(bed: &Bed) -> Outcome {
    let mut request = bed.request("web", bed.factory.plain()).await?;
    let value = "two words, a $DOLLAR and an = sign";
    request.env.insert("ENCAMP_TESTKIT".into(), value.into());
    let target = bed.raise_request(&bed.stamps.freeze(request)).await?;
    let output = bed.script(&target, "echo \"$ENCAMP_TESTKIT\"").await?;
    ensure!(output.text() == value, "a command sees {:?}", output.text());
    Ok(())
}
