//! Processes of this host: which they are, and how they are ended without ever meaning another one.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use rustix::process::{Pid, PidfdFlags, Signal, WaitStatus};
use serde::{Deserialize, Serialize};

use encamp_core::Exit;

/// The variable that every process of a machine inherits; its value is the machine's tag.
pub(crate) const COOKIE: &str = "ENCAMP_COOKIE";

/// A process, told from all that have or had its number by when it began.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct ProcessId {
    pub(crate) pid: i32,
    /// Ticks since boot.
    pub(crate) began: u64,
}

impl ProcessId {
    /// The process that has this number now.
    pub(crate) fn of(pid: i32) -> Option<Self> {
        Stat::of(pid).map(|stat| Self { pid, began: stat.began })
    }

    /// A hold on the process itself; nothing where it has ended.
    pub(crate) fn open(self) -> Option<OwnedFd> {
        let pidfd = rustix::process::pidfd_open(Pid::from_raw(self.pid)?, PidfdFlags::empty()).ok()?;
        // Read after the hold is taken: from now on the number cannot pass on to another process.
        let stat = Stat::of(self.pid)?;
        (stat.began == self.began && stat.state != 'Z').then_some(pidfd)
    }

    pub(crate) fn lives(self) -> bool {
        self.open().is_some()
    }

    pub(crate) fn signal(self, signal: Signal) {
        if let Some(pidfd) = self.open() {
            // It may have ended by now, which is as well.
            let _ = rustix::process::pidfd_send_signal(&pidfd, signal);
        }
    }
}

/// What tells this boot from all others.
pub(crate) fn boot_id() -> io::Result<String> {
    Ok(fs::read_to_string("/proc/sys/kernel/random/boot_id")?.trim().to_owned())
}

/// What `/proc/PID/stat` says.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Stat {
    state: char,
    parent: i32,
    session: i32,
    began: u64,
}

impl Stat {
    fn of(pid: i32) -> Option<Self> {
        Self::read(&fs::read_to_string(format!("/proc/{pid}/stat")).ok()?)
    }

    /// The name, in parentheses, may hold anything.
    fn read(line: &str) -> Option<Self> {
        let fields: Vec<&str> = line.rsplit_once(')')?.1.split_whitespace().collect();
        Some(Self {
            state: fields.first()?.chars().next()?,
            parent: fields.get(1)?.parse().ok()?,
            session: fields.get(3)?.parse().ok()?,
            began: fields.get(19)?.parse().ok()?,
        })
    }
}

/// All processes that live, zombies left out.
fn all() -> BTreeMap<i32, Stat> {
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    let pids = entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    pids.filter_map(|pid| Some((pid, Stat::of(pid)?)))
        .filter(|(_, stat)| !matches!(stat.state, 'Z' | 'X'))
        .collect()
}

/// The processes whose session a process leads.
pub(crate) fn of_session(leader: i32) -> Vec<ProcessId> {
    let mine = all().into_iter().filter(|(_, stat)| stat.session == leader);
    mine.map(|(pid, stat)| ProcessId { pid, began: stat.began }).collect()
}

/// Everything that descends from a process, without itself.
pub(crate) fn descendants(ancestor: i32) -> Vec<ProcessId> {
    let all = all();
    let mut family = BTreeSet::from([ancestor]);
    loop {
        let before = family.len();
        for (pid, stat) in &all {
            if family.contains(&stat.parent) {
                family.insert(*pid);
            }
        }
        if family.len() == before {
            break;
        }
    }
    family.remove(&ancestor);
    let known = |pid: i32| all.get(&pid).map(|stat| ProcessId { pid, began: stat.began });
    family.into_iter().filter_map(known).collect()
}

/// Tells of each process that carries a machine's cookie, or has inherited its lock, as soon as it is seen: some do not
/// live long. Only what this user may look into is seen.
pub(crate) fn marked(tag: &str, lock: &Path, found: &mut dyn FnMut(ProcessId)) {
    let cookie = format!("{COOKIE}={tag}");
    let lock = fs::metadata(lock).ok().map(|seen| (seen.dev(), seen.ino()));
    let own = i32::try_from(std::process::id()).unwrap_or_default();
    for (pid, stat) in all() {
        if pid != own && (carries(pid, cookie.as_bytes()) || inherited(pid, own, lock)) {
            found(ProcessId { pid, began: stat.began });
        }
    }
}

fn carries(pid: i32, cookie: &[u8]) -> bool {
    let environment = fs::read(format!("/proc/{pid}/environ")).unwrap_or_default();
    environment.split(|byte| *byte == 0).any(|variable| variable == cookie)
}

/// Whether a process has a file open that another one has locked and handed on. Who only looks, or has locked it
/// itself, is another encamp, or the shim, which is known by its number. What this process has locked, only those have
/// that it starts just now, for whatever else it does.
fn inherited(pid: i32, own: i32, file: Option<(u64, u64)>) -> bool {
    let Some(file) = file else { return false };
    let descriptors = fs::read_dir(format!("/proc/{pid}/fd")).into_iter().flatten().flatten();
    descriptors
        .filter(|one| fs::metadata(one.path()).is_ok_and(|seen| (seen.dev(), seen.ino()) == file))
        .filter_map(|one| fs::read_to_string(format!("/proc/{pid}/fdinfo/{}", one.file_name().to_str()?)).ok())
        .any(|info| {
            info.lines()
                .filter_map(locker)
                .any(|locker| locker != pid && locker != own)
        })
}

/// Who holds the exclusive lock of a line as `lock:\t1: FLOCK  ADVISORY  WRITE 4711 08:02:17 0 EOF`.
fn locker(line: &str) -> Option<i32> {
    let mut words = line.strip_prefix("lock:")?.split_whitespace().skip(1);
    let is_ours = words.next()? == "FLOCK" && words.nth(1)? == "WRITE";
    is_ours.then(|| words.next()?.parse().ok()).flatten()
}

/// Kills what `find` tells of until it tells of nothing any more, and `gone` says so too: a list of processes is no
/// picture of one moment, and what goes on from one process to the next may be in none of its lines. What forks without
/// end is made to stand still first. Each is signalled when it is told of, since it may not live long.
pub(crate) fn kill_all(mut find: impl FnMut(&mut dyn FnMut(ProcessId)), mut gone: impl FnMut() -> bool) -> bool {
    let mut still = BTreeSet::new();
    let mut quiet = 0;
    for round in 0..ROUNDS {
        let (mut any, mut fresh) = (false, false);
        // As long as new ones come, those that are known only stand still: a parent that ends may be what starts the next.
        let signal = if quiet < QUIET && round < STANDSTILLS {
            Signal::STOP
        } else {
            Signal::KILL
        };
        find(&mut |one| {
            any = true;
            fresh |= still.insert((one.pid, one.began));
            one.signal(signal);
        });
        if !any && gone() {
            return true;
        }
        quiet = if fresh { 0 } else { quiet + 1 };
        if signal == Signal::KILL || !any {
            pause(std::time::Duration::from_millis(2));
        }
    }
    false
}

/// Rounds of looking, at most; and of those in which nothing is killed yet.
const ROUNDS: u32 = 2000;
const STANDSTILLS: u32 = 200;
/// Rounds without anything new after which everything stands still.
const QUIET: u32 = 3;

/// Whether this process has no children. To one that adopts orphans nothing descends from it then.
pub(crate) fn is_childless() -> bool {
    use rustix::process::{WaitId, WaitIdOptions};
    let options = WaitIdOptions::EXITED | WaitIdOptions::NOHANG | WaitIdOptions::NOWAIT;
    rustix::process::waitid(WaitId::All, options).err() == Some(rustix::io::Errno::CHILD)
}

/// Waits on a thread of its own: the shim has no runtime, and the provider calls what waits on a blocking thread.
pub(crate) fn pause(span: std::time::Duration) {
    #[expect(
        clippy::disallowed_methods,
        reason = "there is no runtime whose time could be paused"
    )]
    std::thread::sleep(span);
}

/// How a child ended.
pub(crate) fn exit_of(status: WaitStatus) -> Exit {
    match (status.exit_status(), status.terminating_signal()) {
        (Some(code), _) => Exit::Code(code),
        (None, Some(signal)) => Exit::Signal(signal_name(signal)),
        (None, None) => Exit::Lost("the kernel tells neither a status nor a signal".to_owned()),
    }
}

const NAMES: [&str; 31] = [
    "HUP", "INT", "QUIT", "ILL", "TRAP", "ABRT", "BUS", "FPE", "KILL", "USR1", "SEGV", "USR2", "PIPE", "ALRM", "TERM",
    "STKFLT", "CHLD", "CONT", "STOP", "TSTP", "TTIN", "TTOU", "URG", "XCPU", "XFSZ", "VTALRM", "PROF", "WINCH", "IO",
    "PWR", "SYS",
];

fn signal_name(number: i32) -> String {
    let index = usize::try_from(number - 1).unwrap_or(usize::MAX);
    NAMES
        .get(index)
        .map_or_else(|| number.to_string(), |name| (*name).to_owned())
}

/// The kernel's number of one of the contract's signals.
pub(crate) fn signal_of(name: &str) -> Option<Signal> {
    Some(match name {
        "HUP" => Signal::HUP,
        "INT" => Signal::INT,
        "QUIT" => Signal::QUIT,
        "KILL" => Signal::KILL,
        "TERM" => Signal::TERM,
        "USR1" => Signal::USR1,
        "USR2" => Signal::USR2,
        "STOP" => Signal::STOP,
        "CONT" => Signal::CONT,
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_that_passed_on_means_nobody() {
        let own = ProcessId::of(i32::try_from(std::process::id()).unwrap()).unwrap();
        assert!(own.lives());
        let other = ProcessId {
            began: own.began + 1,
            ..own
        };
        assert!(!other.lives());
    }

    /// A child that sleeps, with what a shell does before.
    fn sleeper(before: &str) -> std::process::Child {
        let script = format!("{before} exec sleep 60");
        std::process::Command::new("sh").args(["-c", &script]).spawn().unwrap()
    }

    #[test]
    fn who_looks_at_a_lock_or_takes_it_is_none_of_the_machine() {
        let folder = tempfile::tempdir().unwrap();
        let place = crate::place::Place::new(folder.path());
        let lock = place.lock();
        let tells = |pid: i32| {
            let mut all = Vec::new();
            marked("nothing", &lock, &mut |one| all.push(one.pid));
            all.contains(&pid)
        };
        let number = |child: &std::process::Child| i32::try_from(child.id()).unwrap();
        // As a shim: it has it, and what it starts inherits it.
        let mut holder = std::process::Command::new("flock")
            .arg(&lock)
            .args(["sleep", "60"])
            .spawn()
            .unwrap();
        let heirs = || descendants(number(&holder));
        for _ in 0..3000 {
            if !heirs().is_empty() {
                break;
            }
            pause(std::time::Duration::from_millis(10));
        }
        let heir = heirs()[0];
        let mut looker = sleeper(&format!("exec 3< '{}';", lock.display()));
        pause(std::time::Duration::from_millis(300));
        assert!(tells(heir.pid) && !tells(number(&looker)) && !tells(number(&holder)));
        for child in [&mut looker, &mut holder] {
            child.kill().unwrap();
            child.wait().unwrap();
        }
        heir.signal(Signal::KILL);
        // What is started here while this process has it.
        let held = place.take_soon(|| Ok(false)).unwrap().unwrap();
        rustix::io::fcntl_setfd(&held, rustix::io::FdFlags::empty()).unwrap();
        let mut own = sleeper("");
        pause(std::time::Duration::from_millis(300));
        assert!(!tells(number(&own)));
        own.kill().unwrap();
        own.wait().unwrap();
        drop(held);
        // Another process that has it itself.
        let mut taker = std::process::Command::new("flock")
            .args(["--no-fork"])
            .arg(&lock)
            .args(["sleep", "60"])
            .spawn()
            .unwrap();
        for _ in 0..3000 {
            if place.is_held().unwrap() {
                break;
            }
            pause(std::time::Duration::from_millis(10));
        }
        assert!(place.is_held().unwrap() && !tells(number(&taker)));
        taker.kill().unwrap();
        taker.wait().unwrap();
    }

    #[test]
    fn a_name_may_hold_parentheses() {
        let line = "7 (a) b (c)) S 3 7 9 0 -1 4194560 1 2 3 4 5 6 7 8 20 0 1 0 4711 1 1";
        let stat = Stat::read(line).unwrap();
        assert_eq!((stat.state, stat.parent, stat.session, stat.began), ('S', 3, 9, 4711));
    }

    #[test]
    fn signals_have_their_names() {
        assert_eq!(
            (signal_name(9), signal_name(15), signal_name(34)),
            ("KILL".into(), "TERM".into(), "34".into())
        );
        assert_eq!(signal_of("USR2").unwrap().as_raw(), 12);
    }
}
