//! Sandboxes on this host. The program is its own helper, and runs itself once more as an ordinary user.
#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test ends where something is not as it should be; without a harness this is not known as one"
)]

mod bed;
mod cage;
mod files;
mod gate;
mod life;
mod limits;
mod network;
mod user;
mod words;

use std::path::PathBuf;
use std::process::ExitCode;

use libtest_mimic::{Arguments, Trial};

fn main() -> ExitCode {
    if let Some(request) = asked_to_be_a_shim() {
        return encamp_provider_local::shim(&request);
    }
    let arguments = Arguments::from_args();
    let mut trials: Vec<Trial> = [
        gate::trials(),
        life::trials(),
        files::trials(),
        network::trials(),
        words::trials(),
    ]
    .into_iter()
    .flatten()
    .collect();
    trials.extend(cage::trials());
    trials.extend(limits::trials());
    trials.extend(user::trials());
    libtest_mimic::run(&arguments, trials).exit_code()
}

#[expect(
    clippy::disallowed_methods,
    reason = "a program of its own, which is told by a variable what it is"
)]
fn asked_to_be_a_shim() -> Option<PathBuf> {
    let asked = std::env::var(encamp_core::helper::VARIABLE).ok()?;
    asked
        .parse::<encamp_core::helper::Asked>()
        .ok()
        .map(|asked| asked.request)
}
