//! `encamp exec`: a command in a machine, as if it ran here: its streams, its exit status, its signals.

use std::io;
use std::time::Duration;

use encamp::{Command, Error, ErrorKind, Exit as Ended, Machine, Process, Signal, Size};
use serde_json::json;

use crate::arguments::Exec;
use crate::codes;
use crate::context::Context;
use crate::exit::Exit;
use crate::failure::{Failure, Refusal, within};
use crate::interrupts::{Interrupts, resized};
use crate::remote::{Lines, feed, hand_on};
use crate::terminal::{self, Raw};
use crate::{output, place};

/// So many signals, and the command is given up where it is.
const PATIENCE: u32 = 5;
/// How long a command that was asked to end may still take to begin, so that the signal reaches it.
const BEGIN: Duration = Duration::from_secs(10);
/// What a process says that writes where nobody reads.
const BROKEN_PIPE: u8 = 128 + 13;

pub(super) async fn exec(cx: &Context, args: &Exec) -> Result<Exit, Failure> {
    let environment = place::environment(cx, &args.of).await?;
    let machine = place::machine(&environment, &args.machine)?;
    let tty = wants_tty(cx, args);
    let mut command = Command::new(&args.command);
    command.env = args.env.iter().cloned().collect();
    command.cwd.clone_from(&args.cwd);
    command.user.clone_from(&args.user);
    command.tty = tty.then(size);
    command.stdin = tty || args.stdin || !terminal::stdin_is_one();
    attach(cx, environment.name(), &machine, command).await
}

/// The size of the terminal here.
pub(super) fn size() -> Size {
    terminal::size_of_stdout().unwrap_or_else(|| Size::new(24, 80))
}

/// Runs a command in a machine as if it ran here.
pub(super) async fn attach(
    cx: &Context,
    environment: &str,
    machine: &Machine,
    command: Command,
) -> Result<Exit, Failure> {
    let tty = command.tty.is_some();
    let mut listening = Listening::new().map_err(within(environment))?;
    let spawned = begin(machine, command, &mut listening).await.map_err(|error| {
        let stopped = machine.is_stopped() && error.kind() == ErrorKind::Unavailable;
        within(environment)(if stopped {
            error.next_step(format!("encamp start {} -e {environment}", machine.name()))
        } else {
            error
        })
    })?;
    let Some(process) = spawned else {
        return Ok(Exit::Interrupted);
    };
    let raw = if tty { Raw::enter() } else { None };
    let ended = attend(cx, process, tty, listening).await;
    drop(raw);
    let (ended, nobody_reads) = ended.map_err(within(environment))?;
    if cx.json {
        output::json(&json!({ "event": "exit", "exit": ended }));
    }
    match ended {
        _ if nobody_reads => Ok(Exit::Code(BROKEN_PIPE)),
        Ended::Code(code) => Ok(Exit::Code(u8::try_from(code & 0xff).unwrap_or(u8::MAX))),
        Ended::Signal(name) => Ok(Exit::Code(128 + number(&name))),
        Ended::Lost(how) if cx.json => {
            let _ = how;
            Ok(Exit::Provider)
        }
        Ended::Lost(how) => {
            let refusal = Refusal::new(
                codes::LOST,
                "the command was lost from sight; how it ended is not known",
            )
            .why(how);
            let refusal = refusal.help(format!("encamp show -e {environment}"));
            output::tell_text(&Failure::from(refusal).render(&cx.scene(Some(environment), ""), output::has_colour()));
            Ok(Exit::Provider)
        }
    }
}

fn wants_tty(cx: &Context, args: &Exec) -> bool {
    match (args.tty, args.no_tty || cx.json) {
        (_, true) => false,
        (true, _) => true,
        _ => terminal::stdin_is_one() && terminal::stdout_is_one(),
    }
}

/// What is passed on besides streams. It is listened for before the command begins: what comes in between is for it too.
struct Listening {
    signals: Interrupts,
    sizes: tokio::signal::unix::Signal,
    /// Came while the command began.
    early: Option<Signal>,
}

impl Listening {
    fn new() -> Result<Self, Error> {
        let unlistened =
            |error: io::Error| Error::new(ErrorKind::Internal, "signals cannot be listened for").caused_by(error);
        Ok(Self {
            signals: Interrupts::handed_on().map_err(unlistened)?,
            sizes: resized().map_err(unlistened)?,
            early: None,
        })
    }
}

/// Begins the command. None where it was to end before it had begun, and does not begin for a while.
async fn begin(machine: &Machine, command: Command, listening: &mut Listening) -> Result<Option<Process>, Error> {
    let mut spawning = std::pin::pin!(machine.spawn(command));
    tokio::select! {
        spawned = &mut spawning => return spawned.map(Some),
        signal = listening.signals.next() => listening.early = Some(signal),
    }
    tokio::select! {
        spawned = spawning => spawned.map(Some),
        // Whoever asks twice does not want to wait for it.
        _ = listening.signals.next() => Ok(None),
        () = tokio::time::sleep(BEGIN) => Ok(None),
    }
}

/// Passes streams, signals and sizes on until the command has ended and everything it said is out. Says too whether
/// nobody read it.
async fn attend(cx: &Context, process: Process, tty: bool, listening: Listening) -> Result<(Ended, bool), Error> {
    let Process {
        stdin,
        stdout,
        stderr,
        mut control,
    } = process;
    let Listening {
        mut signals,
        mut sizes,
        mut early,
    } = listening;
    let feeding = stdin.map(|stdin| tokio::spawn(feed(stdin)));
    let json = cx.json;
    let mut speaking = std::pin::pin!(async move {
        if json {
            let told = tokio::join!(tell_lines("stdout", Some(stdout)), tell_lines("stderr", stderr));
            told.0.and(told.1)
        } else {
            tokio::try_join!(
                hand_on(Some(stdout), output::raw_stdout()),
                hand_on(stderr, output::raw_stderr())
            )
            .map(drop)
        }
    });
    let (mut ended, mut spoken, mut nobody_reads, mut asked) = (None, false, false, 0);
    let ended = loop {
        if let (true, Some(ended)) = (spoken, ended.take_if(|_| spoken)) {
            break ended;
        }
        tokio::select! {
            done = &mut speaking, if !spoken => {
                spoken = true;
                nobody_reads = done.is_err();
                if nobody_reads {
                    let _ = control.signal(Signal::Term).await;
                }
            }
            exit = control.wait(), if ended.is_none() => ended = Some(exit?),
            signal = next(&mut early, &mut signals) => {
                asked += 1;
                if asked > PATIENCE {
                    break Ended::Lost(format!("it goes on after {PATIENCE} signals, and encamp was told to end"));
                }
                if let Err(error) = control.signal(signal).await {
                    output::tell(&format!("the signal was not passed on: {}", encamp::Report(&error)));
                }
            }
            _ = sizes.recv(), if tty => {
                if let Some(size) = terminal::size_of_stdout() {
                    let _ = control.resize(size).await;
                }
            }
        }
    };
    if let Some(feeding) = feeding {
        feeding.abort();
    }
    Ok((ended, nobody_reads))
}

async fn next(early: &mut Option<Signal>, signals: &mut Interrupts) -> Signal {
    match early.take() {
        Some(signal) => signal,
        None => signals.next().await,
    }
}

/// Tells what a stream says as lines of JSON.
async fn tell_lines(name: &str, stream: Option<encamp::BoxRead>) -> io::Result<()> {
    let Some(stream) = stream else { return Ok(()) };
    let mut lines = Lines::new(stream);
    while let Some(line) = lines.next().await {
        output::try_json(&json!({ "event": "output", "stream": name, "line": line }))?;
    }
    Ok(())
}

/// The number of a signal, for an exit status of 128 and more.
fn number(name: &str) -> u8 {
    const NUMBERS: [(&str, u8); 15] = [
        ("HUP", 1),
        ("INT", 2),
        ("QUIT", 3),
        ("ILL", 4),
        ("TRAP", 5),
        ("ABRT", 6),
        ("BUS", 7),
        ("FPE", 8),
        ("KILL", 9),
        ("USR1", 10),
        ("SEGV", 11),
        ("USR2", 12),
        ("PIPE", 13),
        ("ALRM", 14),
        ("TERM", 15),
    ];
    let known = NUMBERS
        .iter()
        .find(|(known, _)| *known == name)
        .map(|(_, number)| *number);
    known
        .or_else(|| name.parse().ok().filter(|number| *number < 128))
        .unwrap_or(0)
}
