//! Every provider against every promise of the contract.

mod desk;
#[cfg(feature = "docker")]
mod docker;
#[cfg(all(feature = "local", target_os = "linux"))]
mod local;
mod memory;
#[cfg(feature = "script")]
mod script;
#[cfg(feature = "ssh")]
mod ssh;

use std::process::ExitCode;
use std::sync::Arc;

use encamp_testkit::{Factory, suite};
use libtest_mimic::{Arguments, Trial};

fn main() -> ExitCode {
    #[cfg(all(feature = "local", target_os = "linux"))]
    if let Some(request) = asked_to_be_a_shim() {
        return encamp_provider_local::shim(&request);
    }
    let mut factories: Vec<Arc<dyn Factory>> = memory::factories();
    #[cfg(feature = "docker")]
    factories.extend([docker::Docker::engine(), docker::Docker::podman()].map(|daemon| Arc::new(daemon) as _));
    #[cfg(all(feature = "local", target_os = "linux"))]
    factories.extend(local::Local::all().into_iter().map(|local| Arc::new(local) as _));
    #[cfg(feature = "script")]
    factories.extend([script::Script::yard(), script::Script::nspawn()].map(|script| Arc::new(script) as _));
    #[cfg(feature = "ssh")]
    factories.push(Arc::new(ssh::Hosts::default()));
    match desk::Desk::new() {
        Ok(desk) => factories.push(Arc::new(desk)),
        Err(error) => panic!("no folder for desks: {error}"),
    }
    let arguments = Arguments::from_args();
    // A process that keeps one promise asks the provider of that promise alone: a look at each costs a second or two.
    if let Some(promise) = arguments.filter.as_deref().filter(|_| arguments.exact) {
        factories.retain(|factory| promise.split("::").next() == Some(factory.name()));
    }
    let mut trials: Vec<Trial> = factories.iter().flat_map(suite).collect();
    // It was listed, and a provider that cannot be connected now has none: nothing to run would be taken for well done.
    if let Some(promise) = arguments.filter.as_deref().filter(|_| arguments.exact)
        && trials.iter().all(|trial| trial.name() != promise)
    {
        let kept = promise.split("::").next().unwrap_or_default();
        let why = format!("there is no such promise now: `{kept}::connects` says why");
        trials.push(Trial::test(promise, move || Err(why.into())));
    }
    libtest_mimic::run(&arguments, trials).exit_code()
}

/// This program is its own helper.
#[cfg(all(feature = "local", target_os = "linux"))]
#[expect(
    clippy::disallowed_methods,
    reason = "a program of its own, which is told by a variable what it is"
)]
fn asked_to_be_a_shim() -> Option<std::path::PathBuf> {
    let asked = std::env::var(encamp_core::helper::VARIABLE).ok()?;
    asked
        .parse::<encamp_core::helper::Asked>()
        .ok()
        .map(|asked| asked.request)
}
