//! The example of a provider that makes containers: what `encamp provider check` cannot see of it.

use std::fs;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process_group};
use tempfile::TempDir;

/// Machines of one test, each of whose processes has a number that nobody else has.
struct Containers {
    root: TempDir,
    number: String,
}

impl Containers {
    fn new(test: u32) -> Self {
        let number = format!("17{test}.{}", std::process::id());
        let root = tempfile::tempdir().expect("a bed can be made");
        Self { root, number }
    }

    fn command(&self, verb: &str) -> Command {
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples/providers/nspawn/nspawn.sh");
        let mut command = Command::new(script);
        command.arg(verb).stdin(Stdio::null()).env_clear();
        command.env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin");
        command.env("ENCAMP_SETTING_ROOT", self.root.path());
        command.env("ENCAMP_KEY", "ec-abcdef-0123456789-web-g1-0123456789abcdef");
        command.env("ENCAMP_PREFIX", "ec-abcdef-").env("ENCAMP_NAME", "web");
        let line = format!("setsid sleep {0} & exec sleep {0}", self.number);
        command.env("ENCAMP_COMMAND", line);
        command
    }

    #[track_caller]
    fn does(&self, verb: &str) -> String {
        let Output { status, stdout, stderr } = self.command(verb).output().expect("it can be started");
        let complaints = String::from_utf8_lossy(&stderr);
        assert!(
            status.success(),
            "{verb}: {complaints}; as root: apt-get install systemd-container"
        );
        String::from_utf8_lossy(&stdout).into_owned()
    }

    /// How many of the processes that a machine runs are there.
    fn at_work(&self) -> usize {
        let sleeps = format!("sleep\0{}\0", self.number);
        let all = fs::read_dir("/proc").into_iter().flatten().flatten();
        all.filter(|entry| fs::read(entry.path().join("cmdline")).is_ok_and(|line| line == sleeps.as_bytes()))
            .count()
    }

    /// Waits until so many are there.
    #[track_caller]
    fn until_at_work(&self, count: usize) {
        for _ in 0..600 {
            if self.at_work() == count {
                return;
            }
            pause(50);
        }
        panic!("{} processes are there, not {count}", self.at_work());
    }

    #[track_caller]
    fn are_gone(&self) {
        self.until_at_work(0);
        assert_eq!(self.does("list"), "{\"complete\":true}\n");
        assert_eq!(
            fs::read_dir(self.root.path()).map(Iterator::count).unwrap_or_default(),
            0
        );
        let mounts = fs::read_to_string("/proc/mounts").unwrap_or_default();
        assert!(!mounts.contains(&self.root.path().display().to_string()), "{mounts}");
    }
}

impl Drop for Containers {
    fn drop(&mut self) {
        let _ = self.command("destroy").output();
    }
}

#[expect(clippy::disallowed_methods, reason = "other processes are waited for")]
fn pause(millis: u64) {
    std::thread::sleep(Duration::from_millis(millis));
}

#[test]
fn a_container_takes_along_what_it_runs() {
    let containers = Containers::new(1);
    containers.does("create");
    containers.until_at_work(2);
    containers.does("stop");
    assert_eq!(containers.at_work(), 0);
    containers.does("start");
    containers.until_at_work(2);
    containers.does("destroy");
    containers.are_gone();
}

#[test]
fn a_create_that_was_cut_off_is_made_once() {
    let containers = Containers::new(2);
    for millis in [0, 10, 20, 40, 60, 90, 130] {
        let mut create = containers.command("create");
        let mut child = create.process_group(0).spawn().expect("it can be started");
        pause(millis);
        let group = Pid::from_raw(child.id().cast_signed()).expect("it has a number");
        let _ = kill_process_group(group, Signal::KILL);
        child.wait().expect("it was ours");
        containers.does("create");
        containers.until_at_work(2);
        let listed = containers.does("list");
        assert_eq!(listed.matches("\"running\"").count(), 1, "after {millis} ms: {listed}");
        containers.does("destroy");
        containers.are_gone();
    }
}
