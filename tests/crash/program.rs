//! The program under test, as a process.

use std::fmt;
use std::fs::{self, File};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process_group};
use serde_json::Value;

use crate::clock;

/// How long any command may take.
pub(crate) const PATIENCE: Duration = Duration::from_mins(2);

const BUILD: &str = "cargo build --workspace --all-features";
const SIGKILL: i32 = 9;

/// The binary that the same build has put beside this test.
fn binary() -> PathBuf {
    let test = std::env::current_exe().expect("a test knows where it lies");
    let folder = test.parent().and_then(Path::parent).expect("it lies in `deps`");
    let binary = folder.join("encamp");
    assert!(binary.is_file(), "{} is not there: {BUILD}", binary.display());
    binary
}

/// A command that has not begun yet.
pub(crate) struct Call {
    what: String,
    command: Command,
    out: PathBuf,
    err: PathBuf,
}

impl Call {
    /// In a folder of its own, with nothing of the user's; what it says goes into two files there.
    pub(crate) fn new(folder: &Path, number: usize, arguments: &[&str]) -> Self {
        let mut command = Command::new(binary());
        command.args(arguments).current_dir(folder).stdin(Stdio::null());
        for (name, value) in [
            ("HOME", "."),
            ("XDG_CONFIG_HOME", "config"),
            ("XDG_CACHE_HOME", "cache"),
        ] {
            command.env(name, folder.join(value));
        }
        // What the next command does is looked at; a keeper would be there before it.
        command.env("ENCAMP__KEEPER", "false");
        for name in ["DOCKER_HOST", "DOCKER_CONTEXT", "DOCKER_CONFIG"] {
            command.env_remove(name);
        }
        Self {
            what: format!("encamp {}", arguments.join(" ")),
            command,
            out: folder.join(format!("{number}.out")),
            err: folder.join(format!("{number}.err")),
        }
    }

    pub(crate) fn env(mut self, name: &str, value: impl AsRef<Path>) -> Self {
        let value = value.as_ref();
        if name == "ENCAMP__FAILPOINT" {
            self.what = format!("{} (killed at {})", self.what, value.display());
        }
        self.command.env(name, value);
        self
    }

    /// With a keeper, as users have it.
    pub(crate) fn kept(mut self) -> Self {
        self.command.env_remove("ENCAMP__KEEPER");
        self
    }

    /// In a process group of its own.
    pub(crate) fn in_group(mut self) -> Self {
        self.command.process_group(0);
        self
    }

    /// In a control group, and what it starts with it.
    pub(crate) fn in_control_group(mut self, group: &Path) -> Self {
        let mut inside = Command::new("sh");
        let enter = format!("echo $$ >'{}/cgroup.procs' && exec \"$0\" \"$@\"", group.display());
        inside
            .arg("-c")
            .arg(enter)
            .arg(self.command.get_program())
            .args(self.command.get_args());
        if let Some(folder) = self.command.get_current_dir() {
            inside.current_dir(folder);
        }
        for (name, value) in self.command.get_envs() {
            match value {
                Some(value) => inside.env(name, value),
                None => inside.env_remove(name),
            };
        }
        inside.stdin(Stdio::null());
        self.command = inside;
        self
    }

    /// Kills it at the first time that it reaches a failpoint.
    pub(crate) fn killed_at(self, point: &str) -> Self {
        self.env("ENCAMP__FAILPOINT", point)
    }

    pub(crate) fn begin(mut self) -> Running {
        let file = |path: &Path| File::create(path).expect("the test's folder can be written");
        self.command.stdout(file(&self.out)).stderr(file(&self.err));
        let child = self.command.spawn().expect("the binary can be started");
        Running {
            what: self.what,
            out: self.out,
            err: self.err,
            child,
            began: clock::now(),
        }
    }

    pub(crate) fn end(self) -> Ended {
        self.begin().end()
    }

    /// It ends well.
    #[track_caller]
    pub(crate) fn well(self) -> Ended {
        let ended = self.end();
        assert_eq!(ended.code(), Some(0), "{ended}");
        ended
    }

    /// Runs to its end, and gives the distinct names of the failpoints that it reached, in their order.
    pub(crate) fn traced(self, trace: &Path) -> (Ended, Vec<String>) {
        let ended = self.env("ENCAMP__FAILPOINT_TRACE", trace).end();
        let mut names = Vec::new();
        for name in fs::read_to_string(trace).unwrap_or_default().lines() {
            if !names.iter().any(|known| known == name) {
                names.push(name.to_owned());
            }
        }
        (ended, names)
    }
}

/// A command at work. It does not outlive its test.
pub(crate) struct Running {
    what: String,
    out: PathBuf,
    err: PathBuf,
    child: Child,
    began: Instant,
}

impl Running {
    /// Kills it and its whole process group, if it leads one.
    pub(crate) fn kill(&mut self) {
        let pid = Pid::from_child(&self.child);
        if kill_process_group(pid, Signal::KILL).is_err() {
            let _ = self.child.kill();
        }
        let _ = self.child.wait();
    }

    /// What it has printed so far.
    pub(crate) fn printed(&self) -> String {
        read(&self.out)
    }

    /// What it has said so far on both streams.
    pub(crate) fn said(&self) -> String {
        format!("{}{}", read(&self.out), read(&self.err))
    }

    /// Sends it a signal, by name.
    pub(crate) fn signal(&self, name: &str) {
        let kill = format!("kill -{name} {}", self.child.id());
        let sent = Command::new("sh").args(["-c", &kill]).status();
        assert!(sent.is_ok_and(|status| status.success()), "{kill}");
    }

    pub(crate) fn has_ended(&mut self) -> bool {
        self.child.try_wait().expect("it is our child").is_some()
    }

    #[track_caller]
    pub(crate) fn end(mut self) -> Ended {
        let status = clock::until(PATIENCE, || self.child.try_wait().expect("it is our child"));
        let took = self.began.elapsed();
        let (out, err) = (read(&self.out), read(&self.err));
        let Some(status) = status else {
            panic!("{} has not ended within {PATIENCE:?}\n{out}{err}", self.what);
        };
        Ended {
            what: self.what.clone(),
            status,
            out,
            err,
            took,
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// How a command ended, and what it said.
#[derive(Debug)]
pub(crate) struct Ended {
    what: String,
    status: ExitStatus,
    pub(crate) out: String,
    pub(crate) err: String,
    pub(crate) took: Duration,
}

impl Ended {
    /// Its verb, which follows the state folder.
    pub(crate) fn verb(&self) -> &str {
        self.what.split(' ').nth(3).unwrap_or_default()
    }

    /// Its exit code; none where a signal ended it.
    pub(crate) fn code(&self) -> Option<i32> {
        self.status.code()
    }

    pub(crate) fn was_killed(&self) -> bool {
        self.status.signal() == Some(SIGKILL)
    }

    /// The last line that it printed, as JSON.
    #[track_caller]
    pub(crate) fn json(&self) -> Value {
        let line = self.out.lines().last().unwrap_or_default();
        serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {self}"))
    }

    /// What was said on both streams.
    pub(crate) fn said(&self) -> String {
        format!("{}{}", self.out, self.err)
    }
}

impl fmt::Display for Ended {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "`{}` ended with {} after {:.1?}", self.what, self.status, self.took)?;
        for line in self.out.lines().chain(self.err.lines()) {
            writeln!(f, "    {line}")?;
        }
        Ok(())
    }
}

fn read(path: &Path) -> String {
    String::from_utf8_lossy(&fs::read(path).unwrap_or_default()).into_owned()
}
