//! Master processes of the system's client, and programs that are killed.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use encamp_core::{Ambient, Exit, Identity, Size, SshAccess};
use encamp_remote::{Client, Options, Remote};

use crate::bed::{Bed, ambient, cx, done, finish, run, shell};
use crate::relay::Relay;

/// This test, in the program that is killed.
const NAME: &str = "masters::a_killed_program_leaves_no_master";
/// Tells that program what it needs: the bed's folder, and its port.
const TOLD: &str = "ENCAMP_REMOTE_IT_KILLED";

/// Sessions whose folder is below `place`.
fn below(place: &Path) -> Remote {
    let own = ambient();
    let path = own.variable("PATH").unwrap().to_owned();
    let variables = [
        ("PATH".to_owned(), path),
        ("XDG_RUNTIME_DIR".to_owned(), place.display().to_string()),
    ];
    let options = Options::new().ssh_config("/dev/null").client(Client::System);
    Remote::new(&Ambient::new(variables, None), options).unwrap()
}

/// The processes in whose command line a text stands.
fn with(text: &str) -> Vec<String> {
    let all = std::fs::read_dir("/proc").unwrap().flatten();
    let lines = all.filter_map(|entry| std::fs::read_to_string(entry.path().join("cmdline")).ok());
    lines.filter(|line| line.contains(text)).collect()
}

fn folders(place: &Path) -> Vec<PathBuf> {
    let all = std::fs::read_dir(place).unwrap();
    all.map(|entry| entry.unwrap().path()).collect()
}

async fn until(what: &str, mut is_so: impl FnMut() -> bool) {
    for _ in 0..400 {
        if is_so() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(25)).await;
    }
    panic!("{what}");
}

/// Lets the shells that hold masters of ours below `place` stand still, or go on.
fn signal_holders(place: &str, signal: rustix::process::Signal) -> usize {
    let ours = format!("\nPPid:\t{}\n", std::process::id());
    let all = std::fs::read_dir("/proc").unwrap().flatten();
    let reads = |entry: &std::fs::DirEntry, name, is_so: &dyn Fn(&str) -> bool| {
        std::fs::read_to_string(entry.path().join(name)).is_ok_and(|text| is_so(&text))
    };
    let holders = all
        .filter(|entry| {
            reads(entry, "cmdline", &|line| {
                line.starts_with("/bin/sh") && line.contains(place)
            })
        })
        .filter(|entry| reads(entry, "status", &|status| status.contains(&ours)))
        .filter_map(|entry| rustix::process::Pid::from_raw(entry.file_name().to_str()?.parse().ok()?));
    holders
        .map(|pid| rustix::process::kill_process(pid, signal).unwrap())
        .count()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_master_that_ends_is_known_without_the_shell_that_holds_it() {
    let bed = Bed::new();
    let relay = Relay::to(bed.port).await;
    let mut access = bed.access();
    access.port = relay.port;
    let place = bed.path("place");
    std::fs::create_dir(&place).unwrap();
    let text = place.display().to_string();
    let mut exec = shell("exec sleep 60");
    exec.tty = Some(Size::new(24, 80));
    let process = below(&place).exec(&cx(), &access, None, exec).await.unwrap();
    assert!(
        signal_holders(&text, rustix::process::Signal::STOP) > 0,
        "no shell is seen"
    );
    relay.cut().await;
    let ended = finish(process).await;
    signal_holders(&text, rustix::process::Signal::CONT);
    let Exit::Lost(how) = &ended.exit else {
        panic!("{ended:?}")
    };
    assert!(how.contains("the connection broke"), "{how}");
}

/// Logs in, says so, and waits to be killed.
async fn be_killed(told: &str) {
    let (folder, port) = told.rsplit_once(' ').unwrap();
    let at = |name: &str| Path::new(folder).join(name);
    let host_key = std::fs::read_to_string(at("host.pub")).unwrap().trim().to_owned();
    let mut access = SshAccess::new("127.0.0.1", "root", vec![host_key]);
    access.port = port.parse().unwrap();
    access.identity = Identity::File(at("user"));
    let remote = below(&at("place"));
    assert_eq!(
        run(&remote, &access, shell("echo in")).await.unwrap(),
        done(0, "in\n", "")
    );
    std::fs::write(at("ready"), "").unwrap();
    tokio::time::sleep(Duration::from_secs(60)).await;
}

#[expect(clippy::disallowed_methods, reason = "the program that is killed is told what to do")]
#[tokio::test(flavor = "multi_thread")]
async fn a_killed_program_leaves_no_master() {
    if let Ok(told) = std::env::var(TOLD) {
        return be_killed(&told).await;
    }
    let bed = Bed::new();
    let place = bed.path("place");
    std::fs::create_dir(&place).unwrap();
    let mut program = Command::new(std::env::current_exe().unwrap())
        .args([NAME, "--exact"])
        .env(TOLD, format!("{} {}", bed.folder.path().display(), bed.port))
        .spawn()
        .unwrap();
    until("it logs in", || bed.path("ready").exists()).await;
    let text = place.display().to_string();
    assert!(!with(&text).is_empty(), "no master is seen");
    // What a terminal sends to the group of the program is not for its masters.
    let own = rustix::process::getpgid(None).unwrap();
    for line in std::fs::read_dir("/proc").unwrap().flatten() {
        let is_master = std::fs::read_to_string(line.path().join("cmdline")).is_ok_and(|line| line.contains(&text));
        if let (true, Some(pid)) = (is_master, line.file_name().to_str().and_then(|pid| pid.parse().ok())) {
            let group = rustix::process::getpgid(rustix::process::Pid::from_raw(pid));
            assert_ne!(group, Ok(own), "{pid}");
        }
    }
    program.kill().unwrap();
    program.wait().unwrap();
    let mut left = Vec::new();
    until("masters live on", || {
        left = with(&text);
        left.is_empty()
    })
    .await;
    // What it has left goes with the next that comes; what another one uses stays.
    assert_eq!(folders(&place).len(), 1);
    let first = below(&place);
    let used = folders(&place);
    assert_eq!(used.len(), 1, "{used:?}");
    let _second = below(&place);
    assert!(folders(&place).contains(&used[0]));
    assert_eq!(
        run(&first, &bed.access(), shell("echo in")).await.unwrap(),
        done(0, "in\n", "")
    );
    drop(first);
    until("masters live on after their program has let go", || {
        with(&text).is_empty()
    })
    .await;
}
