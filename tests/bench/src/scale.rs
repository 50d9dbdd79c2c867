//! Many machines of the simulated kind in one environment, on the durable store.

use std::time::{Duration, Instant};

use encamp::memory::{self, World};
use encamp::{Encamp, Events};

use crate::{Failure, camp};

#[expect(clippy::disallowed_methods, reason = "a benchmark measures real time")]
pub(crate) fn clock() -> Instant {
    Instant::now()
}

/// Prints time and memory of each size, and the ratio of the last to the first.
pub(crate) async fn compare(sizes: &[usize]) -> Result<(), Failure> {
    let mut times: Vec<Duration> = Vec::new();
    for machines in sizes {
        let taken = once(*machines).await?;
        println!(
            "{machines} machines, up and down, SQLite store: {taken:.2?}, peak memory {} MiB",
            peak_mib().unwrap_or(0)
        );
        times.push(taken);
    }
    if let [first, .., last] = times.as_slice() {
        println!(
            "t({}) / t({}) = {:.1}",
            sizes[sizes.len() - 1],
            sizes[0],
            last.as_secs_f64() / first.as_secs_f64()
        );
    }
    Ok(())
}

async fn once(machines: usize) -> Result<Duration, Failure> {
    let state = tempfile::tempdir()?;
    let world = World::new(1);
    let settings = serde_json::json!({ "network": true, "limits": { "changes": 64, "reads": 64 } });
    let encamp = Encamp::builder()
        .state_dir(state.path())
        .kind(memory::kind(world.clone()))
        .instance("sim", "memory", settings)
        .open()?;
    let environment = camp::describe(&encamp, "sim", machines, "memory.image = \"any\"")?;
    let began = clock();
    let up = encamp.prepare_up(environment, Events::none()).await?.execute().await?;
    if !up.ready || world.machines().len() != machines {
        return Err(format!(
            "{} of {machines} machines: {:?}",
            world.machines().len(),
            up.errors.first()
        )
        .into());
    }
    let disposal = encamp.down("bench", Events::none()).await?;
    if !disposal.is_clean() || !world.standing().is_empty() {
        return Err(format!("left: {:?}", disposal.left.first()).into());
    }
    Ok(began.elapsed())
}

/// The most memory that this process ever had resident.
fn peak_mib() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find(|line| line.starts_with("VmHWM:"))?;
    line.split_whitespace()
        .nth(1)?
        .parse::<u64>()
        .ok()
        .map(|kib| kib / 1024)
}
