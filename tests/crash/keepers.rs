//! Commands are killed with SIGKILL, and no other is typed: their keepers leave nothing behind.

use std::fs::{self, File, TryLockError};
use std::path::Path;
use std::time::Duration;

use serde_json::Value;

use crate::clock;
use crate::dice::Dice;
use crate::files::{single, with_task};
use crate::here::called;
use crate::installation::Installation;
use crate::proxy::{Fate, Mode, Proxy, Trigger};

/// How long a keeper may take until nothing stands.
pub(crate) const WITHIN: Duration = Duration::from_secs(10);
/// How much longer it may watch: a network that was asked for when its command was killed may still come for that long.
const REQUEST_LIFE: Duration = Duration::from_secs(10);
/// How often commands are killed.
const ROUNDS: usize = 20;
/// Ten machines, and a task that lasts.
const TEN: &str = r#"
name = "ten"
ttl = "30m"

[machines.m]
provider = "docker"
count = 10
docker.image = "busybox:1.35"
docker.command = ["sleep", "1800"]

[[stages]]
name = "test"

[[stages.tasks]]
name = "last"
on = "m-0"
run = "sleep 600"
"#;

impl Installation {
    /// Waits until nothing of it stands on the daemon and its keepers have seen so, without any command of its own.
    #[track_caller]
    pub(crate) fn empties(&self, within: Duration) -> Duration {
        self.empties_in(within, within)
    }

    /// The same where keepers may watch for longer than anything may stand.
    #[track_caller]
    fn empties_in(&self, within: Duration, watched: Duration) -> Duration {
        let began = clock::now();
        let left = |what: &str| {
            format!(
                "{what} after {:?}: {:#?}\n{}",
                began.elapsed(),
                self.standing(),
                self.kept()
            )
        };
        let gone = clock::until(within, || self.standing().is_empty().then_some(()));
        assert!(gone.is_some(), "{}", left("left"));
        let seen = clock::until(watched.saturating_sub(began.elapsed()), || {
            self.keepers().is_empty().then_some(())
        });
        assert!(seen.is_some(), "{}", left("a keeper still watches"));
        assert!(self.standing().is_empty(), "{}", left("something came late"));
        began.elapsed()
    }

    /// The processes that keep its environments.
    pub(crate) fn keepers(&self) -> Vec<u32> {
        let state = self.path().join("state/locks");
        let files = fs::read_dir(state).into_iter().flatten().flatten();
        let of_keeper = files.filter(|file| file.path().extension().is_some_and(|it| it == "keeper"));
        of_keeper
            .filter(|file| is_taken(&file.path()))
            .filter_map(|file| {
                fs::read_to_string(file.path())
                    .ok()?
                    .split_whitespace()
                    .next()?
                    .parse()
                    .ok()
            })
            .collect()
    }

    /// What its keepers wrote.
    pub(crate) fn kept(&self) -> String {
        let folders = fs::read_dir(self.path().join("state/environments"))
            .into_iter()
            .flatten()
            .flatten();
        folders
            .filter_map(|folder| fs::read_to_string(folder.path().join("keeper.log")).ok())
            .collect()
    }
}

/// A keeper that was killed sits there until the kernel has closed what it had open.
fn is_taken(seat: &Path) -> bool {
    let seat = File::open(seat);
    seat.is_ok_and(|seat| matches!(seat.try_lock_shared(), Err(TryLockError::WouldBlock)))
}

pub(crate) fn kill(pid: u32) {
    if let Some(pid) = i32::try_from(pid).ok().and_then(rustix::process::Pid::from_raw) {
        let _ = rustix::process::kill_process(pid, rustix::process::Signal::KILL);
    }
}

/// Kills a run at `ROUNDS` random moments, every second time with its process group. `seen` says how much of it stood at
/// that moment, `left` waits until nothing does and says how long that took.
fn kill_runs(
    installation: &Installation,
    file: &str,
    seed: u64,
    seen: impl Fn() -> usize,
    left: impl Fn() -> Duration,
) {
    let mut dice = Dice::new(seed);
    let (mut stood, mut slowest) = (0, Duration::ZERO);
    for round in 0..ROUNDS {
        let mut run = installation.call(&["run", file]).kept();
        if round % 2 == 1 {
            run = run.in_group();
        }
        let mut run = run.begin();
        let moment = Duration::from_millis(dice.below(3000) as u64);
        clock::until(moment, || None::<()>);
        run.kill();
        stood += seen();
        slowest = slowest.max(left());
    }
    assert!(stood > ROUNDS, "only {stood} things were there to be ended");
    println!("killed {ROUNDS} runs of ten machines, {stood} things stood; the slowest keeper took {slowest:.1?}");
    // One that died before its keeper was there has made nothing: all that there is of it is a row.
    for left in installation.environments() {
        let nothing = (&Value::from(0), &Value::from(Vec::<Value>::new()));
        assert_eq!((&left["ready"], &left["providers"]), nothing, "{left:#}");
    }
    installation.call(&["gc"]).well();
    installation.is_empty();
}

#[test]
fn crash_keepers_end_killed_runs() {
    let installation = Installation::new();
    let file = installation.write("ten.toml", TEN);
    let stands = || installation.standing().len();
    let gone = || installation.empties_in(WITHIN, WITHIN + REQUEST_LIFE);
    kill_runs(&installation, &file, 20, stands, gone);
}

/// The same on this host. `NAP` is what its machines do, and nobody else.
const TEN_HERE: &str = r#"
name = "ten"
ttl = "30m"

[machines.m]
provider = "local"
count = 10
local.command = "NAP & setsid NAP & exec NAP"

[[stages]]
name = "test"

[[stages.tasks]]
name = "last"
on = "m-0"
run = "setsid NAP & NAP"
"#;

#[test]
fn crash_keepers_end_killed_runs_here() {
    let installation = Installation::new();
    let nap = format!("sleep 1733.{}", std::process::id());
    let file = installation.write("ten.toml", &TEN_HERE.replace("NAP", &nap));
    let gone = || {
        let began = clock::now();
        let left = || {
            (
                called(&nap).len(),
                installation.sandboxes(),
                installation.keepers().len(),
            )
        };
        let gone = clock::until(WITHIN, || (left() == (0, Vec::new(), 0)).then_some(()));
        assert!(
            gone.is_some(),
            "left after {WITHIN:?}: {:?}\n{}",
            left(),
            installation.kept()
        );
        began.elapsed()
    };
    kill_runs(&installation, &file, 21, || called(&nap).len(), gone);
}

#[test]
fn crash_keeper_and_command_die_together() {
    let installation = Installation::new();
    let file = installation.write("slow.toml", &with_task("slow", "1m", "sleep 50"));
    let mut run = installation.call(&["run", &file]).kept().begin();
    clock::until(WITHIN, || run.said().contains("running").then_some(())).expect("the task runs");
    let keepers = installation.keepers();
    assert_eq!(keepers.len(), 1, "{}", run.said());
    kill(keepers[0]);
    run.kill();
    assert!(!installation.standing().is_empty());
    // Any next command, here one of another environment, and its own keeper.
    let other = installation.write("other.toml", &single("other"));
    installation.call(&["run", &other]).kept().well();
    installation.empties(WITHIN);
    installation.is_empty();
}

#[test]
fn crash_keeper_is_adopted_and_not_doubled() {
    let installation = Installation::new();
    let file = installation.write("one.toml", &single("one"));
    installation.call(&["up", &file]).kept().well();
    let first = installation.keepers();
    assert_eq!(first.len(), 1);
    let again = installation.call(&["up", &file]).kept().well();
    assert_eq!(installation.keepers(), first, "{again}");
    assert!(again.said().contains(&format!("keeper {}", first[0])), "{again}");
    // One that was killed is followed by another at the next command.
    kill(first[0]);
    clock::until(WITHIN, || installation.keepers().is_empty().then_some(())).expect("it is dead");
    let up = installation.call(&["up", &file]).kept().well();
    let second = installation.keepers();
    assert!(second.len() == 1 && second != first, "{up}");
    assert_eq!(keeper_of(&installation), Value::from(second[0]));
    installation.call(&["down", "-e", "one"]).kept().well();
    installation.empties(WITHIN);
}

fn keeper_of(installation: &Installation) -> Value {
    installation.environments()[0]["keeper"].clone()
}

#[test]
fn crash_keeper_settles_what_an_up_had_sent() {
    let installation = Installation::new();
    let file = installation.write("one.toml", &single("one"));
    let up = installation
        .call(&["up", &file])
        .kept()
        .killed_at("send.create.m.after")
        .end();
    assert!(up.was_killed(), "{up}");
    // The machine is there, and no answer was recorded: the keeper finds it, and keeps it.
    let settled = clock::until(WITHIN, || {
        installation.kept().contains("a command has died").then_some(())
    });
    assert!(settled.is_some(), "{}", installation.kept());
    let seen = clock::until(WITHIN, || {
        let shown = installation.call(&["show", "-e", "one", "--json"]).end();
        shown.json()["machines"][0]["id"].is_string().then_some(())
    });
    assert!(seen.is_some(), "{}", installation.kept());
    assert_eq!(installation.keepers().len(), 1);
    installation.call(&["up", &file]).kept().well();
    assert_eq!(installation.standing().iter().filter(|thing| thing.running).count(), 1);
    installation.down("one");
    installation.empties(WITHIN);
}

#[test]
fn crash_keeper_settles_once_the_daemon_is_back() {
    let installation = Installation::new();
    let file = installation.write("one.toml", &single("one"));
    let proxy = Proxy::new(installation.path());
    proxy.on(Trigger {
        text: "/containers/create",
        fate: Fate::Sent,
        then: Mode::Refusing,
    });
    // Its answer is lost, it is killed, and its keeper finds nobody to ask.
    let mut up = installation
        .call(&["up", &file])
        .kept()
        .env("DOCKER_HOST", proxy.host())
        .begin();
    clock::until(WITHIN, || (proxy.mode() == Mode::Refusing).then_some(())).expect("the machine is made");
    up.kill();
    let failed = clock::until(WITHIN, || installation.kept().contains("not done yet").then_some(()));
    assert!(failed.is_some(), "{}", installation.kept());
    proxy.set(Mode::Well);
    let known = clock::until(WITHIN * 3, || {
        let shown = installation.call(&["show", "-e", "one", "--json"]).end();
        shown.json()["machines"][0]["id"].is_string().then_some(())
    });
    assert!(known.is_some(), "{}", installation.kept());
    installation.down("one");
    installation.empties(WITHIN);
}

#[test]
fn crash_keeper_waits_for_a_network_that_is_on_its_way() {
    let installation = Installation::new();
    let file = installation.write("one.toml", &with_task("one", "1m", "sleep 50"));
    let proxy = Proxy::new(installation.path());
    proxy.on(Trigger {
        text: "/networks/create",
        fate: Fate::Held,
        then: Mode::Well,
    });
    let mut run = installation
        .call(&["run", &file])
        .kept()
        .env("DOCKER_HOST", proxy.host())
        .begin();
    clock::until(WITHIN, || proxy.holds().then_some(())).expect("a network is asked for");
    run.kill();
    let disposing = clock::until(WITHIN, || installation.kept().contains("disposing").then_some(()));
    assert!(disposing.is_some(), "{}", installation.kept());
    let left = clock::until(Duration::from_secs(2), || {
        installation.keepers().is_empty().then_some(())
    });
    assert!(left.is_none(), "a network can still come: {}", installation.kept());
    proxy.release();
    installation.empties(WITHIN);
    installation.is_empty();
}

#[test]
fn crash_keeper_ends_what_was_to_go() {
    let installation = Installation::new();
    let file = installation.write("one.toml", &single("one"));
    installation.call(&["up", &file]).kept().well();
    let down = installation
        .call(&["down", "m", "-e", "one", "--yes"])
        .kept()
        .killed_at("commit.dying.m.after")
        .end();
    assert!(down.was_killed(), "{down}");
    let gone = clock::until(WITHIN, || installation.machine("m").is_err().then_some(()));
    assert!(gone.is_some(), "{}", installation.kept());
    let environments = installation.environments();
    assert_eq!(environments.len(), 1, "nothing else was to go: {environments:#?}");
    installation.down("one");
    installation.empties(WITHIN);
}

#[test]
fn crash_keeper_ends_a_lease() {
    let installation = Installation::new();
    let text = single("short").replace("30m", "6s");
    let file = installation.write("short.toml", &text);
    let began = clock::now();
    let up = installation
        .call(&["up", &file])
        .kept()
        .env("ENCAMP__TIMEOUTS__GRACE", "2s")
        .well();
    assert!(up.said().contains("keeper "), "{up}");
    let took = installation.empties(WITHIN + Duration::from_secs(8));
    assert!(
        began.elapsed() > Duration::from_secs(7),
        "ended after {took:?}, before its lease was over"
    );
    installation.is_empty();
}
