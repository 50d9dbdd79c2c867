//! Stop and start again, snapshots, death dates.

use std::time::Duration;

use encamp_core::{
    Capabilities, Class, ErrorKind, Exit, Image, Logs, Phase, Renew, Resolve, SelfExpiry, Target, Time, Verb,
};

use super::logs::{at_least, read};
use super::{exec, labels, stops};
use crate::bed::{Bed, expect_kind, ticket};
use crate::promise::{Outcome, Promise, Stop, ensure, promises};

pub(crate) fn promises() -> [Promise; 10] {
    promises!(life {
        a_stopped_machine_starts_again if stops, or "stop",
        files_survive_a_stop if stops_with_commands, or "stop and exec",
        a_repeated_stop_is_harmless if stops, or "stop",
        a_stop_asks_and_a_kill_does_not if stops_with_logs, or "stop and logs",
        changing_what_is_absent_says_so if stops, or "stop",
        a_stop_or_start_with_another_proof_is_a_conflict if stops_with_labels, or "stop, or labels",
        a_snapshot_carries_the_files if snapshots, or "snapshot and exec",
        a_snapshot_says_which_folders_it_is_without if snapshots, or "snapshot and exec",
        a_machine_ends_by_itself if expires, or "machines do not end by themselves",
        a_renewed_machine_lives_on if renews, or "renew",
    })
}

fn stops_with_commands(capabilities: &Capabilities) -> bool {
    stops(capabilities) && exec(capabilities)
}

fn stops_with_logs(capabilities: &Capabilities) -> bool {
    stops(capabilities) && capabilities.offers(Verb::Logs)
}

fn stops_with_labels(capabilities: &Capabilities) -> bool {
    stops(capabilities) && labels(capabilities)
}

fn snapshots(capabilities: &Capabilities) -> bool {
    capabilities.offers(Verb::Snapshot) && exec(capabilities)
}

fn expires(capabilities: &Capabilities) -> bool {
    capabilities.self_expiry != SelfExpiry::None
}

fn renews(capabilities: &Capabilities) -> bool {
    capabilities.offers(Verb::Renew)
}

async fn a_stopped_machine_starts_again(bed: &Bed) -> Outcome {
    let target = bed.plain().await?;
    bed.stop(&target).await?;
    bed.wait_stopped(&target).await?;
    bed.start(&target).await?;
    let observed = bed.wait_for(&target, &Phase::Running).await?;
    ensure!(
        Some(&observed.id) == target.id.as_ref(),
        "after a stop it is another machine: {}",
        observed.id
    );
    Ok(())
}

async fn files_survive_a_stop(bed: &Bed) -> Outcome {
    let target = bed.plain().await?;
    let folder = bed.folder(&target);
    let path = format!("{folder}/kept");
    bed.script(&target, &format!("mkdir -p {folder}; echo kept > {path}"))
        .await?;
    bed.stop(&target).await?;
    bed.wait_stopped(&target).await?;
    bed.start(&target).await?;
    bed.wait_for(&target, &Phase::Running).await?;
    let output = bed.script(&target, &format!("cat {path}")).await?;
    ensure!(output.text() == "kept", "after a stop the file holds {output:?}");
    Ok(())
}

async fn a_repeated_stop_is_harmless(bed: &Bed) -> Outcome {
    let target = bed.plain().await?;
    bed.stop(&target).await?;
    bed.wait_stopped(&target).await?;
    bed.stop(&target).await?;
    bed.wait_stopped(&target).await
}

async fn a_stop_asks_and_a_kill_does_not(bed: &Bed) -> Outcome {
    const BEGUN: &str = "begun";
    const ASKED: &str = "asked to end";
    let missing = || Stop::NotOffered("no table for a machine that says when it is asked to end".into());
    for (object, grace, said) in [
        ("asked", Duration::from_secs(10), &[BEGUN, ASKED][..]),
        ("killed", Duration::ZERO, &[BEGUN][..]),
    ] {
        let table = bed.factory.heeds(BEGUN, ASKED).ok_or_else(missing)?;
        let target = bed.raise(object, table).await?;
        at_least(bed, &target, 1).await?;
        bed.stop_within(&target, grace).await?;
        bed.wait_stopped(&target).await?;
        let lines = read(bed, Logs::new(target)).await?;
        ensure!(lines == said, "after a stop within {grace:?} it has said {lines:?}");
    }
    Ok(())
}

async fn changing_what_is_absent_says_so(bed: &Bed) -> Outcome {
    expect_kind(
        bed.stop(&bed.absent()).await,
        ErrorKind::NotFound,
        "the stop of what is absent",
    )
}

async fn a_stop_or_start_with_another_proof_is_a_conflict(bed: &Bed) -> Outcome {
    let target = bed.plain().await?;
    let forged = Target::new(bed.stamps.forged(&target.stamp), target.site.clone(), target.id.clone());
    expect_kind(
        bed.stop(&forged).await,
        ErrorKind::Conflict,
        "a stop with another proof",
    )?;
    let phase = bed.inspect(&target).await?.phase;
    ensure!(phase == Phase::Running, "the refused stop left the machine {phase:?}");
    bed.stop(&target).await?;
    bed.wait_stopped(&target).await?;
    expect_kind(
        bed.start(&forged).await,
        ErrorKind::Conflict,
        "a start with another proof",
    )?;
    let phase = bed.inspect(&target).await?.phase;
    ensure!(phase != Phase::Running, "the refused start left the machine {phase:?}");
    Ok(())
}

async fn a_snapshot_carries_the_files(bed: &Bed) -> Outcome {
    let target = bed.plain().await?;
    // Not in a folder that is memory, or kept out of images otherwise.
    bed.script(&target, "echo carried > /carried").await?;
    let stamp = bed.stamps.stamp("picture", Class::Image, 1);
    let name = format!("encamp-testkit/{}:1", bed.stamps.environment());
    let image = bed.snapshot(&target, stamp.clone(), &name).await?;
    tokio::time::sleep(bed.visibility()).await;
    let again = bed.snapshot(&target, stamp, &name).await?;
    ensure!(
        again.id == image.id,
        "the same snapshot is {} and then {}",
        image.id,
        again.id
    );
    let copy = copy_of(bed, image).await?;
    let output = bed.script(&copy, "cat /carried").await?;
    ensure!(output.text() == "carried", "a machine of the snapshot has {output:?}");
    bed.dispose(&copy).await
}

/// A machine of an image.
async fn copy_of(bed: &Bed, image: Image) -> Outcome<Target> {
    let mut resolve = Resolve::new(bed.factory.plain());
    resolve.image = Some(image);
    let candidates = bed.provider.resolve(&bed.cx(), resolve).await?;
    let first = candidates.into_iter().next();
    let candidate = first.ok_or_else(|| Stop::Broken("nothing can be made of the snapshot".into()))?;
    let candidate = bed.provider.prepare(&bed.cx(), candidate).await?;
    let mut request = bed.request("copy", bed.factory.plain()).await?;
    request.body = candidate.body;
    bed.raise_request(&bed.stamps.freeze(request)).await
}

async fn a_snapshot_says_which_folders_it_is_without(bed: &Bed) -> Outcome {
    let folder = bed.factory.shared_folder();
    let folder = folder.ok_or_else(|| Stop::NotOffered("no folder is kept out of images".into()))?;
    let target = bed.raise("keeper", bed.factory.shares()).await?;
    bed.script(&target, &format!("echo kept > {folder}/kept")).await?;
    let stamp = bed.stamps.stamp("picture", Class::Image, 1);
    let name = format!("encamp-testkit/{}:2", bed.stamps.environment());
    let image = bed.snapshot(&target, stamp, &name).await?;
    ensure!(
        image.without.iter().any(|without| without == folder),
        "the image says that it is without {:?}, and not {folder}",
        image.without
    );
    tokio::time::sleep(bed.visibility()).await;
    let copy = copy_of(bed, image).await?;
    let output = bed.script(&copy, &format!("cat {folder}/kept")).await?;
    ensure!(
        output.exit != Exit::Code(0),
        "what the image is said to be without is in it: {output:?}"
    );
    bed.dispose(&copy).await
}

/// How long a machine of these cases is to live, at least.
const LIFE: Duration = Duration::from_secs(4);
/// How long a host may hold on to a machine whose lease is over, beside what takes longest: the grace of a minute that is
/// usual, and until it looks again.
const GRACE: Duration = Duration::from_secs(75);

/// A machine that lives so long, and is renewed to a later time while it does, where there is one. On a busy host that may
/// come too late, which tells nothing: then another one lives longer.
async fn mortal(bed: &Bed, later: Option<Time>) -> Outcome<(Target, Duration)> {
    let mut life = LIFE;
    loop {
        let mut request = bed
            .request(&format!("web-{}", life.as_secs()), bed.factory.plain())
            .await?;
        let expires = bed.factory.now().plus(life);
        request.expires = Some(expires);
        let request = bed.stamps.freeze(request);
        let raising = async {
            let target = bed.raise_request(&request).await?;
            if let Some(later) = later {
                renew(bed, &target, later).await?;
            }
            Ok(target)
        };
        let raised: Outcome<_> = raising.await;
        if bed.factory.now() < expires || life > LIFE {
            return Ok((raised?, life));
        }
        bed.dispose(&Target::new(request.stamp, request.site, None)).await?;
        life *= 4;
    }
}

async fn renew(bed: &Bed, target: &Target, later: Time) -> encamp_core::Result<()> {
    let ticket = ticket(&target.stamp, Verb::Renew);
    let renew = Renew::new(target.clone(), later);
    bed.provider.renew(&bed.cx(), &ticket, renew).await
}

async fn a_machine_ends_by_itself(bed: &Bed) -> Outcome {
    let (target, _) = mortal(bed, None).await?;
    let later = match bed.capabilities().self_expiry {
        SelfExpiry::Host => GRACE,
        _ => Duration::ZERO,
    };
    bed.later("gone by itself", later, || async {
        let phase = bed.inspect(&target).await?.phase;
        Ok(matches!(phase, Phase::Gone | Phase::Dying | Phase::Exited(_) | Phase::Stopped).then_some(()))
    })
    .await
}

async fn a_renewed_machine_lives_on(bed: &Bed) -> Outcome {
    let later = bed.factory.now().plus(LIFE * 100);
    let (target, life) = mortal(bed, Some(later)).await?;
    tokio::time::sleep(life + Duration::from_secs(1)).await;
    let phase = bed.inspect(&target).await?.phase;
    ensure!(phase == Phase::Running, "the renewed machine is {phase:?}");
    let renewed = renew(bed, &bed.absent(), later).await;
    expect_kind(renewed, ErrorKind::NotFound, "renewing what is absent")
}
