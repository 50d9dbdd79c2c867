//! What child processes do. Each is a row of the table of guards.

use std::fs;
use std::io::{Read, Write};
use std::path::Path;
use std::sync::OnceLock;
use std::time::Duration;

use encamp::{Encamp, Guard, Share};

use crate::bed::{KEEPERS, NAP, SCENE, STATE, at_work, builder, never_ready, pair};

static GUARD: OnceLock<Guard> = OnceLock::new();

/// Does nothing unless it was started for a scene.
#[test]
fn a_child_plays_its_scene() {
    let Some(scene) = variable(SCENE) else { return };
    let state = variable(STATE).expect("a child is told its state folder");
    let nap = variable(NAP).expect("a child is told its nap");
    let keepers = variable(KEEPERS).is_some_and(|it| it == "yes");
    let mut builder = builder(Path::new(&state), keepers);
    if scene.starts_with("signals") {
        builder = builder.dispose_on_signals();
    }
    let camp = builder.open().expect("the state folder can be opened");
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    runtime.expect("a runtime").block_on(play(&scene, &camp, &nap));
}

#[expect(clippy::disallowed_methods, reason = "a test is told what to do")]
fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok()
}

async fn play(scene: &str, camp: &Encamp, nap: &str) {
    match scene {
        "shared" => {
            let shared = camp.shared(pair(nap), Share::Run).await.expect("it is shared");
            assert!(
                shared
                    .machine("db")
                    .expect("a machine")
                    .exec(["true"])
                    .output()
                    .await
                    .expect("it runs")
                    .exit
                    .success()
            );
            say(shared.summary().id.as_str());
            told();
            return;
        }
        "handles" => return handles(camp, nap).await,
        "dropped future" => {
            let all_begun = async {
                while at_work(nap).len() < 3 {
                    tokio::time::sleep(Duration::from_millis(5)).await;
                }
            };
            tokio::select! {
                came = camp.up(never_ready(nap, Duration::from_mins(1))) => panic!("it is never ready: {came:?}"),
                () = all_begun => {}
            }
            return;
        }
        _ => {}
    }
    let guard = match camp.up(pair(nap)).await {
        Ok(guard) => guard,
        Err(error) => {
            eprintln!("{}", encamp::Report(&error));
            std::process::abort();
        }
    };
    say("ready");
    told();
    match scene {
        "return" | "killed" | "interrupted" | "signals" => {}
        "down" => drop(
            guard
                .down()
                .await
                .expect("a disposal")
                .must_be_clean()
                .expect("it is clean"),
        ),
        "keep" => drop(guard.keep().await.expect("it is kept")),
        "panic" => panic!("as it should"),
        #[expect(clippy::exit, reason = "it is what is tried")]
        "exit" => {
            std::mem::forget(guard);
            std::process::exit(0)
        }
        "static" => drop(GUARD.set(guard)),
        // As `panic = "abort"` does it.
        "abort" => {
            std::panic::set_hook(Box::new(|_| std::process::abort()));
            panic!("as it should");
        }
        other => panic!("there is no scene `{other}`"),
    }
}

/// What handles are made of is counted, and not for how long they live.
async fn handles(camp: &Encamp, nap: &str) {
    let guard = camp.up(pair(nap)).await.expect("it is up");
    let counted = || {
        let count = |folder| fs::read_dir(folder).expect("this process is there").count();
        (count("/proc/self/fd"), count("/proc/self/task"))
    };
    let before = counted();
    let handle = |_| ((*guard).clone(), guard.machine("db").expect("a machine"));
    let handles: Vec<_> = (0..10_000).map(handle).collect();
    assert_eq!(counted(), before);
    drop(handles);
    for _ in 0..50 {
        let up = camp.up(pair(nap));
        let _ = tokio::time::timeout(Duration::from_millis(1), up).await;
    }
    drop(guard);
    // Idle threads of the engine stay for a while.
    assert!(counted().0 <= before.0, "{before:?} {:?}", counted());
}

fn say(line: &str) {
    let mut out = std::io::stdout().lock();
    let said = writeln!(out, "\n{line}").and_then(|()| out.flush());
    said.expect("somebody listens");
}

/// Until the other side closes.
fn told() {
    let _ = std::io::stdin().lock().read_to_end(&mut Vec::new());
}
