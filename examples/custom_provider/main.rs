//! A kind of machines that a program brings itself: `cargo run --example custom_provider`. The whole kind is `desk`; the
//! suite that every provider has to pass tries it as well.
#![expect(clippy::print_stdout, reason = "this is what it has to say")]

mod desk;

use std::ffi::OsString;
use std::sync::Arc;

use encamp::spec::{Environment, Machine};
use encamp::{Ambient, Encamp, Kind, helper};
use serde_json::json;

fn kinds() -> Vec<Arc<dyn Kind>> {
    vec![desk::kind()]
}

async fn furnish(camp: &Encamp) -> encamp::Result<()> {
    let desk = |name: &str| Machine::new(name, "desk").table_json("desk", json!({ "note": format!("of {name}") }));
    let office = Environment::new("office")
        .machine(desk("ada"))
        .machine(desk("grace").count(2));
    let env = camp.up(office).await?;
    for desk in env.machines() {
        let note = camp.state_dir().join("desks").join(desk.key()).join("note");
        println!("{}: {}", desk.name(), std::fs::read_to_string(note).unwrap_or_default());
    }
    env.down().await?.must_be_clean()?;
    println!("the office is empty");
    Ok(())
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    // A keeper has to know the kind as well.
    helper::run_if_asked_with(kinds());
    let state = std::env::args_os()
        .nth(1)
        .unwrap_or_else(|| OsString::from("target/encamp"));
    let mut builder = Encamp::builder().state_dir(state).ambient(Ambient::of_process());
    for kind in kinds() {
        builder = builder.provider(kind);
    }
    if let Some(this) = helper::this() {
        builder = builder.helper(this);
    }
    let camp = builder.open()?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    Ok(runtime.block_on(furnish(&camp))?)
}
