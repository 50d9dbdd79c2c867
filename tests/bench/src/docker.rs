//! Ten machines on Docker: up, one command each, down; beside the floor.

use std::time::{Duration, Instant};

use encamp::Encamp;

use crate::{Failure, camp, floor, median};

/// Machines in an environment.
pub(crate) const MACHINES: usize = 10;
/// Calls in flight.
pub(crate) const IN_FLIGHT: usize = 8;
/// What they are made of; `tests/parts/parts up` makes it.
pub(crate) const IMAGE: &str = "busybox:1.35";

#[expect(clippy::disallowed_methods, reason = "a benchmark measures real time")]
pub(crate) fn clock() -> Instant {
    Instant::now()
}

/// Prints the medians of paired rounds.
pub(crate) async fn compare(rounds: usize) -> Result<(), Failure> {
    let state = tempfile::tempdir()?;
    let encamp = Encamp::builder()
        .state_dir(state.path())
        .ambient(encamp::Ambient::of_process())
        .kind(encamp::docker::kind())
        .instance("docker", "docker", serde_json::json!({}))
        .open()?;
    let daemon = floor::connect().await?;
    let mut times: [Vec<Duration>; 2] = [Vec::new(), Vec::new()];
    // The first pair warms both up and is not counted.
    for round in 0..=rounds {
        let mut pair = [Duration::ZERO; 2];
        // Taking turns at being first, so that neither profits from the other's caches.
        for turn in [round % 2, (round + 1) % 2] {
            let began = clock();
            match turn {
                0 => floor::round(&daemon, round).await?,
                _ => camp::round(&encamp, "docker", &camp::of_docker()).await?,
            }
            pair[turn] = began.elapsed();
        }
        if round > 0 {
            println!(
                "round {round}: floor {:.2?}, encamp {:.2?}, ratio {:.2}",
                pair[0],
                pair[1],
                ratio(pair)
            );
            times[0].push(pair[0]);
            times[1].push(pair[1]);
        }
    }
    let ratios: Vec<f64> = times[0]
        .iter()
        .zip(&times[1])
        .map(|(floor, encamp)| ratio([*floor, *encamp]))
        .collect();
    println!(
        "{MACHINES} machines, up + exec + down, {rounds} paired rounds: floor {:.2?}, encamp {:.2?}, ratio {:.3} (medians)",
        median::of_times(&times[0]),
        median::of_times(&times[1]),
        median::of_ratios(&ratios)
    );
    Ok(())
}

fn ratio([floor, encamp]: [Duration; 2]) -> f64 {
    encamp.as_secs_f64() / floor.as_secs_f64()
}
