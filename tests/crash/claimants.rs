//! Many who want the same few hosts of a lab, and are killed at random.

use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use crate::clock;
use crate::dice::Dice;
use crate::hosts::{Lab, MISSING, settings};
use crate::installation::Installation;
use crate::program::Running;

const CLAIMANTS: usize = 100;
const HOSTS: usize = 5;
/// How many there are at a time: enough that most of them wait.
const CROWD: usize = 25;
/// Of so many one is killed, within so many milliseconds after its begin.
const KILLED: usize = 4;
const KILLED_WITHIN: usize = 15_000;
/// For how long each has its host, in seconds, and the last one.
const TTL: u64 = 30;
const LAST_TTL: u64 = 10;
/// After a lease is over: the second of grace that the lab gives, and twice the five after which a host looks again.
const AFTER: u64 = 1 + 10;

/// Whoever has a host holds its lock alone, as long as its processes live; one of them outlives the task.
const FILE: &str = r#"
name = "NAME"
ttl = "TTLs"

[machines.m]
provider = "lab"

[[stages]]
name = "hold"

[[stages.tasks]]
name = "hold"
on = "m"
run = '''
exec 9>>../exclusive
flock -n 9 || echo NAME >>'FOLDER/twice'
echo NAME >>'FOLDER/order'
setsid sleep 600 >/dev/null 2>&1 &
sleep HOLD'''
"#;

struct Claimant {
    name: String,
    run: Running,
    killed: Option<Instant>,
}

fn lines(file: &Path) -> Vec<String> {
    let text = fs::read_to_string(file).unwrap_or_default();
    text.lines().map(str::to_owned).collect()
}

/// The file of one, who is called so, with its lease and how long its task takes, in seconds.
fn describe(installation: &Installation, name: &str, ttl: u64, hold: u64) -> String {
    let text = FILE.replace("NAME", name).replace("TTL", &ttl.to_string());
    let text = text.replace("HOLD", &hold.to_string());
    let folder = installation.path().display().to_string();
    installation.write(&format!("{name}.toml"), &text.replace("FOLDER", &folder))
}

/// Waits until somebody has taken a number, or is through already.
fn until_queued(installation: &Installation, claimant: &mut Claimant) {
    let queue = installation.path().join("state/queue");
    let is_there = || {
        let tickets = fs::read_dir(&queue).into_iter().flatten().flatten();
        let ours = format!("\"{}-", claimant.name);
        let mut wishes = tickets.filter_map(|ticket| fs::read_to_string(ticket.path()).ok());
        wishes.any(|wish| wish.contains(&ours)) || claimant.run.said().contains("creating")
    };
    let come = clock::until(Duration::from_mins(1), || is_there().then_some(()));
    assert!(
        come.is_some(),
        "{} takes no number: {}",
        claimant.name,
        claimant.run.said()
    );
}

/// Kills whoever is due, and takes those out who have ended; nobody who was not killed may have failed.
fn attend(crowd: &mut Vec<Claimant>, dead: &mut Vec<String>) {
    let now = clock::now();
    for claimant in crowd
        .iter_mut()
        .filter(|claimant| claimant.killed.is_some_and(|at| at <= now))
    {
        claimant.run.kill();
    }
    for claimant in crowd.extract_if(.., |claimant| claimant.run.has_ended()) {
        let ended = claimant.run.end();
        if ended.was_killed() && claimant.killed.is_some() {
            dead.push(claimant.name);
        } else {
            assert_eq!(ended.code(), Some(0), "{ended}");
        }
    }
}

/// Nobody else does anything: what the dead hold is taken back by the hosts. One surely dies while it has a host.
fn the_dead_give_back(lab: &Lab, installation: &Installation) {
    let free = |host: usize| {
        let record = fs::read_to_string(lab.at(&format!("host-{host}/record"))).unwrap_or_default();
        record.contains("state free")
    };
    let last = describe(installation, "last", LAST_TTL, 600);
    let mut last = installation
        .call(&["run", "--wait=2m", "--out", "out-last", &last])
        .in_group()
        .begin();
    let holds = || {
        lines(&installation.path().join("order"))
            .contains(&"last".to_owned())
            .then_some(())
    };
    let holds = clock::until(Duration::from_mins(1), holds);
    assert!(holds.is_some(), "the last one gets no host: {}", last.said());
    last.kill();
    let _ = last.end();
    let held = (0..HOSTS).filter(|host| !free(*host)).count();
    assert!(held > 0, "nobody died with a host");
    let all_free = clock::until(Duration::from_secs(TTL + AFTER), || (0..HOSTS).all(free).then_some(()));
    assert!(all_free.is_some(), "a host is held past its lease");
}

#[test]
fn crash_claimants_of_few_hosts() {
    let lab = Lab::start(HOSTS).expect(MISSING);
    let installation = Installation::empty();
    installation.configure(&settings(&lab));
    let folder = installation.path().to_owned();
    let mut dice = Dice::new(12);
    let (mut crowd, mut dead) = (Vec::new(), Vec::new());
    let began = clock::now();
    for number in 0..CLAIMANTS {
        let name = format!("c{number}");
        let file = describe(&installation, &name, TTL, 2);
        let out = format!("out-{name}");
        let run = installation
            .call(&["run", "--wait=10m", "--out", &out, &file])
            .in_group()
            .begin();
        let after = Duration::from_millis(dice.below(KILLED_WITHIN) as u64);
        let killed = (dice.below(KILLED) == 0).then(|| clock::now() + after);
        let mut claimant = Claimant { name, run, killed };
        until_queued(&installation, &mut claimant);
        crowd.push(claimant);
        let room = clock::until(Duration::from_secs(TTL + AFTER) * 2, || {
            attend(&mut crowd, &mut dead);
            (crowd.len() < CROWD).then_some(())
        });
        assert!(room.is_some(), "nobody gets a host any more");
    }
    let through = clock::until(Duration::from_secs(TTL + AFTER) * 3, || {
        attend(&mut crowd, &mut dead);
        crowd.is_empty().then_some(())
    });
    assert!(through.is_some(), "{} of them get no host", crowd.len());
    assert_eq!(
        lines(&folder.join("twice")),
        Vec::<String>::new(),
        "a host was held twice"
    );
    // First come, first served: those who came later and were before somebody had one of the other hosts.
    let order: Vec<usize> = lines(&folder.join("order"))
        .iter()
        .map(|name| name[1..].parse().expect("a number"))
        .collect();
    for (place, number) in order.iter().enumerate() {
        let overtook = order[..place].iter().filter(|other| *other > number).count();
        assert!(overtook < HOSTS, "c{number} was overtaken by {overtook}: {order:?}");
    }
    assert!(
        order.len() + dead.len() >= CLAIMANTS,
        "{} ran, {} were killed",
        order.len(),
        dead.len()
    );
    the_dead_give_back(&lab, &installation);
    println!(
        "{CLAIMANTS} claimants of {HOSTS} hosts: {} ran, {} were killed, in {:.0?}",
        order.len(),
        dead.len(),
        began.elapsed()
    );
    installation.call(&["gc"]).well();
    assert!(installation.environments().is_empty());
}
