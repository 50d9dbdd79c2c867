//! Every provider against every promise of the contract.

#[cfg(feature = "docker")]
mod docker;
mod memory;

use std::process::ExitCode;
use std::sync::Arc;

use encamp_testkit::{Factory, suite};
use libtest_mimic::Arguments;

fn main() -> ExitCode {
    let mut factories: Vec<Arc<dyn Factory>> = memory::factories();
    #[cfg(feature = "docker")]
    factories.extend([docker::Docker::engine(), docker::Docker::podman()].map(|daemon| Arc::new(daemon) as _));
    let arguments = Arguments::from_args();
    // A process that keeps one promise asks the provider of that promise alone: a look at each costs a second or two.
    if let Some(promise) = arguments.filter.as_deref().filter(|_| arguments.exact) {
        factories.retain(|factory| promise.split("::").next() == Some(factory.name()));
    }
    let trials = factories.iter().flat_map(suite).collect();
    libtest_mimic::run(&arguments, trials).exit_code()
}
