//! Places that are kept for an environment whose machines are still to come.

use std::time::Duration;

use encamp_core::{Candidate, Capabilities, Create, ErrorKind, Reserve, Result, Verb};

use crate::bed::{Bed, expect_kind};
use crate::promise::{Outcome, Promise, ensure, promises};

/// Long enough for a case, and short enough for whoever comes after it.
const LONG: Duration = Duration::from_secs(30);
const SHORT: Duration = Duration::from_secs(2);

pub(crate) fn promises() -> [Promise; 3] {
    promises!(reservation {
        a_reserved_place_is_for_its_environment_alone if reserves, or "reserve",
        a_reservation_is_used_up_by_its_machine if reserves, or "reserve",
        a_reservation_ends_by_itself if reserves, or "reserve",
    })
}

fn reserves(capabilities: &Capabilities) -> bool {
    capabilities.offers(Verb::Reserve)
}

/// What keys of the case's environment begin with, and those of another one.
fn owners(bed: &Bed) -> Outcome<[String; 2]> {
    let other = bed.stamps.sibling()?;
    let owner = |stamps: &crate::stamps::StampMaker| stamps.prefix().of_environment(stamps.environment());
    Ok([owner(&bed.stamps), owner(&other)])
}

async fn reserve(bed: &Bed, place: &Candidate, owner: &str, span: Duration) -> Result<()> {
    let reserve = Reserve::new(place.site.clone(), place.body.clone(), owner, span);
    bed.provider.reserve(&bed.cx(), reserve).await
}

/// A request for a machine at that place.
async fn at(bed: &Bed, place: &Candidate) -> Outcome<Create> {
    let mut request = bed.request("web", bed.factory.plain()).await?;
    (request.site, request.body) = (place.site.clone(), place.body.clone());
    Ok(bed.stamps.freeze(request))
}

async fn a_reserved_place_is_for_its_environment_alone(bed: &Bed) -> Outcome {
    let [ours, theirs] = owners(bed)?;
    let place = bed.candidate(bed.factory.plain()).await?;
    let request = at(bed, &place).await?;
    reserve(bed, &place, &theirs, LONG).await?;
    // Again, as long as machines are still to come.
    reserve(bed, &place, &theirs, LONG).await?;
    let judged = async {
        expect_kind(
            reserve(bed, &place, &ours, LONG).await,
            ErrorKind::Capacity,
            "to reserve what is reserved",
        )?;
        expect_kind(
            bed.create(&request).await,
            ErrorKind::Capacity,
            "to create where it is reserved",
        )?;
        // What somebody else gives back is not theirs.
        reserve(bed, &place, &ours, Duration::ZERO).await?;
        expect_kind(
            bed.create(&request).await,
            ErrorKind::Capacity,
            "to create where it is reserved",
        )
    };
    let judged = judged.await;
    reserve(bed, &place, &theirs, Duration::ZERO).await?;
    judged?;
    bed.raise_request(&request).await?;
    Ok(())
}

async fn a_reservation_is_used_up_by_its_machine(bed: &Bed) -> Outcome {
    let [ours, theirs] = owners(bed)?;
    let place = bed.candidate(bed.factory.plain()).await?;
    reserve(bed, &place, &ours, LONG).await?;
    let target = bed.raise_request(&at(bed, &place).await?).await?;
    bed.dispose(&target).await?;
    let free = reserve(bed, &place, &theirs, LONG).await;
    reserve(bed, &place, &theirs, Duration::ZERO).await?;
    ensure!(
        free.is_ok(),
        "its machine has come and gone, and the place is still kept for it"
    );
    Ok(())
}

async fn a_reservation_ends_by_itself(bed: &Bed) -> Outcome {
    let [ours, theirs] = owners(bed)?;
    let place = bed.candidate(bed.factory.plain()).await?;
    reserve(bed, &place, &theirs, SHORT).await?;
    tokio::time::sleep(SHORT * 2).await;
    let free = reserve(bed, &place, &ours, LONG).await;
    reserve(bed, &place, &ours, Duration::ZERO).await?;
    ensure!(
        free.is_ok(),
        "a reservation of {SHORT:?} is still there after twice that"
    );
    Ok(())
}
