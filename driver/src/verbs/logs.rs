//! `encamp logs`: what the main processes of machines have said.

use encamp::{Error, Machine};
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
    let machines: Vec<Machine> = if args.machines.is_empty() {
        environment.machines().collect()
    } else {
        place::members(&environment, &args.machines)?
            .iter()
            .map(|name| place::machine(&environment, name))
            .collect::<Result<_, Error>>()?
    };
    let width = if machines.len() > 1 {
        machines.iter().map(|machine| machine.name().len()).max()
    } else {
        None
    };
    let mut interrupts = Interrupts::new()
        .map_err(|error| Error::new(encamp::ErrorKind::Internal, "signals cannot be listened for").caused_by(error))?;
    let printing = async {
        if args.follow {
            follow(cx, args, machines, width).await
        } else {
            print(cx, args, &machines, width).await
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

/// One machine after the other.
async fn print(cx: &Context, args: &Logs, machines: &[Machine], width: Option<usize>) -> Vec<Error> {
    let mut errors = Vec::new();
    for machine in machines {
        match machine.logs(args.since, false, args.tail).await {
            Ok(stream) => {
                let mut lines = Lines::new(stream);
                while let Some(line) = lines.next().await {
                    if tell(cx, machine.name(), &line, width).is_err() {
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
async fn follow(cx: &Context, args: &Logs, machines: Vec<Machine>, width: Option<usize>) -> Vec<Error> {
    let (sender, mut lines) = mpsc::channel(UNREAD);
    for machine in machines {
        let (sender, since, tail) = (sender.clone(), args.since, args.tail);
        tokio::spawn(async move {
            let name = machine.name().to_owned();
            match machine.logs(since, true, tail).await {
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
        Some(width) => output::try_result(&format!("{machine:<width$} | {line}")),
        None => output::try_result(&line),
    }
}
