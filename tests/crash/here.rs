//! Machines that are sandboxes on this host: each command killed at every place where a crash matters.

use std::fs;
use std::time::Duration;

use crate::clock;
use crate::installation::Installation;
use crate::program::{Call, Ended};

/// How long a process may take to be gone once nobody knows of it any more.
const WITHIN: Duration = Duration::from_secs(10);
/// Distinct places of the three commands together.
const FLOOR: usize = 60;

/// Two machines of which one needs the other, a set-up step, a service, a task. `NAP` is what they do, and nobody else.
const PAIR: &str = r#"
name = "pair"
ttl = "30m"

[machines.db]
provider = "local"
local.command = "setsid NAP & exec NAP"

[machines.app]
provider = "local"
depends_on = ["db"]
setup = [{ run = "echo set up" }]
services.nap = { run = "NAP" }

[[stages]]
name = "test"

[[stages.tasks]]
name = "look"
on = "app"
timeout = "30s"
run = "setsid NAP & true"
"#;

impl Installation {
    /// The folders of its machines on this host.
    pub(crate) fn sandboxes(&self) -> Vec<String> {
        let folders = fs::read_dir(self.path().join("state/sandboxes"))
            .into_iter()
            .flatten()
            .flatten();
        let names = folders.filter_map(|folder| folder.file_name().into_string().ok());
        names.filter(|name| name.starts_with("ec-")).collect()
    }
}

/// The processes of this host that are called so.
pub(crate) fn called(line: &str) -> Vec<u32> {
    let all = fs::read_dir("/proc").into_iter().flatten().flatten();
    all.filter_map(|entry| entry.file_name().to_str()?.parse().ok())
        .filter(|pid: &u32| {
            let words = fs::read_to_string(format!("/proc/{pid}/cmdline")).unwrap_or_default();
            words.trim_end_matches('\0').replace('\0', " ") == line
        })
        .collect()
}

struct Scene {
    installation: Installation,
    file: String,
    nap: String,
}

impl Scene {
    fn new() -> Self {
        let installation = Installation::new();
        let nap = format!("sleep 1744.{}", std::process::id());
        let file = installation.write("pair.toml", &PAIR.replace("NAP", &nap));
        Self {
            installation,
            file,
            nap,
        }
    }

    fn call(&self, verb: &str) -> Call {
        match verb {
            "down" => self.installation.call(&["down", "-e", "pair"]),
            "gc" => self.installation.call(&["gc"]),
            verb => self.installation.call(&[verb, &self.file]),
        }
    }

    /// Nothing stands here and nothing runs.
    fn is_gone(&self) -> Result<(), String> {
        let left = || (self.installation.sandboxes(), called(&self.nap));
        match clock::until(WITHIN, || (left() == (Vec::new(), Vec::new())).then_some(())) {
            Some(()) => Ok(()),
            None => Err(format!("left: {:?}", left())),
        }
    }

    /// What is wanted and what is not, after the command was killed at a place and others mended it.
    fn tell(&self, verb: &str, point: &str, turn: usize) -> Result<bool, String> {
        let well = |ended: Ended| match ended.code() {
            Some(0) => Ok(()),
            _ => Err(ended.to_string()),
        };
        if verb == "down" {
            well(self.call("up").end())?;
        }
        let ended = self.call(verb).killed_at(point).end();
        let was_killed = ended.was_killed();
        if !was_killed {
            well(ended)?;
        }
        match (verb, turn % 2) {
            ("up", 0) => {
                well(self.call("up").end())?;
                let machines = self.installation.sandboxes();
                if machines.len() != 2 || called(&self.nap).len() < 2 {
                    return Err(format!("not two machines at work: {machines:?}"));
                }
            }
            ("run", _) | ("down", 1) => well(self.call("gc").end())?,
            _ => {}
        }
        if !self.installation.environments().is_empty() {
            well(self.call("down").end())?;
        }
        self.is_gone().map(|()| was_killed)
    }
}

#[test]
fn crash_matrix_here() {
    let scene = Scene::new();
    let began = clock::now();
    let (mut told, mut missed, mut broken) = (0, Vec::new(), Vec::new());
    for verb in ["run", "up", "down"] {
        let (ended, points) = scene.call(verb).traced(&scene.installation.trace());
        assert_eq!(ended.code(), Some(0), "{ended}");
        for (turn, point) in points.iter().enumerate() {
            if verb != "up" && turn == 0 {
                scene.is_gone().unwrap_or_else(|left| panic!("{left}"));
            }
            if verb == "up" && turn == 0 {
                scene.call("down").well();
            }
            match scene.tell(verb, point, turn) {
                Ok(true) => told += 1,
                Ok(false) => missed.push(format!("{verb}:{point}")),
                Err(why) => broken.push(format!("{verb}:{point}: {why}")),
            }
            assert!(broken.len() < 5, "\n{}", broken.join("\n"));
        }
        if verb == "up" {
            // `down` is traced on what stands.
            scene.call("up").well();
        }
    }
    println!(
        "killed at {told} places on this host in {:.0?}; not reached again: {missed:?}",
        began.elapsed()
    );
    assert!(broken.is_empty(), "\n{}", broken.join("\n"));
    assert!(told >= FLOOR, "{told} places are too few: does the trace still work?");
    assert!(missed.len() < told / 10, "{missed:?}");
}
