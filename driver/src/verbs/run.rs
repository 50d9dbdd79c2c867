//! `encamp run`: up, stages, results, down; whatever happens in between. As often as it is told to.

use std::ops::ControlFlow;
use std::path::PathBuf;

use encamp::report::{Outcome, RunReport};
use encamp::{Inspection, Keep, RunOptions, file::spec};
use serde_json::json;
use tokio::sync::mpsc;

use super::{left, shell, summary};
use crate::arguments::{KeepWhen, Run};
use crate::codes;
use crate::context::Context;
use crate::exit::Exit;
use crate::failure::{Failure, Refusal, error_json, exit_of};
use crate::follow::Follow;
use crate::progress::Of;
use crate::{holder, moment, output, terminal, words};

/// What the work has come to.
enum Next<T> {
    Done(T),
    Failed(Inspection),
}

pub(super) async fn run(cx: &Context, args: &Run) -> Result<Exit, Failure> {
    if args.shell_on_failure && (cx.json || !terminal::stdin_is_one() || !terminal::stdout_is_one()) {
        let refusal = Refusal::new(
            codes::NOT_CONFIRMED,
            "--shell-on-failure opens a shell on a terminal, and there is none here",
        );
        return Err(refusal
            .help("encamp run --keep=on-failure, then encamp shell MACHINE")
            .into());
    }
    let spec = cx.load(&args.file)?;
    match args.repeat {
        None => Ok(once(cx, args, spec).await?.0),
        Some(times) => repeat(cx, args, &spec, times).await,
    }
}

/// One run. Gives its report, unless somebody would not wait for it.
async fn once(cx: &Context, args: &Run, spec: spec::Environment) -> Result<(Exit, Option<RunReport>), Failure> {
    let mut options = RunOptions::default();
    options.keep = match args.keep {
        None => Keep::Never,
        Some(KeepWhen::Always) => Keep::Always,
        Some(KeepWhen::OnFailure) => Keep::OnFailure,
    };
    options.out = Some(args.out.clone());
    let (sender, mut failures) = mpsc::channel(1);
    options.inspect = args.shell_on_failure.then_some(sender);
    let (stop, abort) = (options.stop.clone(), options.abort.clone());
    let mut follow = cx.follow(Of::Run)?;
    follow.shown.ttl(spec.ttl);
    let events = follow.events();
    let places = holder::places(&spec);
    let mut working = std::pin::pin!(cx.encamp.run(spec, options, events));
    let done = loop {
        let next = async {
            tokio::select! {
                done = &mut working => Next::Done(done),
                Some(inspection) = failures.recv() => Next::Failed(inspection),
            }
        };
        let next = follow.until(next, |count, shown| {
            match count {
                1 => {
                    shown.say("stopping; what was made is taken down (Ctrl-C again tells what would be left)");
                    stop.cancel();
                }
                2 => left::would_be_left(shown),
                3 => abort.cancel(),
                _ => return ControlFlow::Break(()),
            }
            ControlFlow::Continue(())
        });
        match next.await {
            None => break None,
            Some(Next::Done(done)) => break Some(done),
            Some(Next::Failed(inspection)) => look(cx, inspection, &mut follow).await,
        }
    };
    follow.shown.finish();
    let Some(mut report) = done.transpose()? else {
        let existing = follow.shown.board.existing().join(", ");
        output::tell(&format!("interrupted · left: {existing} · encamp gc ends it"));
        return Ok((Exit::Left, None));
    };
    holder::explain(cx, &mut report.errors, &places).await;
    let exit = exit_of_run(&report);
    if cx.json {
        if let Err(error) = summary::write_timeline(args, &report, &follow.shown) {
            follow
                .shown
                .say(&format!("the time-line could not be written: {error}"));
        }
        output::json(&json!({ "event": "report", "exit": exit.code(), "report": report_json(&report) }));
    } else {
        summary::tell(cx, args, &report, &follow.shown);
    }
    Ok((exit, Some(report)))
}

/// A shell in the machine of what failed; its end lets the disposal begin.
async fn look(cx: &Context, inspection: Inspection, follow: &mut Follow) {
    follow.shown.leave();
    let Some(machine) = &inspection.machine else {
        follow.shown.say(&format!("no shell is opened: {}", inspection.what));
        return;
    };
    let name = &inspection.environment;
    output::tell(&format!(
        "FAILED {} · a shell in {machine} of {name}; its end takes everything down",
        inspection.what
    ));
    let opened = async {
        let environment = cx.encamp.environment(name).await?;
        let machine = environment.machine(machine)?;
        shell::open(cx, name, &machine, None).await
    };
    if let Err(failure) = opened.await {
        output::tell_text(&failure.render(&cx.scene(Some(name), ""), output::has_colour()));
    }
}

/// Runs again and again, each time on fresh machines, and ends as the worst of them did.
async fn repeat(cx: &Context, args: &Run, spec: &spec::Environment, times: u32) -> Result<Exit, Failure> {
    let began = moment::instant();
    let mut runs: Vec<(Exit, PathBuf, Option<RunReport>)> = Vec::new();
    for number in 1..=times {
        let of_this = Run {
            out: args.out.join(number.to_string()),
            ..args.clone()
        };
        if !cx.json {
            output::tell(&format!("run {number} of {times}"));
        }
        let (exit, report) = once(cx, &of_this, spec.clone()).await?;
        let outcome = report.as_ref().map(|report| report.outcome);
        runs.push((exit, of_this.out, report));
        // What is refused now would be refused each time.
        let stopped = matches!(outcome, None | Some(Outcome::Interrupted)) || exit == Exit::Refused;
        if stopped || (args.until_failed && exit != Exit::Code(0)) {
            break;
        }
    }
    let worst = runs
        .iter()
        .map(|(exit, ..)| exit.code())
        .max_by_key(|code| badness(*code))
        .unwrap_or(0);
    if cx.json {
        let listed: Vec<encamp::Value> = runs
            .iter()
            .map(|(exit, out, report)| {
                json!({ "exit": exit.code(), "out": out, "environment": report.as_ref().map(|report| &report.environment) })
            })
            .collect();
        output::json(&json!({ "event": "repeated", "runs": listed, "exit": worst }));
        return Ok(Exit::Code(worst));
    }
    let passed = runs.iter().filter(|(exit, ..)| exit.code() == 0).count();
    let failed: Vec<String> = runs
        .iter()
        .zip(1..)
        .filter(|((exit, ..), _)| exit.code() != 0)
        .map(|(_, number)| number.to_string())
        .collect();
    let failed = if failed.is_empty() {
        String::new()
    } else {
        format!(", not {}", words::list(&failed))
    };
    output::result(&format!(
        "{passed} of {} passed{failed} in {} · results in {}/1 to {}",
        words::count(runs.len(), "run"),
        moment::took(began.elapsed()),
        args.out.display().to_string().trim_end_matches('/'),
        runs.len()
    ));
    Ok(Exit::Code(worst))
}

/// As the report says; where nothing was made, and only the file, settings or variables are wrong, as a refusal.
fn exit_of_run(report: &RunReport) -> Exit {
    let was_there = report.machines.iter().any(|machine| machine.id.is_some());
    let refused = !report.errors.is_empty() && report.errors.iter().all(|error| exit_of(error) == Exit::Refused);
    match report.exit_code() {
        3 if refused && !was_there => Exit::Refused,
        code => Exit::Code(code),
    }
}

/// What weighs more: something left before an interruption, before a refusal, a provider and a task.
fn badness(code: u8) -> usize {
    const ORDER: [u8; 6] = [0, 1, 3, 2, 130, 4];
    ORDER.iter().position(|known| *known == code).unwrap_or(ORDER.len())
}

fn report_json(report: &RunReport) -> encamp::Value {
    let mut value = json!(report);
    value["errors"] = report.errors.iter().map(error_json).collect();
    value
}
