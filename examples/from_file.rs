//! The environment of a file, as an object: `cargo run --example from_file -- examples/quickstart/encamp.toml`.
#![expect(clippy::print_stdout, reason = "this is what it has to say")]

use std::ffi::OsString;
use std::path::Path;

use encamp::{Ambient, Encamp, builtin_kinds, helper};

async fn look_inside(camp: &Encamp, file: &Path) -> encamp::Result<()> {
    let env = camp.up(file).await?;
    for machine in env.machines() {
        let said = machine.exec(["uname", "-n"]).output().await?.checked()?;
        print!(
            "{} on {} calls itself {}",
            machine.name(),
            machine.instance(),
            said.text()
        );
    }
    for (name, text) in env.outputs() {
        println!("{name} = {text}");
    }
    env.down().await?.must_be_clean()?;
    println!("all are gone");
    Ok(())
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    helper::run_if_asked();
    let mut arguments = std::env::args_os().skip(1);
    let file = arguments
        .next()
        .unwrap_or_else(|| OsString::from("examples/quickstart/encamp.toml"));
    let state = arguments.next().unwrap_or_else(|| OsString::from("target/encamp"));
    let mut builder = Encamp::builder().state_dir(state).ambient(Ambient::of_process());
    // Whatever this build carries, for a file may speak of any of them.
    for kind in builtin_kinds() {
        builder = builder.provider(kind);
    }
    if let Some(this) = helper::this() {
        builder = builder.helper(this);
    }
    let camp = builder.open()?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    Ok(runtime.block_on(look_inside(&camp, Path::new(&file)))?)
}
