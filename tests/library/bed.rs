//! A state folder, machines that are processes of this host, and child processes that use them.

use std::fs;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use encamp::helper::Helper;
use encamp::spec::{Environment, Machine, Ready};
use encamp::{Ambient, Builder, Encamp, local};
use tempfile::TempDir;

/// How long a keeper may take.
pub(crate) const WITHIN: Duration = Duration::from_secs(10);
/// How long a child, and the begin of a command, may take.
const PATIENCE: Duration = Duration::from_mins(1);

const BUILD: &str = "cargo build --workspace --all-features";

/// Tells machines of this bed from those of others.
static BEDS: AtomicU32 = AtomicU32::new(0);

/// What a child is told: the scene, the state folder, the number of seconds that a machine sleeps.
pub(crate) const SCENE: &str = "ENCAMP_TEST_SCENE";
pub(crate) const STATE: &str = "ENCAMP_TEST_STATE";
pub(crate) const NAP: &str = "ENCAMP_TEST_NAP";
/// Whether it has keepers.
pub(crate) const KEEPERS: &str = "ENCAMP_TEST_KEEPERS";

/// The first line of that kind which a child says. It may go on to speak.
pub(crate) fn line(child: &mut Child, wanted: impl Fn(&str) -> bool) -> String {
    let out = child.stdout.take().expect("its output is piped");
    let mut lines = BufReader::new(out).lines().map_while(Result::ok);
    let line = lines.find(|line| wanted(line)).expect("the child says it");
    std::thread::spawn(move || lines.for_each(drop));
    line
}

pub(crate) struct Bed {
    folder: TempDir,
    pub(crate) nap: String,
    pub(crate) keepers: bool,
}

impl Bed {
    pub(crate) fn new(keepers: bool) -> Self {
        let number = BEDS.fetch_add(1, Ordering::Relaxed);
        Self {
            folder: tempfile::tempdir().expect("a folder can be made"),
            nap: format!("{}.{number}", std::process::id()),
            keepers,
        }
    }

    /// The keepers of its environments.
    fn watched(&self) -> Vec<u32> {
        let ours = format!("ENCAMP_HELPER=keeper 1 {}/", self.state().display());
        let all = fs::read_dir("/proc").into_iter().flatten().flatten();
        all.filter_map(|entry| entry.file_name().to_str()?.parse().ok())
            .filter(|pid: &u32| {
                let variables = fs::read(format!("/proc/{pid}/environ")).unwrap_or_default();
                variables
                    .split(|byte| *byte == 0)
                    .any(|line| line.starts_with(ours.as_bytes()))
            })
            .collect()
    }

    pub(crate) fn state(&self) -> PathBuf {
        self.folder.path().join("state")
    }

    pub(crate) fn open(&self) -> Encamp {
        builder(&self.state(), self.keepers)
            .open()
            .expect("the state folder can be opened")
    }

    /// This test program as a child that plays a scene.
    pub(crate) fn child(&self, scene: &str) -> Child {
        let mut child = Command::new(std::env::current_exe().expect("a test knows where it lies"));
        child
            .args([
                "scenes::a_child_plays_its_scene",
                "--exact",
                "--nocapture",
                "--test-threads=1",
            ])
            .env(SCENE, scene)
            .env(STATE, self.state())
            .env(NAP, &self.nap)
            .env(KEEPERS, if self.keepers { "yes" } else { "no" })
            .stdin(Stdio::piped())
            .stdout(Stdio::piped());
        child.spawn().expect("this program can be started again")
    }

    /// How a child ended that had machines at work before.
    pub(crate) fn plays(&self, scene: &str) -> ExitStatus {
        let mut child = self.child(scene);
        line(&mut child, |line| line == "ready");
        self.works(2);
        drop(child.stdin.take());
        ended(&mut child)
    }

    /// The processes of machines of this bed.
    pub(crate) fn at_work(&self) -> Vec<u32> {
        at_work(&self.nap)
    }

    /// So many machines run, now or as soon as their commands have begun.
    #[track_caller]
    pub(crate) fn works(&self, machines: usize) {
        let seen = || self.at_work().len();
        until(
            PATIENCE,
            "machines at work",
            || seen() == machines,
            || seen().to_string(),
        );
    }

    /// The folders of machines of this bed.
    pub(crate) fn sandboxes(&self) -> Vec<String> {
        let folders = fs::read_dir(self.state().join("sandboxes"))
            .into_iter()
            .flatten()
            .flatten();
        let names = folders.filter_map(|folder| folder.file_name().into_string().ok());
        names.filter(|name| name.starts_with("ec-")).collect()
    }

    fn left(&self) -> (Vec<u32>, Vec<String>) {
        (self.at_work(), self.sandboxes())
    }

    /// Nothing of any machine is there any more, at the latest after that long.
    #[track_caller]
    pub(crate) fn is_empty_within(&self, span: Duration) {
        until(
            span,
            "nothing is left",
            || self.left() == (Vec::new(), Vec::new()),
            || format!("{:?}", self.left()),
        );
    }
}

/// Its keepers end before its folder does: what they know of lies there.
impl Drop for Bed {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            let left = || self.watched();
            until(
                PATIENCE,
                "its keepers have ended",
                || left().is_empty(),
                || format!("{:?}", left()),
            );
        }
    }
}

#[track_caller]
pub(crate) fn until(span: Duration, what: &str, holds: impl Fn() -> bool, otherwise: impl Fn() -> String) {
    let began = now();
    while !holds() {
        assert!(began.elapsed() < span, "not so after {span:?}: {what}: {}", otherwise());
        nap(Duration::from_millis(20));
    }
}

#[track_caller]
pub(crate) fn ended(child: &mut Child) -> ExitStatus {
    let began = now();
    loop {
        if let Some(status) = child.try_wait().expect("it is our child") {
            return status;
        }
        if began.elapsed() > PATIENCE {
            let _ = child.kill();
            panic!("the child has not ended within {PATIENCE:?}");
        }
        nap(Duration::from_millis(10));
    }
}

#[expect(clippy::disallowed_methods, reason = "processes live in real time")]
pub(crate) fn now() -> Instant {
    Instant::now()
}

#[expect(clippy::disallowed_methods, reason = "processes live in real time")]
pub(crate) fn nap(span: Duration) {
    std::thread::sleep(span);
}

/// The binary that the same build has put beside this test.
fn helper() -> Helper {
    let test = std::env::current_exe().expect("a test knows where it lies");
    let folder = test.parent().and_then(Path::parent).expect("it lies in `deps`");
    let program = folder.join("encamp");
    encamp::helper::that(&program).unwrap_or_else(|| panic!("{} is no helper: {BUILD}", program.display()))
}

pub(crate) fn builder(state: &Path, keepers: bool) -> Builder {
    Encamp::builder()
        .state_dir(state)
        .ambient(Ambient::of_process())
        .helper(helper())
        .keepers(keepers)
        .provider(local::kind())
}

/// The processes of machines with that nap.
pub(crate) fn at_work(nap: &str) -> Vec<u32> {
    let line = format!("sleep 17{nap}");
    let all = fs::read_dir("/proc").into_iter().flatten().flatten();
    all.filter_map(|entry| entry.file_name().to_str()?.parse().ok())
        .filter(|pid: &u32| {
            let words = fs::read_to_string(format!("/proc/{pid}/cmdline")).unwrap_or_default();
            words.trim_end_matches('\0').replace('\0', " ") == line
        })
        .collect()
}

/// Two machines that do nothing but sleep, by a number that nobody else has.
pub(crate) fn pair(nap: &str) -> Environment {
    Environment::new("pair")
        .ttl(Duration::from_mins(10))
        .machine(sleeper("db", nap).ready(Ready::run("true")))
        .machine(sleeper("web", nap).port("http", 8080).set("depends_on", vec!["db"]))
}

/// One machine, `db`, that is ready so.
pub(crate) fn alone(nap: &str, ready: Ready) -> Environment {
    Environment::new("alone")
        .ttl(Duration::from_mins(10))
        .machine(sleeper("db", nap).ready(ready))
}

fn sleeper(name: &str, nap: &str) -> Machine {
    Machine::new(name, "local").table(&local::Table::command(["sleep".to_owned(), format!("17{nap}")]))
}

/// The pair, and a third, `late`, that never gets ready and is waited for that long.
pub(crate) fn never_ready(nap: &str, within: Duration) -> Environment {
    let late = sleeper("late", nap).set("depends_on", vec!["db"]);
    pair(nap).machine(late.ready(Ready::file("/never").within(within)))
}
