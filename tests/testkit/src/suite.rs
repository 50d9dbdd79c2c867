//! Runs promises: as trials of a test binary, or as a report.

use std::sync::Arc;

use libtest_mimic::{Completion, Trial};

use crate::bed::Bed;
use crate::cases::{self, KILLED};
use crate::factory::Factory;
use crate::promise::{Applies, Promise, Stop, Verdict};
use crate::report::{Report, Tried};

/// Each promise as a trial named `FACTORY::AREA::PROMISE`. What is not offered is ignored, with the reason.
///
/// Where no instance can be connected there is one trial, which fails and says why.
pub fn suite(factory: &Arc<dyn Factory>) -> Vec<Trial> {
    let name = factory.name().to_owned();
    let connected = runtime().and_then(|runtime| runtime.block_on(factory.connect()).map_err(Stop::from));
    let capabilities = match connected {
        Ok(provider) => provider.capabilities().clone(),
        Err(stop) => {
            let why = stop.to_string();
            return vec![Trial::test(format!("{name}::connects"), move || Err(why.into()))];
        }
    };
    let trial = |promise: Promise| {
        let title = format!("{name}::{}", promise.name);
        let factory = Arc::clone(factory);
        let applies = promise.applies(&capabilities);
        let trial = Trial::ignorable_test(title, move || match verdict_on(&factory, &promise, applies) {
            Verdict::Held => Ok(Completion::Completed),
            Verdict::Broken(why) => Err(why.into()),
            Verdict::NotOffered(why) => Ok(Completion::ignored_with(format!("not offered: {why}"))),
        });
        match applies {
            Applies::Yes => Some(trial),
            Applies::NotOffered(_) => Some(trial.with_kind("not offered").with_ignored_flag(true)),
            Applies::Beside => None,
        }
    };
    let all = cases::all().filter(|promise| factory.caller().is_some() || !promise.name.starts_with(KILLED));
    all.filter_map(trial).collect()
}

/// Tries every promise, one after the other.
pub async fn examine(factory: &Arc<dyn Factory>) -> Report {
    examine_only(factory, |_| true).await
}

/// Tries the promises whose names are wanted.
pub async fn examine_only(factory: &Arc<dyn Factory>, wanted: impl Fn(&str) -> bool + Send) -> Report {
    examine_until(factory, wanted, || false).await
}

/// The same, until it is to stop: the promise at hand is tried to its end, and leaves nothing.
pub async fn examine_until(
    factory: &Arc<dyn Factory>,
    wanted: impl Fn(&str) -> bool + Send,
    stop: impl Fn() -> bool + Send,
) -> Report {
    let promises: Vec<_> = cases::all().filter(|promise| wanted(promise.name)).collect();
    let mut report = Report::default();
    let capabilities = match factory.connect().await {
        Ok(provider) => provider.capabilities().clone(),
        Err(error) => {
            let verdict = Verdict::from(Stop::from(error));
            report.tried.push(Tried {
                promise: "connects".into(),
                verdict,
            });
            return report;
        }
    };
    for promise in promises {
        if stop() {
            report.is_whole = false;
            break;
        }
        let verdict = match promise.applies(&capabilities) {
            Applies::Yes => tried(factory, &promise).await,
            Applies::NotOffered(why) => Verdict::NotOffered(why.into()),
            Applies::Beside => continue,
        };
        report.tried.push(Tried {
            promise: promise.name.into(),
            verdict,
        });
    }
    report
}

/// Tries one promise on a bed of its own, and leaves nothing.
async fn tried(factory: &Arc<dyn Factory>, promise: &Promise) -> Verdict {
    let bed = match Bed::new(factory).await {
        Ok(bed) => bed,
        Err(error) => return Stop::from(error).into(),
    };
    let outcome = (promise.case)(&bed).await;
    match (outcome, bed.clean_up().await) {
        (Ok(()), Ok(())) => Verdict::Held,
        (Err(stop), Ok(())) | (Ok(()), Err(stop)) => stop.into(),
        (Err(stop), Err(left)) => Verdict::Broken(format!("{stop}; and then {left}")),
    }
}

fn verdict_on(factory: &Arc<dyn Factory>, promise: &Promise, applies: Applies) -> Verdict {
    if let Applies::NotOffered(why) = applies {
        return Verdict::NotOffered(why.into());
    }
    let simulated = factory.simulated();
    let runtime = if simulated.is_some() {
        tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .start_paused(true)
            .build()
            .map_err(Stop::from)
    } else {
        runtime()
    };
    match runtime {
        Ok(runtime) => runtime.block_on(tried(simulated.as_ref().unwrap_or(factory), promise)),
        Err(stop) => stop.into(),
    }
}

fn runtime() -> Result<tokio::runtime::Runtime, Stop> {
    Ok(tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()?)
}
