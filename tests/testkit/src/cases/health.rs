//! What a health check of a machine's image says.

use encamp_core::{Health, Observed, ProviderExt, Target};

use crate::bed::Bed;
use crate::promise::{Outcome, Promise, Stop, ensure, promises};

pub(crate) fn promises() -> [Promise; 3] {
    promises!(health {
        a_machine_without_a_health_check_has_no_health,
        a_health_check_that_holds_is_seen,
        a_health_check_that_fails_is_seen,
    })
}

async fn a_machine_without_a_health_check_has_no_health(bed: &Bed) -> Outcome {
    let target = bed.plain().await?;
    let health = bed.inspect(&target).await?.health;
    ensure!(health.is_none(), "a machine without a health check is {health:?}");
    Ok(())
}

async fn raised(bed: &Bed, holds: bool) -> Outcome<Target> {
    let missing = || Stop::NotOffered("no table for a machine with a health check".into());
    bed.raise("web", bed.factory.health(holds).ok_or_else(missing)?).await
}

/// Waits for an outcome of the check.
async fn outcome(bed: &Bed, target: &Target) -> Outcome<Option<Health>> {
    let judged = |observed: &Observed| !matches!(observed.health, Some(Health::Starting));
    let observed = bed.provider.wait(&bed.cx(), target.clone(), &judged).await?;
    Ok(observed.health)
}

async fn a_health_check_that_holds_is_seen(bed: &Bed) -> Outcome {
    let target = raised(bed, true).await?;
    let health = outcome(bed, &target).await?;
    ensure!(health == Some(Health::Healthy), "its health is {health:?}");
    Ok(())
}

async fn a_health_check_that_fails_is_seen(bed: &Bed) -> Outcome {
    let target = raised(bed, false).await?;
    let health = outcome(bed, &target).await?;
    ensure!(
        matches!(&health, Some(Health::Unhealthy { said: Some(said) }) if !said.is_empty()),
        "its health is {health:?}"
    );
    Ok(())
}
