//! What a destroy removes, and what it leaves alone.

use encamp_core::{ErrorKind, Phase, Removal, Target};

use super::labels;
use crate::bed::{Bed, expect_kind, with_id};
use crate::promise::{Outcome, Promise, ensure, promises};

pub(crate) fn promises() -> [Promise; 7] {
    promises!(removal {
        destroying_what_never_was_says_gone,
        a_destroyed_machine_is_gone_from_a_complete_listing,
        a_repeated_destroy_says_gone,
        a_machine_that_was_never_started_can_be_destroyed,
        a_destroyed_machine_leaves_no_process_here,
        a_destroy_leaves_the_others,
        a_destroy_with_another_proof_is_a_conflict if labels, or "the carrier keeps the key alone",
    })
}

async fn destroying_what_never_was_says_gone(bed: &Bed) -> Outcome {
    let removal = bed.destroy(&bed.absent()).await?;
    ensure!(
        removal == Removal::Gone,
        "the destroy of what never was says {removal:?}"
    );
    Ok(())
}

async fn a_destroyed_machine_is_gone_from_a_complete_listing(bed: &Bed) -> Outcome {
    let target = bed.plain().await?;
    bed.listed(target.stamp.key.as_str()).await?;
    bed.dispose(&target).await?;
    let phase = bed.inspect(&target).await?.phase;
    ensure!(
        phase == Phase::Gone || !bed.visibility().is_zero(),
        "a destroyed machine is {phase:?}"
    );
    bed.eventually("gone from the listing", || async {
        let listing = bed.list().await?;
        let there = listing.found.iter().any(|found| found.key == target.stamp.key.as_str());
        ensure!(
            !there || !bed.visibility().is_zero(),
            "`destroy` says gone, and the listing still shows it"
        );
        Ok((!there).then_some(()))
    })
    .await
}

async fn a_repeated_destroy_says_gone(bed: &Bed) -> Outcome {
    let target = bed.plain().await?;
    bed.listed(target.stamp.key.as_str()).await?;
    bed.dispose(&target).await?;
    for id in [target.id.clone(), None] {
        let removal = bed.destroy(&with_id(&target, id)).await?;
        ensure!(removal == Removal::Gone, "the repeated destroy says {removal:?}");
    }
    Ok(())
}

async fn a_machine_that_was_never_started_can_be_destroyed(bed: &Bed) -> Outcome {
    let request = bed.request("web", bed.factory.plain()).await?;
    bed.create(&request).await?;
    bed.listed(request.stamp.key.as_str()).await?;
    // After a crash before SEEN the id is not known.
    let target = Target::new(request.stamp.clone(), request.site.clone(), None);
    bed.dispose(&target).await?;
    let phase = bed.inspect(&target).await?.phase;
    ensure!(
        phase == Phase::Gone || !bed.visibility().is_zero(),
        "a destroyed machine is {phase:?}"
    );
    Ok(())
}

async fn a_destroyed_machine_leaves_no_process_here(bed: &Bed) -> Outcome {
    let target = bed.plain().await?;
    bed.dispose(&target).await?;
    bed.no_process(target.stamp.key.as_str()).await
}

async fn a_destroy_leaves_the_others(bed: &Bed) -> Outcome {
    let first = bed.raise("web-0", bed.factory.plain()).await?;
    let second = bed.raise("web-1", bed.factory.plain()).await?;
    bed.dispose(&first).await?;
    let phase = bed.inspect(&second).await?.phase;
    ensure!(phase == Phase::Running, "the machine beside it is {phase:?}");
    Ok(())
}

async fn a_destroy_with_another_proof_is_a_conflict(bed: &Bed) -> Outcome {
    let target = bed.plain().await?;
    bed.listed(target.stamp.key.as_str()).await?;
    let stamp = bed.stamps.forged(&target.stamp);
    for id in [target.id.clone(), None] {
        let forged = Target::new(stamp.clone(), target.site.clone(), id);
        expect_kind(
            bed.destroy(&forged).await,
            ErrorKind::Conflict,
            "a destroy with another proof",
        )?;
    }
    let phase = bed.inspect(&target).await?.phase;
    ensure!(
        phase == Phase::Running,
        "the refused destroy left the machine {phase:?}"
    );
    Ok(())
}
