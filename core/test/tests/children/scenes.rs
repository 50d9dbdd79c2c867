//! What child processes do. Each of these tests does nothing unless it was started for a scene.

use std::io::{Read, Write};
use std::time::Duration;

use encamp::spec::{Environment, Machine, Step};
use encamp::{Error, ErrorKind, Events, Ready, Result, local};
use encamp_test::Camp;

use crate::bed::{NAP, SCENE};

/// The environment that a child is to end.
pub(crate) const NAME: &str = "ENCAMP_TEST_NAME";

#[expect(clippy::disallowed_methods, reason = "a test is told what to do")]
pub(crate) fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok()
}

/// A machine that says 30 lines, and then sleeps by a number that nobody else has.
fn speaks(name: &str, nap: &str) -> Machine {
    let command = format!("for n in $(seq 30); do echo {name} says $n; done; touch said; exec sleep 17{nap}");
    Machine::new(name, "local")
        .table(&local::Table::command(command))
        .ready(Ready::log("says 30$").within(Duration::from_secs(20)))
}

pub(crate) fn pair(nap: &str) -> Environment {
    Environment::new("pair")
        .ttl(Duration::from_mins(10))
        .machine(speaks("db", nap))
        .machine(speaks("web", nap).set("depends_on", vec!["db"]))
}

#[encamp_test::test]
async fn a_child_plays_its_scene(camp: &Camp) -> Result<()> {
    let (Some(scene), Some(nap)) = (variable(SCENE), variable(NAP)) else {
        return Ok(());
    };
    match scene.as_str() {
        "never ready" => {
            let late = speaks("late", &nap)
                .set("depends_on", vec!["db"])
                // So short a time begins once it has said all.
                .step(Step::run("until [ -e said ]; do sleep 0.02; done"))
                .ready(Ready::file("/never").within(Duration::from_millis(300)));
            return camp.up(pair(&nap).machine(late)).await.map(drop);
        }
        "dies" => {
            let dies = Machine::new("late", "local")
                .table(&local::Table::command("echo the disk is full; exit 3"))
                .set("depends_on", vec!["db"])
                .ready(Ready::file("/never").within(Duration::from_secs(20)));
            return camp.up(pair(&nap).machine(dies)).await.map(drop);
        }
        "end" => {
            let name = variable(NAME).unwrap_or_default();
            return camp.down(&name, Events::none()).await?.must_be_clean().map(drop);
        }
        "short lease" => {
            camp.up(pair(&nap).ttl(Duration::from_secs(10))).await?;
            return Ok(());
        }
        _ => {}
    }
    let env = camp.up(pair(&nap)).await?;
    match scene.as_str() {
        "panic" => panic!("as it should"),
        "err" => return Err(Error::new(ErrorKind::Invalid, "as it should").with("about", "this")),
        "ended" => {
            let web = env.machine("web")?;
            let kill = "until pkill -KILL -P 1 sleep || kill -KILL $(pidof sleep); do sleep 0.02; done";
            web.exec(["sh", "-c", kill]).output().await?;
            while !matches!(web.inspect().await?.phase, encamp::Phase::Exited(_)) {
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
            panic!("as it should");
        }
        "killed" => {
            say("ready");
            told();
        }
        "well" => {}
        other => panic!("there is no scene `{other}`"),
    }
    Ok(())
}

#[encamp_test::test(timeout = "10s")]
async fn a_child_takes_too_long(camp: &Camp) -> Result<()> {
    let (Some(scene), Some(nap)) = (variable(SCENE), variable(NAP)) else {
        return Ok(());
    };
    let mut env = pair(&nap);
    if scene == "coming" {
        let never = Ready::file("/never").within(Duration::from_mins(5));
        env = env.machine(speaks("late", &nap).set("depends_on", vec!["db"]).ready(never));
    }
    camp.up(env).await?;
    std::future::pending().await
}

pub(crate) fn say(line: &str) {
    let mut out = std::io::stdout().lock();
    let said = writeln!(out, "\n{line}").and_then(|()| out.flush());
    said.expect("somebody listens");
}

/// Until the other side closes.
pub(crate) fn told() {
    let _ = std::io::stdin().lock().read_to_end(&mut Vec::new());
}
