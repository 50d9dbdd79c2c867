//! Outside of the machine: stands for it, ends it when its time is over, and writes down how it ended.

use std::fs::File;
use std::io::{self, BufReader, Read, Write};
use std::os::fd::AsFd;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, ExitCode, Stdio};
use std::time::Duration;

use encamp_core::{Exit, Time};
use rustix::event::{PollFd, PollFlags, Timespec};
use rustix::io::FdFlags;

use super::output::now;
use super::{complain, spaces, start};
use crate::cgroup;
use crate::convert::Record;
use crate::message::{Confinement, Life, Part, Run, Word, hear, say};
use crate::place::{Place, read_json, remove_tree, write_json};
use crate::process::{ProcessId, boot_id, descendants, is_childless, kill_all, pause};

/// How often it looks whether its time was changed, and whether its folder is still there.
const LOOK: Duration = Duration::from_secs(2);

/// How long a group may take to be empty after everything in it was killed.
const EMPTY_LOOKS: u32 = 1000;
const EMPTY_PAUSE: Duration = Duration::from_millis(5);

/// Stands for the machine in a folder, until its end.
pub(super) fn guard(folder: &Path) -> ExitCode {
    let place = Place::new(folder);
    match Guard::begin(place) {
        Ok(guard) => {
            guard.stand();
            ExitCode::SUCCESS
        }
        Err(word) => {
            let _ = say(io::stdout(), &word);
            ExitCode::FAILURE
        }
    }
}

struct Guard {
    place: Place,
    record: Record,
    /// The request's file, open, so that no other one can have its number.
    request: File,
    /// Inherited by everything that is started; closed by the kernel with the last of them.
    _lock: File,
    first: Child,
    to_first: ChildStdin,
    from_first: BufReader<ChildStdout>,
    end: Option<Exit>,
}

impl Guard {
    /// Everything that has to be there before the machine may run.
    fn begin(place: Place) -> Result<Self, Word> {
        let failed = |what: &str| {
            let what = what.to_owned();
            move |error: io::Error| Word::Failed(format!("{what}: {error}"))
        };
        // It outlives the command that started it, and that command's terminal.
        let _ = rustix::process::setsid();
        let stood_for = || Ok(read_json::<Run>(&place.run())?.is_some_and(|run| run.shim.lives()));
        let lock = place.take_soon(stood_for).map_err(failed("the lock"))?;
        let lock = lock.ok_or(Word::Taken)?;
        rustix::io::fcntl_setfd(&lock, FdFlags::empty()).map_err(|error| failed("the lock")(error.into()))?;
        if place.dying().exists() {
            return Err(Word::Failed("the machine is being destroyed".to_owned()));
        }
        let record = place.record().map_err(failed("the request"))?;
        let record = record.ok_or_else(|| Word::Failed("there is no request".to_owned()))?;
        let request = File::open(place.machine()).map_err(failed("the request"))?;
        let _ = std::fs::remove_file(place.stopping());
        if place.life().exists() {
            // As after a boot: what names processes of an earlier life names none of this one.
            remove_tree(&place.run_folder())
                .and_then(|()| place.furnish())
                .map_err(failed("its /run"))?;
        }
        rustix::process::set_child_subreaper(rustix::process::Pid::from_raw(1))
            .map_err(|error| failed("becoming a reaper")(error.into()))?;
        if let Some(group) = &record.group {
            cgroup::make(group).map_err(failed("the control group"))?;
        }
        for limiter in &record.limiters {
            limiter.make(&record.table).map_err(failed("a limit"))?;
        }
        std::env::set_current_dir(&place.folder).map_err(failed("the folder"))?;
        spaces::leave(record.confinement).map_err(failed("name spaces"))?;
        let (first, to_first, from_first) = begin_first(&place.first_request()).map_err(failed("the first process"))?;
        let mut guard = Self {
            place,
            record,
            request,
            _lock: lock,
            first,
            to_first,
            from_first,
            end: None,
        };
        match guard.ready() {
            Ok(()) => Ok(guard),
            Err(word) => {
                guard.end_all();
                guard.clear();
                Err(word)
            }
        }
    }

    /// The first process is caged before it does anything, and written down before it says that it is ready.
    fn ready(&mut self) -> Result<(), Word> {
        let failed = |what: &'static str| move |error: io::Error| Word::Failed(format!("{what}: {error}"));
        let pid = self.first.id();
        if let Some(group) = &self.record.group {
            cgroup::enter(group, pid).map_err(failed("the control group"))?;
        }
        for limiter in &self.record.limiters {
            cgroup::enter(&limiter.folder, pid).map_err(failed("a limit"))?;
        }
        let id = |pid: u32| ProcessId::of(i32::try_from(pid).unwrap_or_default());
        let (shim, first) = (id(std::process::id()), id(pid));
        let (Some(shim), Some(first)) = (shim, first) else {
            return Err(Word::Failed("the first process has ended".to_owned()));
        };
        let boot = boot_id().map_err(failed("the boot"))?;
        write_json(&self.place.run(), &Run { boot, shim, first }).map_err(failed("its processes"))?;
        say(&mut self.to_first, &Word::Begin).map_err(failed("the first process"))?;
        match hear(&mut self.from_first).map_err(failed("the first process"))? {
            Some(Word::Ready) => {}
            Some(word @ Word::Failed(_)) => return Err(word),
            _ => return Err(Word::Failed("the first process has ended".to_owned())),
        }
        say(io::stdout(), &Word::Ready).map_err(failed("whoever started it"))
    }

    /// Waits for the end, whoever brings it.
    fn stand(mut self) {
        let mut going = false;
        let mut gate = Some(io::stdin());
        let mut lease = Lease::default();
        let life = loop {
            if self.is_removed() {
                complain("the folder of the machine was removed");
                break None;
            }
            let rest = match lease.rest(&self.place) {
                Some(Duration::ZERO) => break Some(Life::Expired),
                Some(rest) => rest.min(LOOK),
                None => LOOK,
            };
            match self.wait(&mut gate, rest) {
                // Whoever held the gate is gone, and never opened it: nothing of the user's may run.
                Woken::Gate if !going => break None,
                Woken::Gate => gate = None,
                Woken::First(Some(Word::Go)) => match self.go() {
                    Ok(()) => going = true,
                    Err(error) => {
                        complain(&format!("the start cannot be written down: {error}"));
                        break None;
                    }
                },
                Woken::First(Some(Word::Ended(exit))) => self.end = Some(exit),
                Woken::Time | Woken::First(Some(_)) => {}
                Woken::First(None) => break Some(self.ended()),
            }
        };
        self.end_all();
        // What did not run has no end, and keeps the one that it had.
        if let Some(life) = life.filter(|_| going)
            && let Err(error) = write_json(&self.place.life(), &life)
        {
            complain(&format!("the end cannot be written down: {error}"));
        }
        self.clear();
    }

    /// Whether the machine is not in its place any more. It is its folder: without it nobody knows of the machine, and
    /// nobody else ends it.
    fn is_removed(&self) -> bool {
        match std::fs::metadata(self.place.machine()) {
            Ok(there) => self.request.metadata().is_ok_and(|own| own.ino() != there.ino()),
            Err(error) => matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory),
        }
    }

    /// Written down first: what runs is known to run.
    fn go(&mut self) -> io::Result<()> {
        write_json(&self.place.life(), &Life::Running)?;
        say(&mut self.to_first, &Word::Go)
    }

    fn ended(&self) -> Life {
        if self.place.stopping().exists() {
            return Life::Stopped;
        }
        let lost = || Exit::Lost("its first process was killed".to_owned());
        Life::Exited(self.end.clone().unwrap_or_else(lost))
    }

    fn wait(&mut self, gate: &mut Option<io::Stdin>, rest: Duration) -> Woken {
        let has_line = !self.from_first.buffer().is_empty();
        let first = self.from_first.get_ref().as_fd();
        let mut looked_at = vec![PollFd::new(&first, PollFlags::IN)];
        if let Some(gate) = gate.as_ref() {
            looked_at.push(PollFd::new(gate, PollFlags::IN));
        }
        let rest = if has_line { Duration::ZERO } else { rest };
        let timeout = Timespec {
            tv_sec: i64::try_from(rest.as_secs()).unwrap_or(i64::MAX),
            tv_nsec: i64::from(rest.subsec_nanos()),
        };
        let polled = rustix::event::poll(&mut looked_at, Some(&timeout));
        if polled.is_err() {
            return Woken::Time;
        }
        let woken = |at: usize| looked_at.get(at).is_some_and(|one| !one.revents().is_empty());
        let (by_first, by_gate) = (woken(0), woken(1));
        if has_line || by_first {
            return Woken::First(hear(&mut self.from_first).unwrap_or_default());
        }
        if by_gate && let Some(gate) = gate.as_mut() {
            let mut byte = [0];
            return match gate.lock().read(&mut byte) {
                Ok(1..) => Woken::Time,
                _ => Woken::Gate,
            };
        }
        Woken::Time
    }

    /// Kills everything that is left, by every way that there is.
    fn end_all(&mut self) {
        if let Some(group) = &self.record.group {
            if let Err(error) = cgroup::kill(group) {
                complain(&format!("the control group cannot be killed: {error}"));
            }
            for _ in 0..EMPTY_LOOKS {
                if !cgroup::is_populated(group) {
                    break;
                }
                pause(EMPTY_PAUSE);
            }
        }
        // In a process name space everything ends with its first process.
        let _ = self.first.kill();
        let _ = self.first.wait();
        let own = i32::try_from(std::process::id()).unwrap_or_default();
        let childless = || {
            while let Ok(Some(_)) = rustix::process::wait(rustix::process::WaitOptions::NOHANG) {}
            is_childless()
        };
        if !kill_all(|found| descendants(own).into_iter().for_each(found), childless) {
            complain("something that the machine started does not end");
        }
    }

    /// Groups are made anew at each start.
    fn clear(&self) {
        let groups = self
            .record
            .group
            .iter()
            .chain(self.record.limiters.iter().map(|limiter| &limiter.folder));
        for group in groups {
            if let Err(error) = cgroup::remove(group) {
                complain(&format!("{} cannot be removed: {error}", group.display()));
            }
        }
    }
}

/// Why the guard woke up.
enum Woken {
    Time,
    /// Whoever started it is gone.
    Gate,
    First(Option<Word>),
}

fn begin_first(request: &Path) -> io::Result<(Child, ChildStdin, BufReader<ChildStdout>)> {
    let mut command = start::again(request);
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()?;
    let missing = || io::Error::other("it has no streams");
    let to = child.stdin.take().ok_or_else(missing)?;
    let from = child.stdout.take().ok_or_else(missing)?;
    Ok((child, to, BufReader::new(from)))
}

/// When the machine is to end by itself. Counted by the clock that goes on while this host sleeps, from when the moment
/// was first read: a wall clock that is set meanwhile changes nothing.
#[derive(Default)]
struct Lease {
    known: Option<(Time, Duration)>,
}

impl Lease {
    /// How long there is; none where there is no end. What is known counts where it cannot be read any more.
    fn rest(&mut self, place: &Place) -> Option<Duration> {
        let expires: Option<Time> = read_json(&place.expires()).unwrap_or_default();
        let expires = expires.or(self.known.map(|(known, _)| known))?;
        let since_boot = since_boot();
        let end = match self.known {
            Some((known, end)) if known == expires => end,
            _ => {
                let end = since_boot + expires.since(now());
                self.known = Some((expires, end));
                end
            }
        };
        Some(end.saturating_sub(since_boot))
    }
}

fn since_boot() -> Duration {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::Boottime);
    let seconds = u64::try_from(time.tv_sec).unwrap_or_default();
    Duration::new(seconds, u32::try_from(time.tv_nsec).unwrap_or_default())
}

/// Tries what a machine would need, and says on standard error what is not allowed.
pub(super) fn probe(folder: &Path, cage: Confinement) -> ExitCode {
    let probed = || -> io::Result<bool> {
        spaces::leave(cage)?;
        let part = Part::ProbeFirst {
            folder: folder.to_owned(),
            cage,
        };
        let request = folder.join("probe-first.json");
        write_json(&request, &part)?;
        Ok(start::again(&request).status()?.success())
    };
    match probed() {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            let _ = writeln!(io::stderr(), "name spaces: {error}");
            ExitCode::FAILURE
        }
    }
}
