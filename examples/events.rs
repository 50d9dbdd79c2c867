//! A progress display of one's own: `cargo run --example events`.
//!
//! What the program `encamp` shows, live or with `--json`, are renderings of these events; this is another one.
#![expect(clippy::print_stdout, reason = "this is what it has to say")]

use std::collections::BTreeMap;
use std::ffi::OsString;

use encamp::spec::{Environment, Machine, Step};
use encamp::{Ambient, Encamp, Event, Events, helper, local};
use tokio::sync::mpsc;

/// A group that takes its time.
fn group() -> Environment {
    let worker = Machine::new("worker", "local")
        .count(3)
        .step(Step::run("sleep 0.3; echo prepared"));
    Environment::new("group").machine(worker)
}

/// A line for each change: what every machine is at, side by side.
async fn show(mut events: mpsc::Receiver<Event>) {
    let mut all = BTreeMap::new();
    while let Some(event) = events.recv().await {
        match event {
            Event::Machine {
                machine,
                status,
                scope: false,
                ..
            } => {
                all.insert(machine, status.as_str());
                let all = all.iter().map(|(machine, status)| format!("{machine} {status:<10}"));
                println!("{}", all.collect::<Vec<_>>().join(" "));
            }
            Event::Ready { millis, .. } => println!("ready after {millis} ms"),
            Event::Disposed(disposal) => println!("{} gone after {} ms", disposal.machines, disposal.millis),
            _ => {}
        }
    }
}

async fn bring_up(camp: &Encamp) -> encamp::Result<()> {
    let (sender, events) = mpsc::channel(64);
    let work = async {
        let env = camp.up_telling(group(), Events::into_channel(sender)).await?;
        env.down().await?.must_be_clean()
    };
    // The display ends with the last sender, which is the environment's own.
    let (done, ()) = tokio::join!(work, show(events));
    done.map(drop)
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    helper::run_if_asked();
    let state = std::env::args_os()
        .nth(1)
        .unwrap_or_else(|| OsString::from("target/encamp"));
    let mut builder = Encamp::builder()
        .state_dir(state)
        .ambient(Ambient::of_process())
        .provider(local::kind());
    if let Some(this) = helper::this() {
        builder = builder.helper(this);
    }
    let camp = builder.open()?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    Ok(runtime.block_on(bring_up(&camp))?)
}
