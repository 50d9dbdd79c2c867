//! How commands reach a machine, as data.

use encamp_core::{Access, Verb};

use crate::bed::Bed;
use crate::promise::{Outcome, Promise, ensure, promises};

pub(crate) fn promises() -> [Promise; 1] {
    promises!(access { access_fits_the_verbs })
}

async fn access_fits_the_verbs(bed: &Bed) -> Outcome {
    let target = bed.plain().await?;
    let access = bed.inspect(&target).await?.access;
    let offers = bed.capabilities().offers(Verb::Exec);
    match access {
        Access::Native => ensure!(offers, "access is native, and `exec` is not offered"),
        Access::None => ensure!(!offers, "`exec` is offered, and nothing reaches inside"),
        _ => {}
    }
    Ok(())
}
