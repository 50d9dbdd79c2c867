//! A folder of its own for each test: home, state, environment file; and the program that is tested.

use std::fmt;
use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

/// A test's own folder.
pub(crate) struct Bed {
    folder: TempDir,
    /// What it makes is taken down when it ends.
    takes_down: bool,
}

/// How a call of the program ended.
#[derive(Debug)]
pub(crate) struct Ran {
    pub(crate) code: i32,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl fmt::Display for Ran {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "exit {}\n-- stdout\n{}-- stderr\n{}",
            self.code, self.stdout, self.stderr
        )
    }
}

impl Ran {
    /// Ends the test where the program did not end so.
    #[track_caller]
    pub(crate) fn exits(self, code: i32) -> Self {
        assert_eq!(self.code, code, "{self}");
        self
    }
}

impl Bed {
    pub(crate) fn new() -> Self {
        Self {
            folder: tempfile::tempdir().expect("a temporary folder can be made"),
            takes_down: false,
        }
    }

    /// For tests on a real daemon, whose part is `busybox:1.35`.
    pub(crate) fn with_docker() -> Self {
        Self::with_images(&["busybox:1.35"])
    }

    /// For tests on a real daemon, with images that the parts have made.
    pub(crate) fn with_images(images: &[&str]) -> Self {
        for image in images {
            let there = Command::new("docker").args(["image", "inspect", image]).output();
            assert!(
                there.is_ok_and(|output| output.status.success()),
                "a Docker daemon with the image {image} is missing: tests/run --install"
            );
        }
        let mut bed = Self::new();
        bed.takes_down = true;
        bed
    }

    /// For tests with machines on this host.
    pub(crate) fn with_local() -> Self {
        let mut bed = Self::new();
        bed.takes_down = true;
        bed
    }

    pub(crate) fn path(&self) -> &Path {
        self.folder.path()
    }

    /// Writes a file, and the folders above it.
    pub(crate) fn write(&self, path: &str, text: &str) -> PathBuf {
        let path = self.path().join(path);
        std::fs::create_dir_all(path.parent().expect("it is in the bed")).expect("a folder can be made");
        std::fs::write(&path, text).expect("a file can be written");
        path
    }

    pub(crate) fn read(&self, path: &str) -> String {
        std::fs::read_to_string(self.path().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
    }

    /// The program in this bed, with nothing of the surrounding settings.
    pub(crate) fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_encamp"));
        self.settle(&mut command);
        command.args(arguments);
        command
    }

    fn settle(&self, command: &mut Command) {
        command.current_dir(self.path()).stdin(Stdio::null());
        for name in [
            "XDG_STATE_HOME",
            "XDG_CONFIG_HOME",
            "XDG_CACHE_HOME",
            "NO_COLOR",
            "CLICOLOR_FORCE",
            "CLICOLOR",
        ] {
            command.env_remove(name);
        }
        command
            .env("HOME", self.path().join("home"))
            .env("USER", "anna")
            .env("TZ", "UTC");
        command.env("ENCAMP__STATE_DIR", self.path().join("state"));
        // Nothing of a test outlives it; keepers have tests of their own.
        command.env("ENCAMP__KEEPER", "false");
    }

    pub(crate) fn encamp(&self, arguments: &[&str]) -> Ran {
        self.run(&mut self.command(arguments))
    }

    pub(crate) fn encamp_with_input(&self, arguments: &[&str], input: &[u8]) -> Ran {
        let mut command = self.command(arguments);
        let mut child = piped(&mut command).stdin(Stdio::piped()).spawn().expect("it starts");
        child
            .stdin
            .take()
            .expect("it is piped")
            .write_all(input)
            .expect("it reads its input");
        self.ran(child)
    }

    /// The program on a terminal of its own; `typed` is typed once `shown` can be read there.
    pub(crate) fn on_terminal(&self, arguments: &str, shown: &str, typed: &str) -> Ran {
        let mut command = Command::new("script");
        self.settle(&mut command);
        let line = format!(
            "stty rows 24 cols 100; exec {} {arguments}",
            env!("CARGO_BIN_EXE_encamp")
        );
        command.env("TERM", "xterm").args(["-qec", &line, "/dev/null"]);
        let spawned = piped(&mut command).stdin(Stdio::piped()).spawn();
        let mut child = spawned.expect("script is part of every Debian");
        let mut stdin = child.stdin.take().expect("it is piped");
        let mut stdout = child.stdout.take().expect("it is piped");
        let (mut said, mut chunk) = (Vec::new(), [0; 4096]);
        while !String::from_utf8_lossy(&said).contains(shown) {
            match stdout.read(&mut chunk).expect("it can be read") {
                0 => break,
                read => said.extend_from_slice(&chunk[..read]),
            }
        }
        stdin.write_all(typed.as_bytes()).expect("it reads its input");
        stdout.read_to_end(&mut said).expect("it can be read");
        // Its end is an end of file on the terminal, which may be read before what was typed has taken effect.
        drop(stdin);
        let ran = self.ran(child);
        Ran {
            stdout: self.plain(&said),
            ..ran
        }
    }

    pub(crate) fn run(&self, command: &mut Command) -> Ran {
        self.ran(piped(command).spawn().expect("it starts"))
    }

    pub(crate) fn start(&self, arguments: &[&str]) -> Child {
        piped(&mut self.command(arguments)).spawn().expect("it starts")
    }

    /// The same, with all that it says in a file of this bed.
    pub(crate) fn start_telling(&self, arguments: &[&str], file: &str) -> Child {
        let told = std::fs::File::create(self.path().join(file)).expect("a file can be made");
        let mut command = self.command(arguments);
        let both = told.try_clone().expect("it can be shared");
        command.stdout(both).stderr(told).spawn().expect("it starts")
    }

    /// Waits until the program has said something there.
    #[track_caller]
    pub(crate) fn until_told(&self, file: &str, what: &str) {
        self.until(what, || self.read(file).contains(what));
    }

    pub(crate) fn ran(&self, child: Child) -> Ran {
        let output = child.wait_with_output().expect("it ends");
        Ran {
            code: output.status.code().unwrap_or(-1),
            stdout: self.plain(&output.stdout),
            stderr: self.plain(&output.stderr),
        }
    }

    /// Output without what differs each time: this bed's folder, times and the random part of names.
    fn plain(&self, bytes: &[u8]) -> String {
        let text = String::from_utf8_lossy(bytes).replace(&*self.path().to_string_lossy(), "[BED]");
        let mut plain: String = text.lines().map(|line| plain_line(line) + "\n").collect();
        if !text.ends_with('\n') {
            plain.pop();
        }
        plain
    }

    /// Waits until an environment's machines are so many, and ready.
    pub(crate) fn until_ready(&self, machines: usize) {
        for _ in 0..300 {
            let ran = self.encamp(&["ls"]);
            if ran.stdout.contains(&format!(" {machines}/{machines} ")) {
                return;
            }
            pause();
        }
        panic!("{machines} machines did not get ready: {}", self.encamp(&["ls"]));
    }

    /// Waits until an environment is listed with a machine that exists.
    pub(crate) fn until_listed(&self, name: &str) {
        for _ in 0..300 {
            let ran = self.encamp(&["show", "-e", name]);
            if ran.stdout.contains("waiting") {
                return;
            }
            pause();
        }
        panic!("{name} did not appear: {}", self.encamp(&["ls"]));
    }

    /// Waits for something, a minute at most.
    #[track_caller]
    pub(crate) fn until(&self, what: &str, there: impl Fn() -> bool) {
        for _ in 0..600 {
            if there() {
                return;
            }
            pause();
        }
        panic!("{what} did not come: {}", self.encamp(&["ls"]));
    }

    /// What of this bed's controller is on the daemon.
    pub(crate) fn on_daemon(&self) -> Vec<String> {
        let controller: serde_json::Value =
            serde_json::from_str(&self.read("state/controller.json")).expect("it is JSON");
        let label = format!(
            "label=encamp.controller={}",
            controller["id"].as_str().expect("it has an id")
        );
        let list = |arguments: &[&str]| {
            let output = Command::new("docker")
                .args(arguments)
                .args(["--filter", &label])
                .output()
                .expect("docker starts");
            assert!(output.status.success(), "{output:?}");
            String::from_utf8_lossy(&output.stdout)
                .lines()
                .map(str::to_owned)
                .collect::<Vec<_>>()
        };
        let mut all = list(&["container", "ls", "--all", "--format", "{{.Names}}"]);
        all.extend(list(&["network", "ls", "--format", "{{.Name}}"]));
        all.extend(list(&["volume", "ls", "--format", "{{.Name}}"]));
        all
    }

    #[track_caller]
    pub(crate) fn nothing_is_left(&self) {
        let left = self.on_daemon();
        assert!(left.is_empty(), "left on the daemon: {left:?}");
    }
}

impl Drop for Bed {
    fn drop(&mut self) {
        if !self.takes_down || !self.path().join("state/store.db").exists() {
            return;
        }
        let _ = self.encamp(&["gc"]);
        let listed = self.encamp(&["ls", "--json"]);
        let listed: serde_json::Value = serde_json::from_str(&listed.stdout).unwrap_or_default();
        for environment in listed["environments"].as_array().into_iter().flatten() {
            let _ = self.encamp(&["down", "-e", environment["name"].as_str().unwrap_or_default()]);
        }
    }
}

fn piped(command: &mut Command) -> &mut Command {
    command.stdout(Stdio::piped()).stderr(Stdio::piped())
}

#[expect(
    clippy::disallowed_methods,
    reason = "the test waits for another process, not for a simulation"
)]
pub(crate) fn pause() {
    std::thread::sleep(Duration::from_millis(100));
}

pub(crate) fn signal(child: &Child, signal: Signal) {
    let pid = Pid::from_raw(child.id().cast_signed()).expect("it has a pid");
    kill_process(pid, signal).expect("it runs");
}

fn plain_line(line: &str) -> String {
    // Which of them was slower differs each time.
    if let Some((_, rest)) = line.strip_prefix("Slowest: ").and_then(|line| line.split_once(" · ")) {
        return format!("Slowest: [T] · {rest}");
    }
    // The day stands before the clock where it is not today.
    let words = line.split(' ').filter(|word| !is_day(word));
    words.map(plain_word).collect::<Vec<_>>().join(" ")
}

/// Whether it is a day, `2026-01-31`.
fn is_day(word: &str) -> bool {
    let mut parts = word
        .split('-')
        .map(|part| (part.len(), part.bytes().all(|b| b.is_ascii_digit())));
    [(4, true), (2, true), (2, true)].into_iter().eq(parts.by_ref())
}

/// `0.4s` → `[T]`, `16:32` → `[CLOCK]`, `14:30:55` → `[AT]`, `pair-3f9k` → `pair-[RUN]`.
fn plain_word(word: &str) -> String {
    let shape: String = word.chars().map(|c| if c.is_ascii_digit() { '9' } else { c }).collect();
    let bare = shape.trim_end_matches([')', ',', ';']);
    let end = &word[word.len() - (shape.len() - bare.len())..];
    match bare {
        "9.9s" | "99.9s" => format!("[T]{end}"),
        "99:99" => format!("[CLOCK]{end}"),
        "99:99:99" => format!("[AT]{end}"),
        _ => match word.trim_end_matches([')', ',', ';', '·', '`']).strip_prefix("pair-") {
            Some(id) if id.len() == 4 => word.replace(id, "[RUN]"),
            _ => word.to_owned(),
        },
    }
}

/// Two machines, one of which needs the other, and a stage.
pub(crate) fn pair(task: &str) -> String {
    format!(
        r#"name = "pair"
ttl = "10m"

[inputs]
greeting = {{ default = "hello" }}

[machines.web]
provider = "docker"
docker.image = "busybox:1.35"
docker.command = ["sh", "-c", "mkdir -p /srv && echo {{{{ inputs.greeting }}}} >/srv/index.html && echo serving && exec httpd -f -p 8080 -h /srv"]
ports = {{ http = 8080 }}
ready = [{{ http = "http", within = "30s" }}]

[machines.client]
provider = "docker"
docker.image = "busybox:1.35"
docker.command = ["sh", "-c", "echo waiting; exec sleep 600"]
env = {{ WEB_URL = "http://{{{{ machines.web.endpoint('http') }}}}" }}

[[stages]]
name = "test"

[[stages.tasks]]
name = "fetch"
on = "client"
timeout = "1m"
junit = ["report.xml"]
run = '''
{task}
'''

[outputs]
url = "http://{{{{ machines.web.endpoint('http') }}}}"
"#
    )
}

/// Serves a folder on a port of loopback, until what it gives is dropped.
pub(crate) fn serve(folder: &Path) -> (u16, Serving) {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port is free");
    let port = listener.local_addr().expect("it has an address").port();
    drop(listener);
    let child = Command::new("busybox")
        .args(["httpd", "-f", "-p", &format!("127.0.0.1:{port}"), "-h"])
        .arg(folder)
        .spawn()
        .expect("busybox is missing: tests/run --install");
    let serving = Serving(child);
    let reached = || std::net::TcpStream::connect(("127.0.0.1", port)).is_ok();
    for _ in 0..100 {
        if reached() {
            break;
        }
        pause();
    }
    (port, serving)
}

/// A server that ends when this does.
pub(crate) struct Serving(Child);

impl Drop for Serving {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}
