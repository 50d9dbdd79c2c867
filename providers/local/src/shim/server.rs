//! What the first process is asked for over its socket.

use std::collections::BTreeMap;
use std::io::{self, BufReader, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::OwnedFd;
use std::os::unix::net::{UnixListener, UnixStream};
use std::process::Stdio;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use rustix::event::{PollFd, PollFlags};
use rustix::io::Errno;
use rustix::net::{RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, ReturnFlags};
use rustix::process::{Pid, Signal};

use super::first::Machine;
use super::{complain, start};
use crate::convert::base;
use crate::message::{Answer, Ask, Order, Part, hear, say};
use crate::process::{ProcessId, of_session, pause, signal_of};

/// Descriptors that come along with a request, at most: three streams, and the other ends of two.
pub(crate) const DESCRIPTORS: usize = 5;

/// How long the server rests where it cannot take a connection: it has too many files open, or there are too many.
const REST: Duration = Duration::from_millis(100);

/// How long who asked may take to ask, where the others have to wait for it.
const PATIENCE: Duration = Duration::from_secs(2);

/// Answers everybody, each on a thread of its own.
pub(super) fn serve(machine: &Arc<Machine>, socket: &UnixListener) {
    // Told once, and not at every rest: what it is told to is a file.
    let mut complained = false;
    for connection in socket.incoming() {
        match connection {
            Ok(connection) => {
                complained = false;
                attend(machine, connection);
            }
            Err(error) => {
                if !complained {
                    complain(&format!("nobody can be answered: {error}"));
                    complained = true;
                }
                pause(REST);
            }
        }
    }
}

fn attend(machine: &Arc<Machine>, connection: UnixStream) {
    let connection = Arc::new(connection);
    let (theirs, inner) = (Arc::clone(&connection), Arc::clone(machine));
    let told = |answered: io::Result<()>| {
        if let Err(error) = answered {
            complain(&format!("a request broke off: {error}"));
        }
    };
    let begun = thread::Builder::new().spawn(move || told(answer(&inner, &theirs, None)));
    // A limit of processes counts threads too. What ends the machine must go on.
    if let Err(error) = begun {
        let patience = [
            connection.set_read_timeout(Some(PATIENCE)),
            connection.set_write_timeout(Some(PATIENCE)),
        ];
        let patience: io::Result<()> = patience.into_iter().collect();
        told(patience.and_then(|()| answer(machine, &connection, Some(&error))));
    }
}

/// Answers one. Where there is no thread for it, nothing is started.
fn answer(machine: &Arc<Machine>, connection: &UnixStream, no_thread: Option<&io::Error>) -> io::Result<()> {
    let descriptors = receive(connection)?;
    let mut orders = BufReader::new(connection.try_clone()?);
    let Some(ask) = hear::<Ask>(&mut orders)? else {
        return Ok(());
    };
    match ask {
        Ask::Go => machine.answer_go(|going| {
            let answer = if going { Answer::Going } else { Answer::NotRunning };
            say(connection, &answer)
        }),
        Ask::Stop { grace_millis } => {
            machine.stop(Duration::from_millis(grace_millis));
            Ok(())
        }
        // Files may be brought before anything runs.
        Ask::Spawn {
            part: Part::Command(_), ..
        } if !machine.is_going() => say(connection, &Answer::NotRunning),
        Ask::Spawn { .. } if machine.is_ending() => say(connection, &Answer::NotRunning),
        Ask::Spawn { part, env } => match (no_thread, descriptors) {
            (Some(error), _) => say(connection, &Answer::Failed(error.to_string())),
            (None, None) => say(connection, &Answer::Failed(NO_STREAMS.to_owned())),
            (None, Some(descriptors)) => spawn(machine, connection, orders, descriptors, &part, env),
        },
    }
}

const NO_STREAMS: &str = "its streams do not get in: the machine's first process has too many files open";

/// The first byte carries the descriptors; nothing where not all of them have come.
fn receive(connection: &UnixStream) -> io::Result<Option<Vec<OwnedFd>>> {
    let mut byte = [0];
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(DESCRIPTORS))];
    let mut control = RecvAncillaryBuffer::new(&mut space);
    let received = rustix::net::recvmsg(
        connection,
        &mut [IoSliceMut::new(&mut byte)],
        &mut control,
        RecvFlags::CMSG_CLOEXEC,
    )?;
    let mut descriptors = Vec::new();
    for message in control.drain() {
        if let RecvAncillaryMessage::ScmRights(some) = message {
            descriptors.extend(some);
        }
    }
    // The others are closed: what is answered needs one itself.
    let whole = !received.flags.contains(ReturnFlags::CTRUNC);
    Ok(whole.then_some(descriptors))
}

fn spawn(
    machine: &Arc<Machine>,
    connection: &UnixStream,
    mut orders: BufReader<UnixStream>,
    descriptors: Vec<OwnedFd>,
    part: &Part,
    env: BTreeMap<String, String>,
) -> io::Result<()> {
    let mut descriptors = descriptors.into_iter();
    let mut stream = || descriptors.next().map_or_else(Stdio::null, Stdio::from);
    let (stdin, stdout, stderr) = (stream(), stream(), stream());
    let others: Vec<OwnedFd> = descriptors.collect();
    let mut whole = base(&machine.record, &machine.place);
    whole.extend(env);
    let started = start::as_part(part, &whole).and_then(|(mut command, memory)| {
        command.stdin(stdin).stdout(stdout).stderr(stderr);
        Ok((machine.reaper.start(&mut command)?, memory))
    });
    let (begun, memory) = match started {
        Ok(started) => started,
        Err(error) => return say(connection, &Answer::Failed(error.to_string())),
    };
    // Nothing can have its number before its end was told.
    let leader = ProcessId::of(begun.pid);
    let over = Arc::new(AtomicBool::new(false));
    let seen = Arc::clone(&over);
    let listening = thread::Builder::new().spawn(move || {
        while let Ok(Some(Order::Signal(name))) = hear(&mut orders) {
            if let (Some(signal), Some(leader)) = (signal_of(&name), leader) {
                pass_on(leader, signal);
            }
        }
        // Whoever asked is gone. What it says from now on is for nobody, and must not end it.
        if !seen.load(Ordering::Acquire) {
            drain(others);
        }
    });
    if let Err(error) = listening {
        // Nobody could signal it.
        if let Some(leader) = leader {
            leader.signal(Signal::KILL);
        }
        let _ = begun.ends.recv();
        return say(connection, &Answer::Failed(error.to_string()));
    }
    say(connection, &Answer::Spawned)?;
    let exit = begun.ends.recv();
    drop(memory);
    over.store(true, Ordering::Release);
    let lost = |_| encamp_core::Exit::Lost("nobody waited for it".to_owned());
    // Whoever asked may be gone.
    let _ = say(connection, &Answer::Ended(exit.unwrap_or_else(lost)));
    Ok(())
}

/// Reads all of them to their ends. Their other holder had made them such that reading does not wait.
fn drain(mut ends: Vec<OwnedFd>) {
    let mut buffer = [0; 4096];
    while !ends.is_empty() {
        let mut looked_at: Vec<_> = ends.iter().map(|end| PollFd::new(end, PollFlags::IN)).collect();
        let _ = rustix::event::poll(&mut looked_at, None);
        ends.retain(|end| {
            let read = rustix::io::read(end, &mut buffer[..]);
            matches!(read, Ok(1..) | Err(Errno::AGAIN | Errno::INTR))
        });
    }
}

/// To everything in the command's group, and the last of signals to all of its session. What has ended has no group.
fn pass_on(leader: ProcessId, signal: Signal) {
    let Some(group) = Pid::from_raw(leader.pid).filter(|_| leader.lives()) else {
        return;
    };
    // Until it has made its own group there is only itself.
    if rustix::process::kill_process_group(group, signal).is_err() {
        leader.signal(signal);
    }
    if signal == Signal::KILL {
        for one in of_session(leader.pid) {
            one.signal(signal);
        }
    }
}
