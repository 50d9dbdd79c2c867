//! `encamp logs`: what the main processes of machines have said.

use encamp::{BoxRead, Environment, Error, Machine, Time};
use serde_json::json;
use tokio::sync::mpsc;

use crate::arguments::Logs;
use crate::context::Context;
use crate::exit::Exit;
use crate::failure::{Failure, exit_of};
use crate::interrupts::Interrupts;
use crate::remote::Lines;
use crate::{clean, output, place};

/// Lines on their way to the screen.
const UNREAD: usize = 256;

pub(super) async fn logs(cx: &Context, args: &Logs) -> Result<Exit, Failure> {
    let environment = place::environment(cx, &args.of).await?;
    let speakers = speakers(&environment, &args.machines)?;
    let width = if speakers.len() > 1 {
        speakers.iter().map(|speaker| speaker.name().len()).max()
    } else {
        None
    };
    let mut interrupts = Interrupts::new()
        .map_err(|error| Error::new(encamp::ErrorKind::Internal, "signals cannot be listened for").caused_by(error))?;
    let printing = async {
        if args.follow {
            follow(cx, args, speakers, width).await
        } else {
            print(cx, args, &speakers, width).await
        }
    };
    let errors = tokio::select! {
        errors = printing => errors,
        _ = interrupts.next() => return Ok(Exit::Interrupted),
    };
    let scene = cx.scene(Some(environment.name()), "");
    cx.tell_errors(&errors, &scene);
    Ok(errors.first().map_or(Exit::Well, exit_of))
}

/// Whose words are shown: a machine's main process, or a service of it.
struct Speaker {
    machine: Machine,
    service: Option<String>,
}

/// Everything that is named: a machine, each member of a group, and of these a service after a `/`.
fn speakers(environment: &Environment, named: &[String]) -> Result<Vec<Speaker>, Error> {
    if named.is_empty() {
        let main = |machine| Speaker { machine, service: None };
        return Ok(environment.machines().map(main).collect());
    }
    let mut speakers = Vec::new();
    for name in named {
        let (machine, service) = name
            .split_once('/')
            .map_or((name.as_str(), None), |(m, s)| (m, Some(s)));
        for member in place::members(environment, &[machine.to_owned()])? {
            speakers.push(Speaker {
                machine: place::machine(environment, &member)?,
                service: service.map(str::to_owned),
            });
        }
    }
    Ok(speakers)
}

impl Speaker {
    fn name(&self) -> String {
        match &self.service {
            Some(service) => format!("{}/{service}", self.machine.name()),
            None => self.machine.name().to_owned(),
        }
    }

    async fn logs(&self, since: Option<Time>, tail: Option<u32>, follow: bool) -> Result<BoxRead, Error> {
        match &self.service {
            Some(service) => self.machine.service_logs(service, follow, tail).await,
            None => self.machine.logs(since, follow, tail).await,
        }
    }
}

/// One machine after the other.
async fn print(cx: &Context, args: &Logs, speakers: &[Speaker], width: Option<usize>) -> Vec<Error> {
    let mut errors = Vec::new();
    for speaker in speakers {
        match speaker.logs(args.since, args.tail, false).await {
            Ok(stream) => {
                let mut lines = Lines::new(stream);
                while let Some(line) = lines.next().await {
                    if tell(cx, &speaker.name(), &line, width).is_err() {
                        return errors;
                    }
                }
            }
            Err(error) => errors.push(error),
        }
    }
    errors
}

/// All machines at once, until they have ended or nobody reads.
async fn follow(cx: &Context, args: &Logs, speakers: Vec<Speaker>, width: Option<usize>) -> Vec<Error> {
    let (sender, mut lines) = mpsc::channel(UNREAD);
    for speaker in speakers {
        let (sender, since, tail) = (sender.clone(), args.since, args.tail);
        tokio::spawn(async move {
            let name = speaker.name();
            match speaker.logs(since, tail, true).await {
                Ok(stream) => {
                    let mut lines = Lines::new(stream);
                    while let Some(line) = lines.next().await {
                        if sender.send((name.clone(), Ok(line))).await.is_err() {
                            return;
                        }
                    }
                }
                Err(error) => drop(sender.send((name, Err(error))).await),
            }
        });
    }
    drop(sender);
    let mut errors = Vec::new();
    while let Some((name, line)) = lines.recv().await {
        match line {
            Ok(line) if tell(cx, &name, &line, width).is_err() => break,
            Ok(_) => {}
            Err(error) => errors.push(error),
        }
    }
    errors
}

fn tell(cx: &Context, machine: &str, line: &str, width: Option<usize>) -> std::io::Result<()> {
    if cx.json {
        return output::try_json(&json!({ "event": "log", "machine": machine, "line": line }));
    }
    let line = clean::line(line);
    match width {
        Some(width) => output::try_said(&format!("{machine:<width$} | {line}")),
        None => output::try_said(&line),
    }
}
