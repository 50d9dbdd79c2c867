//! Things that look like ours and are not: they are found unharmed at the end.

use encamp_core::{Class, ErrorKind, Phase, Stamp, Target};

use super::labels;
use crate::bed::{Bed, expect_kind, with_id};
use crate::promise::{Outcome, Promise, ensure, promises};
use crate::stamps::StampMaker;

pub(crate) fn promises() -> [Promise; 3] {
    promises!(decoys {
        copied_labels_under_another_name_are_not_ours if labels, or "the carrier keeps no labels",
        machines_of_another_controller_are_left_alone,
        machines_of_another_environment_are_left_alone,
    })
}

/// Raises a machine under a stamp.
async fn raise(bed: &Bed, stamp: Stamp) -> Outcome<Target> {
    let request = bed.request_of(stamp, "web", bed.factory.plain()).await?;
    let target = bed.raise_request(&request).await?;
    bed.listed_anywhere(&target.stamp).await?;
    Ok(target)
}

async fn unharmed(bed: &Bed, decoy: &Target) -> Outcome {
    let phase = bed.inspect(decoy).await?.phase;
    ensure!(phase == Phase::Running, "the decoy is {phase:?}");
    Ok(())
}

async fn copied_labels_under_another_name_are_not_ours(bed: &Bed) -> Outcome {
    let ours = bed.stamp("web");
    let mut copied = bed.stamp("someone-elses");
    copied.labels.clone_from(&ours.labels);
    let decoy = raise(bed, copied).await?;
    let target = Target::new(ours, decoy.site.clone(), None);
    // Nothing of ours is there: `Gone` is as true as `Conflict`.
    if let Err(error) = bed.destroy(&target).await {
        expect_kind::<()>(
            Err(error),
            ErrorKind::Conflict,
            "a destroy of what only has its labels copied",
        )?;
    }
    // An id that was recorded wrongly must not lead to it either.
    let by_id = with_id(&target, decoy.id.clone());
    if let Err(error) = bed.destroy(&by_id).await {
        expect_kind::<()>(
            Err(error),
            ErrorKind::Conflict,
            "a destroy by the id of what is foreign",
        )?;
    }
    unharmed(bed, &decoy).await
}

async fn machines_of_another_controller_are_left_alone(bed: &Bed) -> Outcome {
    let other = StampMaker::random(bed.factory.now())?;
    let decoy = raise(bed, other.stamp("web", Class::Machine, 1)).await?;
    let ours = bed.plain().await?;
    bed.dispose(&ours).await?;
    unharmed(bed, &decoy).await
}

async fn machines_of_another_environment_are_left_alone(bed: &Bed) -> Outcome {
    let other = bed.stamps.sibling()?;
    let decoy = raise(bed, other.stamp("web", Class::Machine, 1)).await?;
    let ours = bed.plain().await?;
    bed.dispose(&ours).await?;
    unharmed(bed, &decoy).await
}
