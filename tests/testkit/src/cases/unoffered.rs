//! What is not declared answers `Unsupported`.

use std::sync::Arc;
use std::time::Duration;

use encamp_core::layers::{Options, stack};
use encamp_core::{
    Capabilities, Class, CopyIn, CopyOut, Dial, ErrorKind, Exec, InstanceName, Listen, Logs, Mount, Renew, Signal,
    Size, Snapshot, Stop as StopRequest, Verb,
};

use crate::bed::{Bed, expect_kind, ticket};
use crate::promise::{Outcome, Promise, Stop, ensure, promises};

pub(crate) fn promises() -> [Promise; 14] {
    promises!(unoffered {
        stop_is_unsupported if |c| lacks(c, Verb::Stop), or "stop is offered",
        pause_is_unsupported if |c| lacks(c, Verb::Pause), or "pause is offered",
        mounts_are_invalid if lacks_mounts, or "mounts are offered",
        renew_is_unsupported if |c| lacks(c, Verb::Renew), or "renew is offered",
        snapshot_is_unsupported if |c| lacks(c, Verb::Snapshot), or "snapshot is offered",
        exec_is_unsupported if |c| lacks(c, Verb::Exec), or "exec is offered",
        copy_in_is_unsupported if |c| lacks(c, Verb::CopyIn), or "copy_in is offered",
        copy_out_is_unsupported if |c| lacks(c, Verb::CopyOut), or "copy_out is offered",
        dial_is_unsupported if |c| lacks(c, Verb::Dial), or "dial is offered",
        listen_is_unsupported if |c| lacks(c, Verb::Listen), or "listen is offered",
        logs_are_unsupported if |c| lacks(c, Verb::Logs), or "logs are offered",
        signals_are_unsupported if lacks_signals, or "signals are offered",
        terminals_are_unsupported if lacks_terminals, or "terminals are offered",
        further_ways_to_read_logs_are_unsupported if lacks_log_details, or "logs can be followed and begun at a moment",
    })
}

fn lacks(capabilities: &Capabilities, verb: Verb) -> bool {
    !capabilities.offers(verb)
}

fn lacks_mounts(capabilities: &Capabilities) -> bool {
    !capabilities.mounts
}

fn lacks_signals(capabilities: &Capabilities) -> bool {
    capabilities.offers(Verb::Exec) && !capabilities.signals
}

fn lacks_terminals(capabilities: &Capabilities) -> bool {
    capabilities.offers(Verb::Exec) && !capabilities.tty
}

fn lacks_log_details(capabilities: &Capabilities) -> bool {
    capabilities.offers(Verb::Logs) && !(capabilities.logs.follow && capabilities.logs.since)
}

fn refused<T>(answer: encamp_core::Result<T>, verb: Verb) -> Outcome {
    expect_kind(
        answer,
        ErrorKind::Unsupported,
        &format!("`{verb}`, which is not declared,"),
    )
}

async fn stop_is_unsupported(bed: &Bed) -> Outcome {
    let target = bed.plain().await?;
    let ticket = ticket(&target.stamp, Verb::Stop);
    let stop = StopRequest::new(target, Duration::ZERO);
    refused(bed.provider.stop(&bed.cx(), &ticket, stop).await, Verb::Stop)
}

async fn pause_is_unsupported(bed: &Bed) -> Outcome {
    let target = bed.plain().await?;
    refused(bed.pause(&target).await, Verb::Pause)
}

/// A provider that knows nothing of mounts would leave them out, so the layers around it refuse them.
async fn mounts_are_invalid(bed: &Bed) -> Outcome {
    let mut request = bed.request("web", bed.factory.plain()).await?;
    request.mounts.push(Mount::read_only("/", "/mnt"));
    let request = bed.stamps.freeze(request);
    let name = InstanceName::new("conformance").map_err(|error| Stop::Broken(error.to_string()))?;
    let layered = stack(Arc::clone(&bed.provider), Options::new(name));
    expect_kind(
        bed.create_by(&layered, &request).await,
        ErrorKind::Invalid,
        "a request with mounts, which are not declared,",
    )?;
    let listing = bed.list().await?;
    let made = listing
        .found
        .iter()
        .any(|found| found.key == request.stamp.key.as_str());
    ensure!(!made, "the refused request made a machine");
    Ok(())
}

async fn renew_is_unsupported(bed: &Bed) -> Outcome {
    let target = bed.plain().await?;
    let ticket = ticket(&target.stamp, Verb::Renew);
    let renew = Renew::new(target, bed.factory.now());
    refused(bed.provider.renew(&bed.cx(), &ticket, renew).await, Verb::Renew)
}

async fn snapshot_is_unsupported(bed: &Bed) -> Outcome {
    let target = bed.plain().await?;
    let stamp = bed.stamps.stamp("picture", Class::Image, 1);
    let ticket = ticket(&stamp, Verb::Snapshot);
    let snapshot = Snapshot::new(stamp, target, "encamp-testkit/unoffered:1");
    refused(
        bed.provider.snapshot(&bed.cx(), &ticket, snapshot).await,
        Verb::Snapshot,
    )
}

async fn exec_is_unsupported(bed: &Bed) -> Outcome {
    let exec = Exec::new(bed.plain().await?, ["true"]);
    refused(bed.provider.exec(&bed.cx(), exec).await, Verb::Exec)
}

async fn copy_in_is_unsupported(bed: &Bed) -> Outcome {
    let copy = CopyIn::new(bed.plain().await?, bed.factory.folder());
    refused(
        bed.provider
            .copy_in(&bed.cx(), copy, Box::pin(tokio::io::empty()))
            .await,
        Verb::CopyIn,
    )
}

async fn copy_out_is_unsupported(bed: &Bed) -> Outcome {
    let copy = CopyOut::new(bed.plain().await?, bed.factory.folder());
    refused(bed.provider.copy_out(&bed.cx(), copy).await, Verb::CopyOut)
}

async fn dial_is_unsupported(bed: &Bed) -> Outcome {
    let dial = Dial::new(bed.plain().await?, 7007);
    refused(bed.provider.dial(&bed.cx(), dial).await, Verb::Dial)
}

async fn listen_is_unsupported(bed: &Bed) -> Outcome {
    let listen = Listen::new(bed.plain().await?, 7007);
    refused(bed.provider.listen(&bed.cx(), listen).await, Verb::Listen)
}

async fn logs_are_unsupported(bed: &Bed) -> Outcome {
    let logs = Logs::new(bed.plain().await?);
    refused(bed.provider.logs(&bed.cx(), logs).await, Verb::Logs)
}

async fn signals_are_unsupported(bed: &Bed) -> Outcome {
    let target = bed.plain().await?;
    let mut process = bed.provider.exec(&bed.cx(), bed.exec(&target, "sleep 1")).await?;
    expect_kind(
        process.control.signal(Signal::Term).await,
        ErrorKind::Unsupported,
        "a signal, which is not declared,",
    )
}

async fn terminals_are_unsupported(bed: &Bed) -> Outcome {
    let target = bed.plain().await?;
    let mut exec = bed.exec(&target, "true");
    exec.tty = Some(Size::new(24, 80));
    refused(bed.provider.exec(&bed.cx(), exec).await, Verb::Exec)
}

async fn further_ways_to_read_logs_are_unsupported(bed: &Bed) -> Outcome {
    let target = bed.plain().await?;
    let detail = bed.capabilities().logs;
    let mut follow = Logs::new(target);
    let mut since = follow.clone();
    follow.follow = true;
    since.since = Some(bed.factory.now());
    for (logs, declared) in [(follow, detail.follow), (since, detail.since)] {
        if !declared {
            refused(bed.provider.logs(&bed.cx(), logs).await, Verb::Logs)?;
        }
    }
    ensure!(!(detail.follow && detail.since), "everything is declared");
    Ok(())
}
