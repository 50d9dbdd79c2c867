//! Machines that are sandboxes on this host: each command killed at every place where a crash matters.

use std::fs;
use std::time::Duration;

use crate::clock;
use crate::installation::Installation;
use crate::story::Story;

/// How long a process may take to begin, and to be gone once nobody knows of it any more.
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
}

impl Story for Scene {
    fn installation(&self) -> &Installation {
        &self.installation
    }

    fn file(&self) -> &str {
        &self.file
    }

    fn is_whole(&self) -> Result<(), String> {
        let machines = || self.installation.sandboxes();
        // Their commands may have begun and not yet become what they are called.
        let work = || called(&self.nap).len() >= 2;
        match clock::until(WITHIN, || (machines().len() == 2 && work()).then_some(())) {
            Some(()) => Ok(()),
            None => Err(format!("not two machines at work: {:?}", machines())),
        }
    }

    fn is_gone(&self) -> Result<(), String> {
        let left = || (self.installation.sandboxes(), called(&self.nap));
        match clock::until(WITHIN, || (left() == (Vec::new(), Vec::new())).then_some(())) {
            Some(()) => Ok(()),
            None => Err(format!("left: {:?}", left())),
        }
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
