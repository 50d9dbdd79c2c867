//! Machines of a script, and hosts over SSH: commands killed at places that a seed draws, on both at the same time.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use serde_json::json;

use crate::clock;
use crate::dice::Dice;
use crate::hosts::{Lab, MISSING, settings};
use crate::installation::Installation;
use crate::story::Story;

/// How long what was left may take to be gone once a command has mended it.
const WITHIN: Duration = Duration::from_secs(10);
/// Places of each command that are drawn, those of lost answers first: hosts over SSH take longer.
const DRAWN: [(&str, usize); 2] = [("script", 6), ("ssh", 3)];
/// Distinct places of the three commands together, of which they are drawn.
const FLOOR: usize = 60;

/// Two machines of which one needs the other, a set-up step, a task.
const PAIR: &str = r#"
name = "pair"
ttl = "30m"

[machines.db]
provider = "PROVIDER"
COMMAND

[machines.app]
provider = "PROVIDER"
COMMAND
depends_on = ["db"]
setup = [{ run = "echo set up" }]

[[stages]]
name = "test"

[[stages.tasks]]
name = "look"
on = "app"
timeout = "30s"
run = "TASK"
"#;

/// Where machines are.
enum Ground {
    Yard,
    /// As many as the environment has machines: one that is not given back is missed.
    Hosts(Lab),
}

struct Scene {
    installation: Installation,
    file: String,
    ground: Ground,
}

impl Scene {
    fn new(name: &str) -> Self {
        let installation = Installation::new();
        let nap = format!("sleep 1745.{}", std::process::id());
        let (ground, settings, pair) = if name == "script" {
            let folder = yard(installation.path());
            let command = format!("yard.command = \"exec {nap}\"");
            let pair = PAIR.replace("PROVIDER", "yard").replace("COMMAND", &command);
            (
                Ground::Yard,
                format!("plugins = [{}]\n", json!(folder)),
                pair.replace("TASK", "true"),
            )
        } else {
            let lab = Lab::start(2).expect(MISSING);
            let settings = settings(&lab);
            let pair = PAIR.replace("PROVIDER", "lab").replace("COMMAND", "");
            let pair = pair.replace("TASK", &format!("setsid {nap} >/dev/null 2>&1 & true"));
            (Ground::Hosts(lab), settings, pair)
        };
        installation.configure(&settings);
        let file = installation.write("pair.toml", &pair);
        Self {
            installation,
            file,
            ground,
        }
    }

    /// What stands: folders of machines, what is kept of turns, claims on hosts and what they hold.
    fn standing(&self) -> Vec<String> {
        match &self.ground {
            Ground::Yard => {
                let below = |folder: &str| {
                    fs::read_dir(self.installation.path().join(folder))
                        .into_iter()
                        .flatten()
                };
                let found = below("machines").chain(below("state/scripts")).flatten();
                found.map(|entry| entry.path().display().to_string()).collect()
            }
            Ground::Hosts(lab) => {
                let hosts = (0..lab.ports.len()).map(|host| lab.at(&format!("host-{host}")));
                let mut held = Vec::new();
                for host in hosts.filter(|host| host.exists()) {
                    let record = fs::read_to_string(host.join("record")).unwrap_or_default();
                    if !record.contains("state free") || host.join("work").exists() || host.join("quarantine").exists()
                    {
                        held.push(format!("{}: {record}", host.display()));
                    }
                }
                held
            }
        }
    }

    /// Processes that were started from here: a command of encamp's, or what runs in a machine.
    fn processes(&self) -> Vec<(Pid, String)> {
        let nap = format!("sleep\01745.{}\0", std::process::id());
        let home = match &self.ground {
            Ground::Yard => self.installation.path().display().to_string(),
            Ground::Hosts(lab) => lab.at("host-").display().to_string(),
        };
        let ours = self.installation.path().display().to_string();
        let all = fs::read_dir("/proc").into_iter().flatten().flatten();
        all.filter_map(|entry| {
            let pid = Pid::from_raw(entry.file_name().to_str()?.parse().ok()?)?;
            let variables = fs::read(entry.path().join("environ")).ok()?;
            let line = fs::read_to_string(entry.path().join("cmdline")).ok()?;
            let of = |folder: &str| variables.windows(folder.len()).any(|piece| piece == folder.as_bytes());
            (of(&ours) || of(&home) && line == nap).then(|| (pid, line.replace('\0', " ")))
        })
        .collect()
    }
}

impl Story for Scene {
    fn installation(&self) -> &Installation {
        &self.installation
    }

    fn file(&self) -> &str {
        &self.file
    }

    fn is_whole(&self) -> Result<(), String> {
        let machines = match self.ground {
            Ground::Yard => fs::read_dir(self.installation.path().join("machines")).map_or(0, Iterator::count),
            Ground::Hosts(_) => self.standing().len(),
        };
        if machines != 2 {
            return Err(format!("{machines} machines instead of two: {:?}", self.standing()));
        }
        Ok(())
    }

    fn is_gone(&self) -> Result<(), String> {
        let gone = || self.standing().is_empty() && self.processes().is_empty();
        match clock::until(WITHIN, || gone().then_some(())) {
            Some(()) => Ok(()),
            None => Err(format!("left: {:?} {:?}", self.standing(), self.processes())),
        }
    }
}

impl Drop for Scene {
    fn drop(&mut self) {
        for (process, _) in self.processes() {
            // It may have ended by now.
            let _ = kill_process(process, Signal::KILL);
        }
    }
}

/// The example of a provider in shell, with its machines in that folder.
fn yard(folder: &Path) -> std::path::PathBuf {
    let example = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/providers/yard");
    let to = folder.join("yard");
    fs::create_dir(&to).expect("a temporary folder");
    fs::copy(example.join("yard.provider.toml"), to.join("yard.provider.toml")).expect("the example is there");
    let script = fs::read_to_string(example.join("yard.sh")).expect("the example is there");
    let root = format!("root={}/machines", folder.display());
    let script: Vec<&str> = script
        .lines()
        .map(|line| if line.starts_with("root=") { &root } else { line })
        .collect();
    fs::write(to.join("yard.sh"), script.join("\n") + "\n").expect("a temporary folder");
    fs::set_permissions(to.join("yard.sh"), fs::Permissions::from_mode(0o755)).expect("a temporary folder");
    to
}

/// Whether something was changed by then that is not written down.
fn loses_an_answer(point: &str) -> bool {
    let words: Vec<&str> = point.split('.').collect();
    matches!(words[..], ["send", "create" | "destroy", _, "after"])
}

/// Kills the commands at some places each, all where `drawn` is none, and gives how many places there are.
fn told(name: &str, drawn: Option<usize>, dice: &mut Dice) -> Result<(usize, usize), String> {
    let scene = Scene::new(name);
    let (mut places, mut killed, mut broken) = (0, 0, Vec::new());
    for verb in ["run", "up", "down"] {
        let (ended, points) = scene.call(verb).traced(&scene.installation.trace());
        if ended.code() != Some(0) {
            return Err(ended.to_string());
        }
        match verb {
            "up" => drop(scene.call("down").well()),
            // `down` is traced on what the next story brings up.
            _ => scene
                .is_gone()
                .map_err(|why| format!("{name} {verb}, which nobody killed: {why}"))?,
        }
        places += points.len();
        let mut drawn_first = points;
        dice.shuffle(&mut drawn_first);
        drawn_first.sort_by_key(|point| !loses_an_answer(point));
        for (turn, point) in drawn_first.iter().take(drawn.unwrap_or(usize::MAX)).enumerate() {
            match scene.tell(verb, point, turn) {
                Ok(was_killed) => killed += usize::from(was_killed),
                Err(why) => broken.push(format!("{name} {verb}:{point}: {why}")),
            }
        }
        if verb == "up" {
            scene.call("up").well();
        }
    }
    if broken.is_empty() {
        Ok((places, killed))
    } else {
        Err(broken.join("\n"))
    }
}

#[test]
fn crash_matrix_elsewhere() {
    // Other places: CRASH_SEED=2; all of them: CRASH_ALL=1
    let seed = crate::matrix::variable("CRASH_SEED").map_or(1, |text| text.parse().expect("a seed is a number"));
    let all = crate::matrix::variable("CRASH_ALL").is_some();
    let began = clock::now();
    let both: Vec<_> = std::thread::scope(|scope| {
        let lanes = DRAWN.map(|(name, drawn)| {
            scope.spawn(move || {
                let told = told(name, (!all).then_some(drawn), &mut Dice::new(seed));
                (name, told, began.elapsed())
            })
        });
        lanes.map(|lane| lane.join().expect("see above")).into()
    });
    let mut broken = Vec::new();
    for (name, told, took) in both {
        let (places, killed) = match told {
            Ok(counted) => counted,
            Err(why) => {
                broken.push(why);
                continue;
            }
        };
        println!("{name}: killed at {killed} of {places} places (seed {seed}), in {took:.0?}");
        assert!(
            places >= FLOOR,
            "{places} places are too few: does the trace still work?"
        );
        let drawn = DRAWN.iter().find(|drawn| drawn.0 == name).map_or(0, |drawn| drawn.1);
        assert!(
            killed > drawn * 2,
            "{killed} places were reached again, of {} that were drawn",
            drawn * 3
        );
    }
    assert!(broken.is_empty(), "\n{}", broken.join("\n"));
}
