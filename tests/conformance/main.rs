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
    let trials = factories.iter().flat_map(suite).collect();
    libtest_mimic::run(&Arguments::from_args(), trials).exit_code()
}
