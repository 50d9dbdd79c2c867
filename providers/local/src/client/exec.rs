//! Commands in machines.

use std::collections::BTreeMap;
use std::sync::Arc;

use async_trait::async_trait;
use encamp_core::{Control, Cx, Error, ErrorKind, Exec, Exit, Phase, Process, Result, Retry, Signal, Size};
use tokio::sync::{mpsc, watch};

use super::Host;
use super::host::Sandbox;
use super::streams::{Ends, Streams, Terminal};
use super::talk::Talk;
use crate::convert::default_folder;
use crate::error::{not_running, unknown};
use crate::message::{Answer, Ask, Command, Order, Part};

/// Signals that wait to be passed on, at most.
const SIGNALS: usize = 64;

/// Something that was started in a machine.
pub(super) struct Started {
    pub(super) ends: Ends,
    pub(super) exit: watch::Receiver<Option<Exit>>,
    orders: mpsc::Sender<Order>,
}

impl Host {
    /// Runs a command.
    pub(crate) async fn exec(self: &Arc<Self>, cx: &Cx, request: Exec) -> Result<Process> {
        if request.argv.is_empty() {
            return Err(Error::new(ErrorKind::Invalid, "there is no command to run"));
        }
        self.plan.refuse_user(request.user.as_deref())?;
        let sandbox = self.own(&request.target)?;
        let object = request.target.stamp.object();
        match self.phase(&sandbox)? {
            Phase::Running => {}
            Phase::Paused => return Err(not_running(object, "is paused")),
            _ => return Err(not_running(object, "is not running")),
        }
        let streams = match request.tty {
            Some(size) => Streams::terminal(size, request.stdin),
            None => Streams::pipes(request.stdin),
        };
        let streams = streams.map_err(no_streams)?;
        let mut env = request.env;
        if request.tty.is_some() && !sandbox.record.create.env.contains_key("TERM") {
            env.entry("TERM".to_owned()).or_insert_with(|| "xterm".to_owned());
        }
        let users_home = ![&env, &sandbox.record.create.env]
            .iter()
            .any(|env| env.contains_key("HOME"));
        let part = Part::Command(Command {
            argv: request.argv,
            cwd: request
                .cwd
                .unwrap_or_else(|| default_folder(&sandbox.record, &sandbox.place)),
            user: request.user.or_else(|| sandbox.record.table.user.clone()),
            users_home,
            tty: request.tty.is_some(),
        });
        let Started { ends, exit, orders } = self.begin(cx, &sandbox, streams, part, env).await?;
        Ok(Process {
            stdin: ends.stdin,
            stdout: ends.stdout,
            stderr: ends.stderr,
            control: Box::new(Handle {
                orders,
                exit,
                terminal: ends.terminal,
            }),
        })
    }

    /// Starts something in a machine whose first process is there.
    pub(super) async fn begin(
        &self,
        cx: &Cx,
        sandbox: &Sandbox,
        streams: Streams,
        part: Part,
        env: BTreeMap<String, String>,
    ) -> Result<Started> {
        let mut talk = sandbox.talk(&streams.handed_over())?;
        talk.say(&Ask::Spawn { part, env }).await?;
        let Ok(answer) = tokio::time::timeout(cx.remaining(), talk.hear()).await else {
            return Err(unknown("the machine did not answer in time").of_machine(sandbox.name()));
        };
        match answer? {
            Some(Answer::Spawned) => {}
            Some(Answer::Failed(text)) => {
                let error = Error::new(
                    ErrorKind::Unavailable,
                    format!("nothing more can be started in it: {text}"),
                );
                return Err(error.of_machine(sandbox.name()));
            }
            _ => return Err(not_running(sandbox.name(), "is not running")),
        }
        let (tell, exit) = watch::channel(None);
        let (orders, taken) = mpsc::channel(SIGNALS);
        tokio::spawn(attend(talk, taken, tell));
        Ok(Started {
            ends: streams.ends(&exit),
            exit,
            orders,
        })
    }
}

pub(super) fn no_streams(native: std::io::Error) -> Error {
    Error::new(ErrorKind::Capacity, "this host gives no more pipes or terminals")
        .retry(Retry::Safe)
        .caused_by(native)
}

/// Passes signals on and waits for the end, also where the handle was dropped.
async fn attend(mut talk: Talk, mut orders: mpsc::Receiver<Order>, tell: watch::Sender<Option<Exit>>) {
    let mut open = true;
    loop {
        tokio::select! {
            order = orders.recv(), if open => match order {
                // A connection that broke is seen by the other arm.
                Some(order) => drop(talk.say(&order).await),
                None => open = false,
            },
            answer = talk.hear() => {
                let exit = match answer {
                    Ok(Some(Answer::Ended(exit))) => exit,
                    Ok(_) => Exit::Lost("the machine has ended".to_owned()),
                    Err(error) => Exit::Lost(error.to_string()),
                };
                tell.send_replace(Some(exit));
                return;
            }
        }
    }
}

/// A running command.
struct Handle {
    orders: mpsc::Sender<Order>,
    exit: watch::Receiver<Option<Exit>>,
    terminal: Option<Terminal>,
}

#[async_trait]
impl Control for Handle {
    async fn signal(&mut self, signal: Signal) -> Result<()> {
        // One that has ended takes no signals, which is as well.
        let _ = self.orders.send(Order::Signal(signal.as_str().to_owned())).await;
        Ok(())
    }

    async fn resize(&mut self, size: Size) -> Result<()> {
        let Some(terminal) = &self.terminal else {
            return Err(Error::new(ErrorKind::Invalid, "the command has no terminal"));
        };
        terminal
            .resize(size)
            .map_err(|native| Error::new(ErrorKind::Internal, "the terminal takes no size").caused_by(native))
    }

    async fn wait(&mut self) -> Result<Exit> {
        let ended = self.exit.wait_for(Option::is_some).await;
        let exit = ended.ok().and_then(|exit| exit.clone());
        Ok(exit.unwrap_or_else(|| Exit::Lost("nobody attends to the command any more".to_owned())))
    }
}
