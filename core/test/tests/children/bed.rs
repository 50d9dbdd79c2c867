//! A state folder of its own, machines that are processes of this host, and children that use them.

use std::fs;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use tempfile::TempDir;

/// How long a keeper may take.
pub(crate) const WITHIN: Duration = Duration::from_secs(10);
/// How long a child, and the begin of a command, may take.
const PATIENCE: Duration = Duration::from_mins(1);

/// What a child is told: the scene, and the number of seconds that a machine sleeps.
pub(crate) const SCENE: &str = "ENCAMP_TEST_SCENE";
pub(crate) const NAP: &str = "ENCAMP_TEST_NAP";

/// Tells machines of this bed from those of others.
static BEDS: AtomicU32 = AtomicU32::new(0);

pub(crate) struct Bed {
    folder: TempDir,
    pub(crate) nap: String,
}

/// What a child came to.
pub(crate) struct Played {
    pub(crate) status: ExitStatus,
    /// All that the harness showed.
    pub(crate) said: String,
}

impl Bed {
    pub(crate) fn new() -> Self {
        let number = BEDS.fetch_add(1, Ordering::Relaxed);
        Self {
            folder: tempfile::tempdir().expect("a folder can be made"),
            nap: format!("{}.{number}", std::process::id()),
        }
    }

    pub(crate) fn state(&self) -> PathBuf {
        self.folder.path().join("state")
    }

    pub(crate) fn file(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// What every child of this bed is told.
    pub(crate) fn tell<'a>(&self, command: &'a mut Command, scene: &str) -> &'a mut Command {
        command
            .env(SCENE, scene)
            .env(NAP, &self.nap)
            .env("ENCAMP_TEST_STATE", self.state())
            .env_remove("ENCAMP_TEST_KEEP")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
    }

    /// This test program as a child that runs one of its tests.
    pub(crate) fn command(&self, test: &str, scene: &str) -> Command {
        let mut child = Command::new(std::env::current_exe().expect("a test knows where it lies"));
        child.args([test, "--exact"]);
        self.tell(&mut child, scene);
        child
    }

    pub(crate) fn plays(&self, test: &str, scene: &str) -> Played {
        played(&mut self.command(test, scene))
    }

    /// The processes of machines of this bed.
    pub(crate) fn at_work(&self) -> Vec<u32> {
        let line = format!("sleep 17{}", self.nap);
        let all = fs::read_dir("/proc").into_iter().flatten().flatten();
        all.filter_map(|entry| entry.file_name().to_str()?.parse().ok())
            .filter(|pid: &u32| {
                let words = fs::read_to_string(format!("/proc/{pid}/cmdline")).unwrap_or_default();
                words.trim_end_matches('\0').replace('\0', " ") == line
            })
            .collect()
    }

    /// The folders of machines of this bed.
    fn sandboxes(&self) -> Vec<String> {
        let folders = fs::read_dir(self.state().join("sandboxes"));
        let names = folders.into_iter().flatten().flatten();
        let names = names.filter_map(|folder| folder.file_name().into_string().ok());
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

    /// Whether some process, a keeper, still uses the state folder.
    fn is_used(&self) -> bool {
        let used = |pid: std::ffi::OsString| {
            let open = fs::read_dir(Path::new("/proc").join(pid).join("fd"));
            let mut files = open.into_iter().flatten().flatten();
            files.any(|file| fs::read_link(file.path()).is_ok_and(|it| it.starts_with(self.folder.path())))
        };
        let all = fs::read_dir("/proc").into_iter().flatten().flatten();
        all.map(|entry| entry.file_name()).any(used)
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
}

/// A keeper whose state folder goes before it has seen that nothing is left to do stays for long.
impl Drop for Bed {
    fn drop(&mut self) {
        let began = now();
        while self.is_used() && began.elapsed() < WITHIN {
            nap(Duration::from_millis(20));
        }
    }
}

pub(crate) fn played(command: &mut Command) -> Played {
    let mut child = command.spawn().expect("this program can be started again");
    drop(child.stdin.take());
    let readers = [
        reader(child.stdout.take().expect("its output is piped")),
        reader(child.stderr.take().expect("its output is piped")),
    ];
    let status = ended(&mut child);
    let said = readers.map(|reader| reader.join().expect("a reader ends with what it reads"));
    Played {
        status,
        said: said.concat(),
    }
}

fn reader(mut from: impl Read + Send + 'static) -> std::thread::JoinHandle<String> {
    std::thread::spawn(move || {
        let mut said = Vec::new();
        let _ = from.read_to_end(&mut said);
        String::from_utf8_lossy(&said).into_owned()
    })
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
