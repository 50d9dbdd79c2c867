//! The first process in a machine: starts what is asked for, and ends with the machine's command.

use std::io::{self, BufReader};
use std::os::unix::net::UnixListener;
use std::path::Path;
use std::process::{ExitCode, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use encamp_core::Exit;
use rustix::process::Signal;

use super::output::Log;
use super::reaper::Reaper;
use super::view::{self, Names};
use super::{complain, server, start};
use crate::convert::{Record, base, default_folder};
use crate::message::{Command, Confinement, Part, Word, hear, say};
use crate::place::Place;
use crate::process::{descendants, is_childless, kill_all, pause};

/// The name of the socket in the machine's folder.
pub(crate) const SOCKET: &str = "socket";

/// How long the last words of a command may take after its end.
const LAST_WORDS: Duration = Duration::from_secs(1);

/// What the machine is, to all threads of its first process.
#[derive(Debug)]
pub(super) struct Machine {
    pub(super) record: Record,
    pub(super) place: Place,
    pub(super) reaper: Reaper,
    log: Log,
    stage: Mutex<Stage>,
    turned: Condvar,
    /// Answers that are about to be given: the end waits for them.
    answering: AtomicUsize,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    Held,
    /// The guard was asked to write down that it runs.
    Asked,
    Going,
    /// Whether it ran before.
    Ending {
        ran: bool,
    },
}

/// Is the first process of the machine in a folder.
pub(super) fn first(folder: &Path) -> ExitCode {
    let mut guard = BufReader::new(io::stdin());
    // Before this word it is not in its cage.
    if !matches!(hear(&mut guard), Ok(Some(Word::Begin))) {
        return ExitCode::FAILURE;
    }
    let (machine, socket) = match begin(folder) {
        Ok(begun) => begun,
        Err(text) => {
            let _ = say(io::stdout(), &Word::Failed(text));
            return ExitCode::FAILURE;
        }
    };
    let machine = Arc::new(machine);
    let heard = Arc::clone(&machine);
    let listening = thread::Builder::new().spawn(move || {
        while let Ok(Some(word)) = hear(&mut guard) {
            if let Word::Go = word {
                heard.go();
            }
        }
        // The guard is gone, and with it whoever could end the machine.
        heard.end(None);
    });
    let served = Arc::clone(&machine);
    let serving = || thread::Builder::new().spawn(move || server::serve(&served, &socket));
    if let Err(error) = listening.and_then(|_| serving()) {
        let _ = say(io::stdout(), &Word::Failed(format!("a thread: {error}")));
        return ExitCode::FAILURE;
    }
    if say(io::stdout(), &Word::Ready).is_err() {
        return ExitCode::FAILURE;
    }
    machine.reaper.reap()
}

/// Where everything is, before anything can be asked for.
fn begin(folder: &Path) -> Result<(Machine, UnixListener), String> {
    let place = Place::new(folder);
    let failed = |what: &'static str| move |error: io::Error| format!("{what}: {error}");
    let record = place.record().map_err(failed("the request"))?;
    let record = record.ok_or("there is no request")?;
    std::env::set_current_dir(folder).map_err(failed("the folder"))?;
    // A path to a socket may not be long, so it is relative.
    let _ = std::fs::remove_file(SOCKET);
    let socket = UnixListener::bind(SOCKET).map_err(failed("the socket"))?;
    let log = Log::open(&place.log()).map_err(failed("the log"))?;
    let names = Names {
        name: record.create.name.to_string(),
        aliases: record.create.aliases.iter().map(ToString::to_string).collect(),
    };
    view::enter(&place, record.confinement, &names, &record.create.mounts)?;
    if !record.confinement.processes {
        rustix::process::set_child_subreaper(rustix::process::Pid::from_raw(1))
            .map_err(|error| format!("becoming a reaper: {error}"))?;
    }
    let machine = Machine {
        record,
        place,
        reaper: Reaper::default(),
        log,
        stage: Mutex::new(Stage::Held),
        turned: Condvar::new(),
        answering: AtomicUsize::new(0),
    };
    Ok((machine, socket))
}

impl Machine {
    fn stage(&self) -> std::sync::MutexGuard<'_, Stage> {
        self.stage.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether something of the user's may be started.
    pub(super) fn is_going(&self) -> bool {
        *self.stage() == Stage::Going
    }

    pub(super) fn is_ending(&self) -> bool {
        matches!(*self.stage(), Stage::Ending { .. })
    }

    /// Asks the guard to let it run, and answers whether it does; a command that ends at once ends after that.
    pub(super) fn answer_go(&self, answer: impl FnOnce(bool) -> io::Result<()>) -> io::Result<()> {
        self.answering.fetch_add(1, Ordering::AcqRel);
        let answered = answer(self.ask_to_go());
        self.answering.fetch_sub(1, Ordering::AcqRel);
        answered
    }

    /// Asks the guard to write down that it runs, and waits until it does.
    fn ask_to_go(&self) -> bool {
        let mut stage = self.stage();
        if *stage == Stage::Held {
            *stage = Stage::Asked;
            if say(io::stdout(), &Word::Go).is_err() {
                return false;
            }
        }
        while *stage == Stage::Asked {
            stage = self.turned.wait(stage).unwrap_or_else(PoisonError::into_inner);
        }
        // A command that ended at once has run all the same.
        matches!(*stage, Stage::Going | Stage::Ending { ran: true })
    }

    /// It is written down: the command may run.
    fn go(self: &Arc<Self>) {
        let mut stage = self.stage();
        if *stage != Stage::Asked {
            return;
        }
        match self.start_command() {
            Ok(()) => *stage = Stage::Going,
            Err(error) => {
                drop(stage);
                complain(&format!("the command cannot be started: {error}"));
                return self.end(Some(Exit::Lost(format!("it could not be started: {error}"))));
            }
        }
        self.turned.notify_all();
    }

    fn start_command(self: &Arc<Self>) -> io::Result<()> {
        let Some(line) = &self.record.table.command else {
            return Ok(());
        };
        let part = Part::Command(Command {
            argv: line.to_argv(),
            cwd: default_folder(&self.record, &self.place),
            user: self.record.table.user.clone(),
            users_home: !self.record.create.env.contains_key("HOME"),
            tty: false,
        });
        let (out, out_end) = io::pipe()?;
        let (err, err_end) = io::pipe()?;
        let (mut command, memory) = start::as_part(&part, &base(&self.record, &self.place))?;
        command.stdin(Stdio::null()).stdout(out_end).stderr(err_end);
        let begun = self.reaper.start(&mut command)?;
        // The writing ends are the command's alone.
        drop(command);
        let words = [self.log.keep(out)?, self.log.keep(err)?];
        let machine = Arc::clone(self);
        thread::Builder::new().spawn(move || {
            let exit = begun.ends.recv();
            drop(memory);
            hear_out(&words);
            machine.end(exit.ok());
        })?;
        Ok(())
    }

    /// Asks what runs to end, and ends after that.
    pub(super) fn stop(&self, grace: Duration) {
        let asked = if grace.is_zero() {
            Vec::new()
        } else {
            self.reaper.begun()
        };
        for one in &asked {
            one.signal(Signal::TERM);
        }
        let mut left = grace;
        while !left.is_zero() && asked.iter().any(|one| one.lives()) && !self.is_ending() {
            pause(STEP.min(left));
            left = left.saturating_sub(STEP);
        }
        // A command that was asked and has ended tells its own end, and its last words.
        if self.record.table.command.is_some() && !asked.is_empty() && !asked.iter().any(|one| one.lives()) {
            pause(LAST_WORDS);
        }
        self.end(None);
    }

    /// Ends the machine, and this process with it.
    fn end(&self, exit: Option<Exit>) {
        let mut stage = self.stage();
        if let Stage::Ending { .. } = *stage {
            return;
        }
        let ran = *stage == Stage::Going;
        *stage = Stage::Ending { ran };
        self.turned.notify_all();
        drop(stage);
        if let Some(exit) = exit {
            let _ = say(io::stdout(), &Word::Ended(exit));
        }
        let mut left = LAST_WORDS;
        while !left.is_zero() && self.answering.load(Ordering::Acquire) > 0 {
            pause(STEP);
            left = left.saturating_sub(STEP);
        }
        if !self.record.confinement.processes {
            let own = i32::try_from(std::process::id()).unwrap_or_default();
            kill_all(|found| descendants(own).into_iter().for_each(found), is_childless);
        }
        // A process name space ends with its first process, whatever its threads do.
        std::process::exit(0);
    }
}

const STEP: Duration = Duration::from_millis(20);

/// Waits for the ends of a command's streams, but not for those that went on without it.
fn hear_out(words: &[JoinHandle<()>; 2]) {
    let mut left = LAST_WORDS;
    while !left.is_zero() && words.iter().any(|thread| !thread.is_finished()) {
        pause(STEP);
        left = left.saturating_sub(STEP);
    }
}

/// Tries the view of a machine, and says on standard error what is not allowed.
pub(super) fn probe(folder: &Path, cage: Confinement) -> ExitCode {
    let place = Place::new(folder);
    let entered = std::env::set_current_dir(folder)
        .map_err(|error| error.to_string())
        .and_then(|()| view::enter(&place, cage, &Names::default(), &[]));
    // A file in a folder that is this host's tells whether what is written is the machine's own.
    let written = entered.and_then(|()| {
        let mine = || std::fs::write("/encamp-probe", "").and_then(|()| std::fs::remove_file("/encamp-probe"));
        if cage.overlay {
            mine().map_err(|error| format!("writing: {error}"))
        } else {
            Ok(())
        }
    });
    match written {
        Ok(()) => ExitCode::SUCCESS,
        Err(text) => {
            use std::io::Write;
            let _ = writeln!(io::stderr(), "{text}");
            ExitCode::FAILURE
        }
    }
}
