//! Ten machines on this host: up, one command each, down; beside ten processes started by hand, and beside Docker.

use std::process::{Child, Command, Stdio};
use std::time::Duration;

use encamp::Encamp;
use encamp::helper::Helper;

use crate::docker::{MACHINES, clock};
use crate::{Failure, camp, median};

/// Prints the medians of rounds in which each has its turn.
pub(crate) async fn compare(rounds: usize) -> Result<(), Failure> {
    let state = tempfile::tempdir()?;
    let helper = std::env::current_exe()?.with_file_name("encamp");
    if !helper.is_file() {
        return Err(format!("{} is not there: cargo build --release --bin encamp", helper.display()).into());
    }
    let encamp = Encamp::builder()
        .state_dir(state.path())
        .ambient(encamp::Ambient::of_process())
        .helper(Helper::new(helper))
        .keepers(false)
        .kind(encamp::docker::kind())
        .kind(encamp::local::kind())
        .instance("docker", "docker", serde_json::json!({}))
        .instance("local", "local", serde_json::json!({}))
        .open()?;
    let mut times: [Vec<Duration>; 3] = Default::default();
    // The first round warms all up and is not counted.
    for round in 0..=rounds {
        let mut took = [Duration::ZERO; 3];
        for turn in 0..3 {
            let who = (round + turn) % 3;
            let began = clock();
            match who {
                0 => by_hand()?,
                1 => camp::round(&encamp, "local", "local.command = [\"sleep\", \"600\"]").await?,
                _ => camp::round(&encamp, "docker", &camp::of_docker()).await?,
            }
            took[who] = began.elapsed();
        }
        if round > 0 {
            println!(
                "round {round}: by hand {:.2?}, local {:.2?}, docker {:.2?}",
                took[0], took[1], took[2]
            );
            times.iter_mut().zip(took).for_each(|(times, took)| times.push(took));
        }
    }
    let [by_hand, local, docker] = times.map(|times| median::of_times(&times));
    println!(
        "{MACHINES} machines, up + exec + down, {rounds} rounds: by hand {by_hand:.2?}, local {local:.2?}, docker {docker:.2?}; \
         a machine here costs {:.1?} more than a process, and {:.2} of a container (medians)",
        local.saturating_sub(by_hand) / u32::try_from(MACHINES)?,
        local.as_secs_f64() / docker.as_secs_f64()
    );
    Ok(())
}

/// Ten processes that stay, one command beside each, and the end of all.
fn by_hand() -> Result<(), Failure> {
    let start = |words: [&str; 2]| Command::new("env").args(words).stdout(Stdio::null()).spawn();
    let mut machines = (0..MACHINES)
        .map(|_| start(["sleep", "600"]))
        .collect::<Result<Vec<Child>, _>>()?;
    for _ in 0..MACHINES {
        start(["--", "true"])?.wait()?;
    }
    for machine in &mut machines {
        machine.kill()?;
        machine.wait()?;
    }
    Ok(())
}
