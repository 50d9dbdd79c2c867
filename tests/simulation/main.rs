//! The real planner, state machine and executor against simulated infrastructure, from seeds.
//!
//! Each seed draws an infrastructure (how it settles, lags, fails), a story of commands, and the places where the
//! engine crashes. At the end, whatever happened in between, nothing of ours is left, nothing was ever there twice,
//! nothing of another's was touched, and everything that was made had been written down first.
#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a test panics where its bed is broken, and says what it covered"
)]

mod bed;
mod edits;
mod leases;
mod losses;
mod promises;
mod story;

use std::time::{Duration, Instant};

/// Seeds that the suite covers in one run.
const SEEDS: u64 = 2_000;
/// Wall budget; the suite fails when it covers less than `SEEDS` within it.
const BUDGET: Duration = Duration::from_mins(3);

/// Runs one seed and says what broke.
fn check(seed: u64) -> Result<story::Told, String> {
    let told = std::panic::catch_unwind(|| story::tell(seed));
    match told {
        Ok(Ok(told)) => Ok(told),
        Ok(Err(broken)) => Err(format!("seed {seed}: {broken}")),
        Err(panic) => {
            let text = panic
                .downcast_ref::<String>()
                .cloned()
                .or_else(|| panic.downcast_ref::<&str>().map(ToString::to_string));
            Err(format!("seed {seed} panicked: {}", text.unwrap_or_default()))
        }
    }
}

#[test]
fn every_seed_ends_clean() {
    // One seed alone, to look at it: SIMULATION_SEED=17 cargo nextest run every_seed
    #[expect(clippy::disallowed_methods, reason = "a test may be told its seed")]
    let only = std::env::var("SIMULATION_SEED")
        .ok()
        .map(|text| text.parse::<u64>().expect("a seed is a number"));
    let seeds = only.map_or(0..SEEDS, |seed| seed..seed + 1);
    #[expect(clippy::disallowed_methods, reason = "the wall budget is about real time")]
    let began = Instant::now();
    let half = seeds.start + (seeds.end - seeds.start) / 2;
    let lanes = [seeds.start..half, half..seeds.end];
    let (told, broken) = std::thread::scope(|scope| {
        let threads = lanes.map(|lane| {
            scope.spawn(move || {
                let (mut sum, mut broken) = (story::Told::default(), Vec::new());
                for seed in lane {
                    match check(seed) {
                        Ok(told) => sum.add(&told),
                        Err(text) => broken.push(text),
                    }
                    if broken.len() >= 5 || began.elapsed() > BUDGET {
                        break;
                    }
                }
                (sum, broken)
            })
        });
        let mut all = (story::Told::default(), Vec::new());
        for thread in threads {
            let (sum, broken) = thread.join().expect("a lane catches panics");
            all.0.add(&sum);
            all.1.extend(broken);
        }
        all
    });
    println!(
        "{} seeds in {:.1?}: {} commands, {} crashes, {} machines made, {} calls failed",
        told.stories,
        began.elapsed(),
        told.commands,
        told.crashes,
        told.made,
        told.failed_calls
    );
    assert!(broken.is_empty(), "\n{}", broken.join("\n"));
    assert!(
        told.stories >= seeds.end - seeds.start,
        "only {} seeds within {BUDGET:?}",
        told.stories
    );
    if only.is_none() {
        // A harness that never crashes and never fails a call proves nothing.
        assert!(told.crashes > SEEDS / 2, "{} crashes", told.crashes);
        assert!(told.failed_calls > SEEDS, "{} failed calls", told.failed_calls);
    }
}
