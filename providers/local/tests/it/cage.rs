//! Whatever a machine starts ends with it, and nothing else does: by each cage alone.

use std::process::{Child, Command, Stdio};
use std::time::Duration;

use encamp_core::{Exit, Phase};
use libtest_mimic::Trial;
use serde_json::json;

use rustix::process::Signal;

use crate::bed::{Bed, cages, fresh_word, is_there, processes_of, send, trial, until, with_word};

pub(crate) fn trials() -> Vec<Trial> {
    let mut trials = Vec::new();
    for cage in cages() {
        trials.push(trial(format!("cage::{cage}::what_runs_away_ends_too"), move || {
            runs_away(cage)
        }));
        trials.push(trial(format!("cage::{cage}::a_stop_ends_what_runs_away"), move || {
            stopped(cage)
        }));
        trials.push(trial(
            format!("cage::{cage}::a_killed_shim_leaves_nothing_behind"),
            move || shim(cage),
        ));
        trials.push(trial(
            format!("cage::{cage}::a_machine_whose_folder_was_removed_ends"),
            move || removed(cage),
        ));
    }
    if cages().contains(&"cgroup") {
        trials.push(trial(
            "cage::cgroup::what_let_every_mark_go_ends_with_its_group",
            unmarked,
        ));
    }
    trials.push(trial(
        "cage::cookie::what_was_orphaned_is_found_by_what_it_inherited",
        orphans,
    ));
    trials
}

/// Leaves its parents, twice, takes a session of its own each time, heeds no signal, and goes on from one process to the
/// next for ever; beside it something sleeps under a name that others have too.
const RUNAWAY: &str = r#"
cat > "$HOME/hop" <<'EOF'
trap '' HUP INT QUIT TERM USR1 USR2
sleep 0.02
setsid sh "$0" "$1" &
exit 0
EOF
for round in 1 2 3; do (setsid sh -c '(setsid sh "$HOME/hop" "$1" &)' sh "$1" &) ; done
(setsid sh -c 'trap "" TERM HUP; while :; do sleep 1; done' sh "$1" &)
"#;

/// A process that is none of the machine's and does the same.
struct Decoy(Child);

impl Decoy {
    fn new(word: &str) -> Self {
        let script = "while :; do sleep 1; done";
        let mut command = Command::new("sh");
        // Its last sleep outlives it, and would hold the output of this test open.
        command.stdout(Stdio::null()).stderr(Stdio::null());
        Self(command.args(["-c", script, "sh", word]).spawn().unwrap())
    }

    fn lives(&mut self) -> bool {
        self.0.try_wait().unwrap().is_none()
    }
}

impl Drop for Decoy {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

async fn run_away(bed: &Bed, word: &str) {
    let script = format!("set -- {word}; {RUNAWAY}");
    let said = bed.run("web", &script).await;
    assert_eq!(said.exit, Exit::Code(0), "{said:?}");
    until("what runs away", || with_word(word).len() >= 3).await;
}

async fn ended(word: &str) {
    // Twice, because what hops may be between two processes.
    for _ in 0..5 {
        let left = with_word(word);
        assert!(left.is_empty(), "still there: {left:?}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

async fn runs_away(cage: &'static str) {
    let bed = Bed::with(json!({ "cage": cage })).await;
    let (word, other) = (fresh_word(), fresh_word());
    let mut decoy = Decoy::new(&other);
    bed.raise("web", json!({ "command": "while :; do sleep 1; done" }))
        .await;
    bed.raise("beside", json!({})).await;
    run_away(&bed, &word).await;
    bed.destroy("web").await;
    ended(&word).await;
    assert!(decoy.lives());
    assert_eq!(bed.phase("beside").await, Phase::Running);
    bed.destroy("beside").await;
}

async fn stopped(cage: &'static str) {
    let bed = Bed::with(json!({ "cage": cage })).await;
    bed.raise("web", json!({})).await;
    for grace in [Duration::ZERO, Duration::from_millis(300)] {
        let word = fresh_word();
        run_away(&bed, &word).await;
        bed.stop("web", grace).await;
        ended(&word).await;
        assert_eq!(bed.phase("web").await, Phase::Stopped);
        bed.start("web").await.unwrap();
    }
    bed.destroy("web").await;
}

async fn shim(cage: &'static str) {
    let bed = Bed::with(json!({ "cage": cage })).await;
    bed.raise("web", json!({})).await;
    let word = fresh_word();
    run_away(&bed, &word).await;
    let [shim, _] = processes_of(&bed.folder("web"));
    send(shim, Signal::KILL);
    bed.wait_for("web", |phase| matches!(phase, Phase::Exited(Exit::Lost(_))))
        .await;
    bed.destroy("web").await;
    ended(&word).await;
}

/// The machine is its folder: nobody can list it, or end it by a command, any more.
async fn removed(cage: &'static str) {
    let bed = Bed::with(json!({ "cage": cage })).await;
    bed.raise("web", json!({})).await;
    bed.raise("beside", json!({})).await;
    let word = fresh_word();
    run_away(&bed, &word).await;
    let processes = processes_of(&bed.folder("web"));
    // What an overlay keeps for itself, nobody but root may enter.
    let _ = std::fs::remove_dir_all(bed.folder("web"));
    let _ = std::fs::remove_file(bed.folder("web").join("machine.json"));
    for pid in processes {
        until("the end of what stood for it", || !is_there(pid)).await;
    }
    ended(&word).await;
    assert_eq!(bed.phase("beside").await, Phase::Running);
    bed.destroy("beside").await;
}

/// Both that could end it by descent are gone: only what everything inherited is left.
async fn orphans() {
    let bed = Bed::with(json!({ "cage": "cookie" })).await;
    bed.raise("web", json!({})).await;
    let (kept, dropped) = (fresh_word(), fresh_word());
    // One keeps the variable and closes what it inherited, the other drops the variable.
    let script = format!(
        "sleeper='sleep 600; :'; exec >/dev/null 2>&1; \
         (setsid sh -c \"exec 3>&- 4>&- 5>&- 6>&- 7>&- 8>&- 9>&-; $sleeper\" sh {kept} &); \
         (setsid env -i PATH=\"$PATH\" sh -c \"$sleeper\" sh {dropped} &)"
    );
    let said = bed.run("web", &script).await;
    assert_eq!(said.exit, Exit::Code(0), "{said:?}");
    // What starts a program looks like itself twice for a moment, so they are not counted.
    let both_live = || [&kept, &dropped].iter().all(|word| !with_word(word).is_empty());
    until("both", both_live).await;
    let both = processes_of(&bed.folder("web"));
    // Neither sees the other's end.
    for signal in [Signal::STOP, Signal::KILL] {
        for pid in both {
            send(pid, signal);
        }
    }
    bed.wait_for("web", |phase| matches!(phase, Phase::Exited(Exit::Lost(_))))
        .await;
    assert!(both_live());
    bed.destroy("web").await;
    ended(&kept).await;
    ended(&dropped).await;
}

/// As daemons do: neither the variable nor anything it inherited is left, and nobody else of the machine lives.
async fn unmarked() {
    let bed = Bed::with(json!({ "cage": "cgroup" })).await;
    bed.raise("web", json!({})).await;
    let word = fresh_word();
    let script = format!(
        "exec >/dev/null 2>&1; (setsid env -i PATH=\"$PATH\" sh -c \
         'exec 3>&- 4>&- 5>&- 6>&- 7>&- 8>&- 9>&-; sleep 600; :' sh {word} &)"
    );
    let said = bed.run("web", &script).await;
    assert_eq!(said.exit, Exit::Code(0), "{said:?}");
    until("the daemon", || !with_word(&word).is_empty()).await;
    let both = processes_of(&bed.folder("web"));
    // Neither sees the other's end.
    for signal in [Signal::STOP, Signal::KILL] {
        for pid in both {
            send(pid, signal);
        }
    }
    bed.wait_for("web", |phase| matches!(phase, Phase::Exited(Exit::Lost(_))))
        .await;
    // What starts a program looks like two for a moment.
    until("the daemon alone", || with_word(&word).len() == 1).await;
    bed.destroy("web").await;
    ended(&word).await;
}
