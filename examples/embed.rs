//! An environment that a program describes, uses, and disposes of: `cargo run --example embed`.
//!
//! Two sandboxes on this host. The program is its own helper: it is started again as the keeper of the environment, which
//! ends it should this process be killed, and as the shim of each sandbox.
#![expect(clippy::print_stdout, reason = "this is what it has to say")]

use std::ffi::OsString;
use std::time::Duration;

use encamp::spec::{Environment, Machine, expr};
use encamp::{Ambient, Encamp, Ready, helper, local};

/// A shop whose web server has from the database what it serves.
fn shop() -> Environment {
    let serve = "exec busybox httpd -f -p 127.0.0.1:$ENCAMP_PORT_HTTP";
    let db = Machine::new("db", "local")
        .table(&local::Table::command(format!("echo 3 apples >index.html; {serve}")))
        .port("http", 80)
        .ready(Ready::tcp("http").within(Duration::from_secs(20)));
    let web = Machine::new("web", "local")
        .table(&local::Table::command(format!("wget -q http://$DB/; {serve}")))
        .env("DB", expr("{{ machines.db.endpoint('http') }}"))
        .port("http", 80)
        .ready(Ready::http("http", "/").within(Duration::from_secs(20)));
    Environment::new("shop")
        .ttl(Duration::from_mins(5))
        .machine(db)
        .machine(web)
}

async fn embed(camp: &Encamp) -> encamp::Result<()> {
    let env = camp.up(shop()).await?;
    println!("{} is up; {:?}", env.name(), env.survival());
    let stock = env.machine("web")?.exec(["cat", "index.html"]).output().await?;
    print!("the web server has {}", stock.checked()?.text());
    println!("it is dialled at {}", env.endpoint("web", "http").await?);
    let disposal = env.down().await?.must_be_clean()?;
    println!("{} machines are gone", disposal.machines);
    Ok(())
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    // Before anything else: here the program may be started again.
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
    Ok(runtime.block_on(embed(&camp))?)
}
