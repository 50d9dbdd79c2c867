//! Machines whose processes stand still, and go on.

use std::time::Duration;

use encamp_core::{Capabilities, ErrorKind, Logs, Phase, Target, Verb};

use super::logs::{at_least, read, talker};
use super::{exec, labels, stops};
use crate::bed::{Bed, expect_kind};
use crate::promise::{Outcome, Promise, ensure, promises};

pub(crate) fn promises() -> [Promise; 6] {
    promises!(pause {
        a_paused_machine_stands_still_until_its_start if pauses_with_logs, or "pause and logs",
        commands_wait_for_the_start_of_a_paused_machine if pauses_with_commands, or "pause and exec",
        a_repeated_pause_is_harmless if pauses, or "pause",
        a_paused_machine_can_be_stopped if pauses_and_stops, or "pause and stop",
        pausing_what_does_not_run_says_so if pauses, or "pause",
        a_pause_with_another_proof_is_a_conflict if pauses_with_labels, or "pause, or labels",
    })
}

fn pauses(capabilities: &Capabilities) -> bool {
    capabilities.offers(Verb::Pause)
}

fn pauses_with_logs(capabilities: &Capabilities) -> bool {
    pauses(capabilities) && capabilities.offers(Verb::Logs)
}

fn pauses_with_commands(capabilities: &Capabilities) -> bool {
    pauses(capabilities) && exec(capabilities)
}

fn pauses_and_stops(capabilities: &Capabilities) -> bool {
    pauses(capabilities) && stops(capabilities)
}

fn pauses_with_labels(capabilities: &Capabilities) -> bool {
    pauses(capabilities) && labels(capabilities)
}

/// How long a machine that speaks more often than this is listened to.
const WHILE: Duration = Duration::from_millis(1500);

async fn a_paused_machine_stands_still_until_its_start(bed: &Bed) -> Outcome {
    let target = talker(bed).await?;
    at_least(bed, &target, 1).await?;
    bed.pause(&target).await?;
    bed.wait_for(&target, &Phase::Paused).await?;
    // What it said last may be written down a moment later.
    let still = || async {
        let before = read(bed, Logs::new(target.clone())).await?.len();
        tokio::time::sleep(WHILE).await;
        let after = read(bed, Logs::new(target.clone())).await?.len();
        Ok((after == before).then_some(before))
    };
    let before = bed.eventually("still while it was paused", still).await?;
    let listed = bed.listed(target.stamp.key.as_str()).await?.phase;
    ensure!(listed == Phase::Paused, "a paused machine is listed as {listed:?}");
    bed.start(&target).await?;
    let observed = bed.wait_for(&target, &Phase::Running).await?;
    ensure!(
        Some(&observed.id) == target.id.as_ref(),
        "after a pause it is another machine: {}",
        observed.id
    );
    at_least(bed, &target, before + 1).await?;
    Ok(())
}

async fn commands_wait_for_the_start_of_a_paused_machine(bed: &Bed) -> Outcome {
    let target = bed.plain().await?;
    bed.pause(&target).await?;
    let command = bed.exec(&target, "true");
    let refused = bed.provider.exec(&bed.cx(), command).await;
    expect_kind(refused, ErrorKind::Unavailable, "a command in a paused machine")?;
    bed.start(&target).await?;
    let output = bed.script(&target, "echo awake").await?;
    ensure!(output.text() == "awake", "after its start it says {output:?}");
    Ok(())
}

async fn a_repeated_pause_is_harmless(bed: &Bed) -> Outcome {
    let target = bed.plain().await?;
    bed.pause(&target).await?;
    bed.pause(&target).await?;
    bed.wait_for(&target, &Phase::Paused).await?;
    bed.start(&target).await?;
    bed.wait_for(&target, &Phase::Running).await?;
    Ok(())
}

async fn a_paused_machine_can_be_stopped(bed: &Bed) -> Outcome {
    for grace in [Duration::ZERO, Duration::from_secs(1)] {
        let target = bed
            .raise(&format!("web-{}", grace.as_secs()), bed.factory.plain())
            .await?;
        bed.pause(&target).await?;
        bed.stop_within(&target, grace).await?;
        bed.wait_stopped(&target).await?;
        bed.start(&target).await?;
        bed.wait_for(&target, &Phase::Running).await?;
        // It is destroyed as it is: paused.
        bed.pause(&target).await?;
    }
    Ok(())
}

async fn pausing_what_does_not_run_says_so(bed: &Bed) -> Outcome {
    expect_kind(
        bed.pause(&bed.absent()).await,
        ErrorKind::NotFound,
        "the pause of what is absent",
    )?;
    if !stops(bed.capabilities()) {
        return Ok(());
    }
    let target = bed.plain().await?;
    bed.stop(&target).await?;
    bed.wait_stopped(&target).await?;
    expect_kind(
        bed.pause(&target).await,
        ErrorKind::Unavailable,
        "the pause of what is stopped",
    )
}

async fn a_pause_with_another_proof_is_a_conflict(bed: &Bed) -> Outcome {
    let target = bed.plain().await?;
    let forged = Target::new(bed.stamps.forged(&target.stamp), target.site.clone(), target.id.clone());
    expect_kind(
        bed.pause(&forged).await,
        ErrorKind::Conflict,
        "a pause with another proof",
    )?;
    let phase = bed.inspect(&target).await?.phase;
    ensure!(phase == Phase::Running, "the refused pause left the machine {phase:?}");
    Ok(())
}
