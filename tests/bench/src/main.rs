//! What encamp costs beside the calls that it cannot do without. Prints ratios; asserts nothing about time.
#![expect(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a benchmark prints its figures"
)]

mod camp;
mod docker;
mod floor;
mod hosts;
mod local;
mod median;
mod plan;
mod scale;

use std::process::ExitCode;

/// What a benchmark fails with.
type Failure = Box<dyn std::error::Error + Send + Sync>;

#[tokio::main]
async fn main() -> ExitCode {
    let mut arguments = std::env::args().skip(1);
    let which = arguments.next();
    let numbers: Vec<usize> = arguments.filter_map(|text| text.parse().ok()).collect();
    let done = match which.as_deref() {
        Some("docker") => docker::compare(numbers.first().copied().unwrap_or(8)).await,
        Some("local") => local::compare(numbers.first().copied().unwrap_or(8)).await,
        Some("scale") => scale::compare(if numbers.is_empty() { &[1_000, 10_000] } else { &numbers }).await,
        Some("hosts") => hosts::compare(if numbers.is_empty() { &[20, 50] } else { &numbers }).await,
        Some("plan") => plan::print(numbers.first().copied().unwrap_or(10_000)).await,
        _ => Err("usage: encamp-bench docker [ROUNDS] | local [ROUNDS] | hosts [HOSTS …] | scale [MACHINES …] | plan [MACHINES]".into()),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}
