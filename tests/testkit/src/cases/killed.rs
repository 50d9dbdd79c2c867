//! Calls that are killed in the middle, and what the next ones find.

use std::collections::BTreeMap;
use std::time::Duration;

use encamp_core::{
    Capabilities, Class, Create, Cx, List, OpenScope, Phase, ProviderExt, Removal, Renew, Retry, ScopeItem, Settle,
    Site, Stop as StopRequest, Target, Verb,
};

use super::{exec, stops};
use crate::bed::{Bed, ticket, with_id};
use crate::call::{Answer, Call};
use crate::kill::Kill;
use crate::promise::{Outcome, Promise, Stop, ensure, promises};

pub(crate) fn promises() -> [Promise; 9] {
    promises!(killed {
        a_killed_create_makes_one_machine,
        a_killed_destroy_is_finished_by_the_next,
        a_killed_start_can_be_repeated if stops, or "stop",
        a_killed_stop_can_be_repeated if stops, or "stop",
        a_killed_pause_can_be_repeated if pauses, or "pause",
        a_killed_renewal_can_be_repeated if renews, or "renew",
        a_killed_look_changes_nothing,
        a_killed_command_leaves_its_machine if exec, or "exec",
        what_machines_share_is_opened_and_closed_by_the_next,
    })
}

fn pauses(capabilities: &Capabilities) -> bool {
    capabilities.offers(Verb::Pause)
}

fn renews(capabilities: &Capabilities) -> bool {
    capabilities.offers(Verb::Renew)
}

/// In how many parts of their time calls are killed that make or remove something.
const OFTEN: u32 = 6;
/// The others.
const SELDOM: u32 = 3;
/// Those whose outcome is waited for.
const ONCE: u32 = 1;
/// What a machine that is whole has among its variables.
const MARK: (&str, &str) = ("ENCAMP_TESTKIT", "whole");
const PAUSE: Duration = Duration::from_millis(50);

async fn marked(bed: &Bed, object: &str) -> Outcome<Create> {
    let mut request = bed.request(object, bed.factory.plain()).await?;
    request.env.insert(MARK.0.into(), MARK.1.into());
    Ok(bed.stamps.freeze(request))
}

async fn a_killed_create_makes_one_machine(bed: &Bed) -> Outcome {
    let often = match bed.capabilities().unknown_machine {
        Settle::Replay { .. } => OFTEN,
        Settle::Lookup { .. } => ONCE,
    };
    let rehearsal = marked(bed, "rehearsal").await?;
    let target = bed.expect(&rehearsal.stamp, &rehearsal.site);
    let kills = bed.moments(&Call::Create(Box::new(rehearsal)), often).await?;
    tokio::time::sleep(bed.visibility()).await;
    bed.dispose(&target).await?;
    for (index, kill) in kills.iter().enumerate() {
        let request = marked(bed, &format!("web-{index}")).await?;
        bed.expect(&request.stamp, &request.site);
        let made = async {
            let call = Call::Create(Box::new(request.clone()));
            bed.kill(&call, kill).await?;
            // Whoever mends it may be killed as well.
            if index % 3 == 2 {
                bed.kill(&call, &kill.again()).await?;
            }
            let target = settled(bed, &request).await?;
            is_whole(bed, &target).await?;
            is_alone(bed, &target).await?;
            bed.dispose(&target).await?;
            is_gone(bed, &target).await
        };
        made.await.map_err(|stop| stop.after(kill))?;
    }
    Ok(())
}

/// What the engine does where it does not know what became of a create.
async fn settled(bed: &Bed, request: &Create) -> Outcome<Target> {
    let key = request.stamp.key.as_str();
    if let Settle::Lookup {
        request_life,
        visibility,
    } = bed.capabilities().unknown_machine
    {
        let looking = Cx::within(request_life + visibility);
        loop {
            let listing = bed.list().await?;
            if let Some(found) = listing.found.into_iter().find(|found| found.key == key) {
                return Ok(Target::new(request.stamp.clone(), request.site.clone(), Some(found.id)));
            }
            if looking.remaining().is_zero() {
                break;
            }
            tokio::time::sleep(PAUSE).await;
        }
    }
    let created = again(bed, || bed.create(request)).await?;
    Ok(Target::new(
        request.stamp.clone(),
        request.site.clone(),
        Some(created.id),
    ))
}

/// Repeats a change as long as it says that it can be.
async fn again<T, Changing>(bed: &Bed, mut change: impl FnMut() -> Changing) -> Outcome<T>
where
    Changing: Future<Output = encamp_core::Result<T>>,
{
    let cx = bed.cx();
    loop {
        match change().await {
            Ok(answer) => return Ok(answer),
            Err(error) if error.retryable() != Retry::Never && cx.remaining() > PAUSE => {
                tokio::time::sleep(PAUSE).await;
            }
            Err(error) => return Err(Stop::from(error).after("the same call again")),
        }
    }
}

/// It runs, with all that it was to have.
async fn is_whole(bed: &Bed, target: &Target) -> Outcome {
    bed.start(target).await?;
    runs(bed, target).await?;
    if exec(bed.capabilities()) {
        let output = bed.script(target, &format!("echo \"${}\"", MARK.0)).await?;
        ensure!(
            output.text() == MARK.1,
            "the machine that was found or made by the same call again is not whole: a command in it sees {:?} instead \
             of its variable",
            output.text()
        );
    }
    Ok(())
}

async fn runs(bed: &Bed, target: &Target) -> Outcome {
    let settled =
        |observed: &encamp_core::Observed| matches!(observed.phase, Phase::Running | Phase::Stopped | Phase::Exited(_));
    let observed = bed.provider.wait(&bed.cx(), target.clone(), &settled).await;
    let observed = observed.map_err(|error| Stop::from(error).after("it does not run"))?;
    ensure!(
        observed.phase == Phase::Running,
        "the machine does not run, but is {:?}",
        observed.phase
    );
    Ok(())
}

/// It is listed once, and nothing else of its environment with it.
async fn is_alone(bed: &Bed, target: &Target) -> Outcome {
    let key = target.stamp.key.as_str();
    bed.listed(key).await?;
    let listing = bed.list().await?;
    let machines = listing.found.iter().filter(|found| found.class == Class::Machine);
    let keys: Vec<_> = machines.map(|found| found.key.as_str()).collect();
    ensure!(keys == [key], "the listing shows the machines {keys:?}");
    Ok(())
}

/// It is gone, however one asks, and has left nothing here.
async fn is_gone(bed: &Bed, target: &Target) -> Outcome {
    for id in [target.id.clone(), None] {
        let removal = bed.destroy(&with_id(target, id)).await?;
        ensure!(removal == Removal::Gone, "one more destroy says {removal:?}");
    }
    tokio::time::sleep(bed.visibility()).await;
    let key = target.stamp.key.as_str();
    let listing = bed.list().await?;
    let there = listing.found.iter().any(|found| found.key == key);
    ensure!(!there, "`destroy` says gone, and the listing still shows it");
    bed.no_process(key).await
}

async fn a_killed_destroy_is_finished_by_the_next(bed: &Bed) -> Outcome {
    let target = bed.raise("rehearsal", bed.factory.plain()).await?;
    bed.listed(target.stamp.key.as_str()).await?;
    let kills = bed.moments(&Call::Destroy(target.clone()), OFTEN).await?;
    bed.dispose(&target).await?;
    for (index, kill) in kills.iter().enumerate() {
        let target = bed.raise(&format!("web-{index}"), bed.factory.plain()).await?;
        bed.listed(target.stamp.key.as_str()).await?;
        let removed = async {
            bed.kill(&Call::Destroy(target.clone()), kill).await?;
            bed.eventually("gone", || async {
                let removal = again(bed, || bed.destroy(&target)).await?;
                Ok((removal == Removal::Gone).then_some(()))
            })
            .await?;
            is_gone(bed, &target).await
        };
        removed.await.map_err(|stop| stop.after(kill))?;
    }
    Ok(())
}

async fn a_killed_start_can_be_repeated(bed: &Bed) -> Outcome {
    let target = bed.plain().await?;
    let stop = async || {
        bed.stop(&target).await?;
        bed.wait_stopped(&target).await
    };
    let call = Call::Start(target.clone());
    stop().await?;
    for kill in bed.moments(&call, SELDOM).await? {
        stop().await?;
        let started = async {
            bed.kill(&call, &kill).await?;
            again(bed, || bed.start(&target)).await?;
            runs(bed, &target).await
        };
        started.await.map_err(|stop| stop.after(kill))?;
    }
    end(bed, &target).await
}

async fn a_killed_stop_can_be_repeated(bed: &Bed) -> Outcome {
    let target = bed.plain().await?;
    let call = Call::Stop(StopRequest::new(target.clone(), Duration::from_secs(1)));
    for kill in bed.moments(&call, SELDOM).await? {
        again(bed, || bed.start(&target)).await?;
        runs(bed, &target).await?;
        let stopped = async {
            bed.kill(&call, &kill).await?;
            again(bed, || bed.stop(&target)).await?;
            bed.wait_stopped(&target).await
        };
        stopped.await.map_err(|stop| stop.after(kill))?;
    }
    end(bed, &target).await
}

async fn a_killed_pause_can_be_repeated(bed: &Bed) -> Outcome {
    let target = bed.plain().await?;
    let call = Call::Pause(target.clone());
    for kill in bed.moments(&call, SELDOM).await? {
        again(bed, || bed.start(&target)).await?;
        runs(bed, &target).await?;
        let paused = async {
            bed.kill(&call, &kill).await?;
            again(bed, || bed.pause(&target)).await?;
            bed.wait_for(&target, &Phase::Paused).await
        };
        paused.await.map_err(|stop| stop.after(kill))?;
    }
    again(bed, || bed.start(&target)).await?;
    end(bed, &target).await
}

async fn a_killed_renewal_can_be_repeated(bed: &Bed) -> Outcome {
    let mut request = bed.request("web", bed.factory.plain()).await?;
    let life = bed.factory.bounds().running * 10;
    request.expires = Some(bed.factory.now().plus(life));
    let target = bed.raise_request(&bed.stamps.freeze(request)).await?;
    let renew = Renew::new(target.clone(), bed.factory.now().plus(life * 2));
    let call = Call::Renew(renew.clone());
    for kill in bed.moments(&call, SELDOM).await? {
        let renewed = async {
            bed.kill(&call, &kill).await?;
            let ticket = ticket(&target.stamp, Verb::Renew);
            again(bed, || async {
                bed.provider.renew(&bed.cx(), &ticket, renew.clone()).await
            })
            .await?;
            runs(bed, &target).await
        };
        renewed.await.map_err(|stop| stop.after(kill))?;
    }
    end(bed, &target).await
}

async fn end(bed: &Bed, target: &Target) -> Outcome {
    bed.dispose(target).await?;
    is_gone(bed, target).await
}

async fn a_killed_look_changes_nothing(bed: &Bed) -> Outcome {
    let target = bed.plain().await?;
    let key = target.stamp.key.as_str();
    bed.listed(key).await?;
    let list = List::new(bed.stamps.prefix()).of(bed.stamps.environment().clone());
    for call in [Call::List(list), Call::Inspect(target.clone())] {
        for kill in bed.moments(&call, SELDOM).await? {
            let looked = async {
                if let Some(Answer::Listed(keys)) = bed.kill(&call, &kill).await? {
                    ensure!(
                        keys.iter().any(|listed| listed == key),
                        "the listing is said to be complete, and shows {keys:?}"
                    );
                }
                is_alone(bed, &target).await?;
                runs(bed, &target).await
            };
            looked.await.map_err(|stop| stop.after(kill))?;
        }
    }
    end(bed, &target).await
}

async fn a_killed_command_leaves_its_machine(bed: &Bed) -> Outcome {
    let target = bed.plain().await?;
    let call = Call::Exec(bed.exec(&target, "sleep 0.2"));
    for kill in bed.moments(&call, SELDOM).await? {
        let ran = async {
            bed.kill(&call, &kill).await?;
            let output = bed.script(&target, "echo still").await?;
            ensure!(output.text() == "still", "the next command gives {output:?}");
            runs(bed, &target).await
        };
        ran.await.map_err(|stop| stop.after(kill))?;
    }
    end(bed, &target).await
}

async fn what_machines_share_is_opened_and_closed_by_the_next(bed: &Bed) -> Outcome {
    let candidate = bed.candidate(bed.factory.shares()).await?;
    if candidate.scope.is_empty() {
        return Err(Stop::NotOffered("machines share nothing".into()));
    }
    let mut kills = BTreeMap::new();
    for item in &candidate.scope {
        let request = OpenScope::new(bed.item_stamp(item), candidate.site.clone(), item.clone());
        let opens = bed.moments(&Call::OpenScope(request), ONCE).await?;
        let target = opened_once(bed, &candidate.site, item).await?;
        let closes = bed.moments(&Call::CloseScope(target.clone()), ONCE).await?;
        closed(bed, &target).await?;
        kills.insert(item.name.clone(), (opens, closes));
    }
    for item in &candidate.scope {
        let (opens, closes) = &kills[&item.name];
        let request = OpenScope::new(bed.item_stamp(item), candidate.site.clone(), item.clone());
        for (open, close) in opens.iter().zip(closes) {
            shared(bed, &request, open, close).await?;
        }
    }
    Ok(())
}

async fn shared(bed: &Bed, request: &OpenScope, open: &Kill, close: &Kill) -> Outcome {
    let opened = async {
        bed.kill(&Call::OpenScope(request.clone()), open).await?;
        if let Settle::Lookup {
            request_life,
            visibility,
        } = bed.capabilities().unknown_scope
        {
            tokio::time::sleep(request_life + visibility).await;
        }
        opened_once(bed, &request.site, &request.item).await
    };
    let target = opened.await.map_err(|stop| stop.after(open))?;
    let closing = async {
        bed.kill(&Call::CloseScope(target.clone()), close).await?;
        closed(bed, &target).await
    };
    closing.await.map_err(|stop| stop.after(close))
}

/// It is open, and listed once.
async fn opened_once(bed: &Bed, site: &Site, item: &ScopeItem) -> Outcome<Target> {
    let stamp = bed.item_stamp(item);
    let opened = bed.open(site, item.clone()).await?;
    bed.listed(stamp.key.as_str()).await?;
    let listing = bed.list().await?;
    let count = listing
        .found
        .iter()
        .filter(|found| found.key == stamp.key.as_str())
        .count();
    ensure!(count == 1, "{} is listed {count} times", item.name);
    Ok(Target::new(stamp, site.clone(), Some(opened.id)))
}

async fn closed(bed: &Bed, target: &Target) -> Outcome {
    let closing = bed.eventually("closed", || async {
        let removal = again(bed, || bed.close(target.clone())).await?;
        Ok((removal == Removal::Gone).then_some(()))
    });
    closing.await?;
    bed.forget(target);
    tokio::time::sleep(bed.visibility()).await;
    let listing = bed.list().await?;
    let there = listing.found.iter().any(|found| found.key == target.stamp.key.as_str());
    ensure!(!there, "`close_scope` says gone, and the listing still shows it");
    Ok(())
}
