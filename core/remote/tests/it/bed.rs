//! An OpenSSH server of one test: its own keys, its own configuration, its own folder for what runs leave.

use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use encamp_core::{
    Ambient, Cx, Exec, Exit, Identity, Key, Labels, Process, Result, Site, SshAccess, Stamp, Target, Token,
};
use encamp_remote::{Client, Options, Remote};
use tokio::io::AsyncReadExt;

/// The cases of a module, once with each client.
macro_rules! cases {
    ($($name:ident),+ $(,)?) => {
        mod system {
            $(#[tokio::test(flavor = "multi_thread")]
            async fn $name() {
                super::$name(encamp_remote::Client::System).await;
            })+
        }
        #[cfg(feature = "russh")]
        mod own {
            $(#[tokio::test(flavor = "multi_thread")]
            async fn $name() {
                super::$name(encamp_remote::Client::Own).await;
            })+
        }
    };
}
pub(crate) use cases;

/// A server, its folder and the keys to it.
pub(crate) struct Bed {
    pub(crate) folder: tempfile::TempDir,
    pub(crate) port: u16,
    server: Child,
    /// Of the server.
    pub(crate) host_key: String,
}

impl Bed {
    pub(crate) fn new() -> Self {
        Self::with("")
    }

    /// With further lines of `sshd_config`.
    pub(crate) fn with(lines: &str) -> Self {
        let folder = tempfile::Builder::new()
            .prefix("encamp-remote-it-")
            .tempdir_in("/tmp")
            .unwrap();
        let at = |name: &str| folder.path().join(name);
        std::fs::create_dir(at("run")).unwrap();
        for key in ["host", "user", "stranger"] {
            make_key(&at(key));
        }
        std::fs::copy(at("user.pub"), at("authorized")).unwrap();
        std::fs::create_dir_all("/run/sshd").unwrap();
        // Of this option alone the last one counts.
        let startups = if lines.contains("MaxStartups") {
            ""
        } else {
            "MaxStartups 100"
        };
        // What is set first counts, so the test's lines come first. What this machine's user has a shell do first can
        // take longer than all else, and is in another home.
        let config = |port: u16| {
            format!(
                "{lines}\nPort {port}\nListenAddress 127.0.0.1\nHostKey {0}\nAuthorizedKeysFile {1}\nUsePAM no\nStrictModes no\n\
                 PidFile none\nPermitRootLogin prohibit-password\n{startups}\nSetEnv XDG_RUNTIME_DIR={2} HOME={2}\n",
                at("host").display(),
                at("authorized").display(),
                at("run").display()
            )
        };
        let (port, server) = start(&at("sshd_config"), &at("sshd.log"), config);
        let host_key = std::fs::read_to_string(at("host.pub")).unwrap().trim().to_owned();
        Self {
            folder,
            port,
            server,
            host_key,
        }
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// As this user, with the key that the server knows.
    pub(crate) fn access(&self) -> SshAccess {
        self.access_as(&self.path("user"))
    }

    pub(crate) fn access_as(&self, key: &Path) -> SshAccess {
        let mut access = SshAccess::new("127.0.0.1", "root", vec![self.host_key.clone()]);
        access.port = self.port;
        access.identity = Identity::File(key.to_owned());
        access
    }

    /// What runs have left on the host.
    pub(crate) fn left_behind(&self) -> Vec<PathBuf> {
        let entries = std::fs::read_dir(self.path("run")).unwrap();
        entries.map(|entry| entry.unwrap().path()).collect()
    }

    /// Processes that sessions of this server have left.
    pub(crate) fn at_work(&self) -> Vec<String> {
        let variable = format!("XDG_RUNTIME_DIR={}", self.path("run").display());
        let all = std::fs::read_dir("/proc").unwrap().flatten();
        let read = |entry: &std::fs::DirEntry, name| std::fs::read_to_string(entry.path().join(name)).ok();
        all.filter(|entry| read(entry, "environ").is_some_and(|all| all.split('\0').any(|set| set == variable)))
            .map(|entry| format!("{} {:?}", entry.file_name().display(), read(&entry, "cmdline")))
            .collect()
    }

    /// Waits until runs have left nothing, neither files nor processes.
    pub(crate) async fn is_clean(&self) {
        for _ in 0..400 {
            if self.left_behind().is_empty() && self.at_work().is_empty() {
                return;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        panic!("left behind: {:?}; {:#?}", self.left_behind(), self.at_work());
    }

    /// Ends the server and everything that it serves, as a crash of the host would.
    pub(crate) fn stopped(mut self) -> Self {
        let served = children(self.server.id());
        let _ = self.server.kill();
        let _ = self.server.wait();
        for pid in served {
            let pid = rustix::process::Pid::from_raw(pid).unwrap();
            let _ = rustix::process::kill_process(pid, rustix::process::Signal::KILL);
        }
        self
    }

    pub(crate) fn log(&self) -> String {
        std::fs::read_to_string(self.path("sshd.log")).unwrap_or_default()
    }
}

impl Drop for Bed {
    fn drop(&mut self) {
        let _ = self.server.kill();
        let _ = self.server.wait();
        if std::thread::panicking() {
            let log = self.log();
            let from = log.len().saturating_sub(3000);
            eprintln!("sshd said:\n{}", &log[log.ceil_char_boundary(from)..]);
        }
    }
}

/// The processes that a process has started.
fn children(parent: u32) -> Vec<i32> {
    let all = std::fs::read_dir("/proc").unwrap();
    let pids = all.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse::<i32>().ok());
    pids.filter(|pid| {
        let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
        let behind_name = stat.rsplit(") ").next().unwrap_or_default();
        behind_name.split(' ').nth(1) == Some(parent.to_string().as_str())
    })
    .collect()
}

fn make_key(path: &Path) {
    let made = Command::new("ssh-keygen")
        .args(["-q", "-t", "ed25519", "-N", "", "-C", "test", "-f"])
        .arg(path)
        .status();
    assert!(
        made.is_ok_and(|status| status.success()),
        "no ssh-keygen: apt-get install openssh-client"
    );
}

fn start(config: &Path, log: &Path, text: impl Fn(u16) -> String) -> (u16, Child) {
    let program = ["/usr/sbin/sshd", "/usr/local/sbin/sshd", "/usr/bin/sshd"].map(Path::new);
    let program = program.into_iter().find(|program| program.exists());
    let program = program.expect("no sshd: apt-get install openssh-server");
    for _ in 0..10 {
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        std::fs::write(config, text(port)).unwrap();
        let mut server = Command::new(program)
            .args(["-D", "-f"])
            .arg(config)
            .arg("-E")
            .arg(log)
            // Its sessions live a little longer than the test, and would keep its output open.
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        // Whoever answers there may be another one; where it is, this one ends.
        let listens = format!("Server listening on 127.0.0.1 port {port}.");
        for _ in 0..2000 {
            if std::fs::read_to_string(log).is_ok_and(|log| log.contains(&listens)) {
                return (port, server);
            }
            if server.try_wait().unwrap().is_some() {
                break;
            }
            #[expect(clippy::disallowed_methods, reason = "no runtime is needed to wait for a server")]
            std::thread::sleep(Duration::from_millis(10));
        }
        let _ = server.kill();
        let _ = server.wait();
    }
    panic!(
        "sshd does not start: {}",
        std::fs::read_to_string(log).unwrap_or_default()
    );
}

/// A disk of the test's own below the run folder.
pub(crate) struct Disk<'a>(&'a Bed);

impl<'a> Disk<'a> {
    pub(crate) fn of(bed: &'a Bed, size: &str) -> Self {
        let mounted = Command::new("mount")
            .args(["-t", "tmpfs", "-o", &format!("size={size}"), "tmpfs"])
            .arg(bed.path("run"))
            .status();
        assert!(mounted.is_ok_and(|status| status.success()), "mounting needs root");
        Self(bed)
    }
}

impl Drop for Disk<'_> {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(self.0.path("run")).status();
    }
}

pub(crate) fn ambient() -> Ambient {
    let path = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin".to_owned();
    Ambient::new([("PATH".to_owned(), path)], None)
}

pub(crate) fn remote(client: Client) -> Remote {
    Remote::new(&ambient(), Options::new().ssh_config("/dev/null").client(client)).unwrap()
}

pub(crate) fn target() -> Target {
    let stamp = Stamp::new(
        Key::new("ec-000000-0000000000-web-g1-mac"),
        Token::new("t"),
        Labels::new(),
    );
    Target::new(stamp, Site::new("ssh:test"), None)
}

pub(crate) fn command(argv: &[&str]) -> Exec {
    Exec::new(target(), argv.iter().copied())
}

pub(crate) fn shell(script: &str) -> Exec {
    command(&["sh", "-c", script])
}

pub(crate) fn cx() -> Cx {
    Cx::within(Duration::from_secs(30))
}

/// What a command came to.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Done {
    pub(crate) exit: Exit,
    pub(crate) out: String,
    pub(crate) err: String,
}

/// Reads a command to its end. Its outputs end with an error exactly where its outcome is lost; a terminal's do not.
pub(crate) async fn finish(process: Process) -> Done {
    let terminal = process.stderr.is_none();
    let (done, broken) = finish_with(process).await;
    let lost = matches!(done.exit, Exit::Lost(_)) && !terminal;
    assert_eq!(broken.len(), if lost { 2 } else { 0 }, "{:?}: {broken:?}", done.exit);
    done
}

/// Reads a command to its end; and with which errors its outputs ended.
pub(crate) async fn finish_with(process: Process) -> (Done, Vec<std::io::Error>) {
    let Process {
        stdin,
        mut stdout,
        stderr,
        mut control,
        ..
    } = process;
    drop(stdin);
    let (mut out, mut err) = (Vec::new(), Vec::new());
    let read = async {
        let errors = async {
            match stderr {
                Some(mut stderr) => stderr.read_to_end(&mut err).await.err(),
                None => None,
            }
        };
        let (read, errors) = tokio::join!(stdout.read_to_end(&mut out), errors);
        let broken: Vec<_> = read.err().into_iter().chain(errors).collect();
        (control.wait().await.unwrap(), broken)
    };
    let (exit, broken) = tokio::time::timeout(Duration::from_secs(60), read)
        .await
        .expect("the command ends");
    let done = Done {
        exit,
        out: String::from_utf8_lossy(&out).into_owned(),
        err: String::from_utf8_lossy(&err).into_owned(),
    };
    (done, broken)
}

/// Runs a command to its end.
pub(crate) async fn run(remote: &Remote, access: &SshAccess, exec: Exec) -> Result<Done> {
    Ok(finish(remote.exec(&cx(), access, None, exec).await?).await)
}

pub(crate) fn done(code: i32, out: &str, err: &str) -> Done {
    Done {
        exit: Exit::Code(code),
        out: out.to_owned(),
        err: err.to_owned(),
    }
}

pub(crate) fn sha256(bytes: &[u8]) -> String {
    use sha2::Digest;
    data_encoding::HEXLOWER.encode(&sha2::Sha256::digest(bytes))
}

/// So many bytes, always the same, without a pattern that a copy could get right by chance.
pub(crate) fn noise(length: u32) -> Vec<u8> {
    (0..length)
        .map(|n| n.wrapping_mul(2_654_435_761).to_be_bytes()[1])
        .collect()
}
