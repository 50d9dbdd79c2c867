//! Many at once: members of a group, runs of one file, processes on one store.

use std::collections::BTreeSet;
use std::fs;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::clock;
use crate::daemon::Class;
use crate::files::{single, with_task};
use crate::installation::Installation;
use crate::program::Ended;

const PROCESSES: usize = 8;
const ROUNDS: usize = 200;
/// Wall budget, and how many rounds must fit into it.
const BUDGET: Duration = Duration::from_secs(100);
const FLOOR: usize = 150;

#[test]
fn crash_count_three() {
    let installation = Installation::new();
    let text = single("three")
        .replace("[machines.m]", "[machines.x]\ncount = 3")
        .replace("\"m\"", "\"x\"");
    let file = installation.write("three.toml", &text);
    installation.call(&["up", &file]).well();

    let mut standing = installation.standing();
    standing.retain(|thing| thing.class == Class::Container);
    let values = |value: fn(&crate::daemon::Thing) -> &str| standing.iter().map(value).collect::<BTreeSet<&str>>();
    assert_eq!(standing.len(), 3, "{standing:#?}");
    assert!(standing.iter().all(|thing| thing.running), "{standing:#?}");
    assert_eq!(values(|thing| &thing.id).len(), 3, "{standing:#?}");
    assert_eq!(values(|thing| &thing.name).len(), 3, "{standing:#?}");
    assert_eq!(
        values(|thing| thing.label("encamp.machine")),
        BTreeSet::from(["x-0", "x-1", "x-2"])
    );
    // The hash of the frozen request, from which the token comes.
    assert_eq!(values(|thing| thing.label("encamp.request")).len(), 3, "{standing:#?}");
    assert_eq!(values(|thing| thing.label("encamp.proof")).len(), 3, "{standing:#?}");

    installation.down("three");
    installation.is_empty();
}

#[test]
fn crash_two_runs_never_meet() {
    let installation = Installation::new();
    let file = installation.write("twin.toml", &with_task("twin", "30s", "sleep 2; ls / >/dev/null"));
    let running = ["one", "two"].map(|out| installation.call(&["run", &file, "--out", out]).begin());
    let [one, two] = running.map(crate::program::Running::end);
    for ended in [&one, &two] {
        assert_eq!(ended.code(), Some(0), "{ended}");
    }
    let report = |out: &str| -> Value {
        let text = fs::read_to_string(installation.path().join(out).join("report.json")).expect("each run writes one");
        serde_json::from_str(&text).expect("it is JSON")
    };
    let (first, second) = (report("one"), report("two"));
    for field in ["/environment", "/id", "/machines/0/key", "/machines/0/id"] {
        let (first, second) = (first.pointer(field), second.pointer(field));
        assert!(first.is_some() && first != second, "{field}: {first:?}, {second:?}");
    }
    installation.is_empty();
}

/// What the commands of a crowd share.
struct Crowd {
    installation: Installation,
    shared: String,
    short: String,
    rounds: AtomicUsize,
    began: Instant,
}

impl Crowd {
    /// Whether there is another round to go.
    fn goes_on(&self) -> bool {
        self.began.elapsed() < BUDGET && self.rounds.fetch_add(1, Ordering::Relaxed) < ROUNDS
    }

    /// What a process does in a round: most of it is work for the store alone.
    fn round(&self, process: usize, turn: usize, file: &str) -> Vec<Ended> {
        let (name, out) = (format!("own-{process}"), format!("out-{process}-{turn}"));
        let light = [
            &["ls"][..],
            &["show", "-e", "shared"],
            &["ls", "--json"],
            &["extend", "40m", "-e", "shared"],
        ];
        let mut calls: Vec<Vec<&str>> = light.iter().map(|arguments| arguments.to_vec()).collect();
        match (process, turn % 3) {
            (0..=2, 0) => calls.push(vec!["up", file]),
            (0..=2, 1) => calls.extend([vec!["extend", "50m", "-e", &name], vec!["gc"]]),
            (0..=2, _) => calls.push(vec!["down", "-e", &name]),
            (3 | 4, 0 | 1) => calls.push(vec!["up", &self.shared]),
            (3 | 4, _) => calls.push(vec!["down", "-e", "shared"]),
            // The same file as the other one's.
            (5 | 6, 0) => calls.push(vec!["run", &self.short, "--out", &out]),
            (5, 1) => calls.push(vec!["recover"]),
            (6, 1) => calls.push(vec!["gc"]),
            _ => calls.extend([vec!["show", "-e", &name], vec!["ls"]]),
        }
        calls
            .iter()
            .map(|arguments| self.installation.call(arguments).end())
            .collect()
    }
}

#[test]
fn crash_eight_processes_one_store() {
    let installation = Installation::new();
    let crowd = Crowd {
        shared: installation.write("shared.toml", &single("shared")),
        short: installation.write("short.toml", &single("short")),
        rounds: AtomicUsize::new(0),
        began: clock::now(),
        installation,
    };
    let installation = &crowd.installation;
    let ended: Vec<Vec<Ended>> = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..PROCESSES)
            .map(|process| {
                let crowd = &crowd;
                scope.spawn(move || {
                    let name = format!("own-{process}");
                    let file = crowd.installation.write(&format!("{name}.toml"), &single(&name));
                    let mut rounds = Vec::new();
                    while crowd.goes_on() {
                        rounds.push(crowd.round(process, rounds.len(), &file));
                    }
                    rounds
                })
            })
            .collect();
        threads
            .into_iter()
            .flat_map(|thread| thread.join().expect("it has not panicked"))
            .collect()
    });
    let rounds = ended.len();
    let ended: Vec<Ended> = ended.into_iter().flatten().collect();
    let well = ended.iter().filter(|one| one.code() == Some(0)).count();
    let slowest = ended.iter().map(|one| one.took).max().unwrap_or_default();
    println!(
        "{} commands of {PROCESSES} processes in {rounds} rounds, {well} well, in {:.0?}; the slowest took {slowest:.1?}",
        ended.len(),
        crowd.began.elapsed()
    );
    for one in &ended {
        let said = one.said();
        assert!(!said.contains("locked") && !said.contains("busy"), "{one}");
        // 2: another process holds it, or it is not there; 130: another process takes it down.
        assert!(matches!(one.code(), Some(0 | 2 | 130)), "{one}");
        assert!(!said.contains("panicked"), "{one}");
        // Whatever the others make meanwhile, it is written down before it stands there.
        assert!(!said.contains("recorded again"), "{one}");
    }
    // Where most are turned away, the crowd has not met.
    assert!(well * 2 > ended.len(), "{well} of {} went well", ended.len());
    // Nor where those that change something are.
    let changing = |one: &&Ended| matches!(one.verb(), "up" | "run" | "down" | "extend");
    let changing: Vec<&Ended> = ended.iter().filter(changing).collect();
    let well = changing.iter().filter(|one| one.code() == Some(0)).count();
    assert!(
        well * 3 > changing.len(),
        "{well} of {} changes went well",
        changing.len()
    );
    for environment in installation.environments() {
        installation.down(environment["name"].as_str().expect("it has a name"));
    }
    installation.is_empty();
    assert!(rounds >= FLOOR, "only {rounds} rounds within {BUDGET:?}");
}
