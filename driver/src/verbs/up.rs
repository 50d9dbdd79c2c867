//! `encamp up`: shows the difference, asks where something would be lost, and makes it.

use std::ops::ControlFlow;

use encamp::report::MachineReport;
use encamp::{Up, UpReport};
use serde_json::json;

use super::confirm::{Answer, confirm, question};
use super::summary::lease;
use crate::arguments::OfFile;
use crate::board::Board;
use crate::codes;
use crate::context::Context;
use crate::exit::Exit;
use crate::failure::{Failure, Refusal, error_json, exit_of};
use crate::progress::{Of, Shown};
use crate::{clean, holder, moment, outlook, output, words};

pub(super) async fn up(cx: &Context, args: &OfFile) -> Result<Exit, Failure> {
    let spec = cx.load(args)?;
    let mut follow = cx.follow(Of::Up)?;
    let ttl = spec.ttl;
    follow.shown.ttl(ttl);
    let places = holder::places(&spec);
    let events = follow.events();
    let prepared = follow.until(cx.encamp.prepare_up(spec, events), |count, shown| {
        shown.say("stopping before anything is changed");
        if count > 1 {
            ControlFlow::Break(())
        } else {
            ControlFlow::Continue(())
        }
    });
    let Some(up) = prepared.await.transpose()? else {
        return Ok(Exit::Interrupted);
    };
    if follow.interrupted() > 0 {
        return give_up(up, "interrupted").await.map(|()| Exit::Interrupted);
    }
    if !up.is_new() {
        // What providers cannot say now is said when it is done.
        let showing = follow.until(up.preview(), |_, _| ControlFlow::Break(()));
        let Some(preview) = showing.await.transpose()? else {
            return give_up(up, "interrupted").await.map(|()| Exit::Interrupted);
        };
        if !up.plan().is_empty() && !cx.json {
            let usual = outlook::usual(&preview).map(|usual| format!(" · {usual}"));
            let headline = outlook::headline(&preview, ttl);
            output::tell(&format!("{headline}{}", usual.unwrap_or_default()));
            for line in outlook::lines(&preview) {
                output::tell(&line);
            }
            follow.shown.plan_is_shown();
        }
        for note in outlook::notes(&preview, &of(args, up.environment())) {
            follow.shown.say(&note);
        }
    }
    if up.plan().loses() > 0 {
        match confirm(cx, question(up.plan()), &mut follow).await {
            Answer::Yes => {}
            Answer::No => return give_up(up, "not confirmed").await.map(|()| Exit::Refused),
            Answer::Nobody(question) => {
                let now = format!("{} is as it was", up.environment());
                up.abandon().await?;
                let refusal = Refusal::new(codes::NOT_CONFIRMED, format!("{question} Nobody can be asked here"));
                return Err(refusal.now(now).help(format!("{} --yes", again(args))).into());
            }
            Answer::Interrupted => return give_up(up, "interrupted").await.map(|()| Exit::Interrupted),
        }
    }
    let stopper = up.stopper();
    let done = follow.until(up.execute(), |count, shown| {
        match count {
            1 => shown.say("stopping where it stands; what is there stays"),
            2 => shown.say(&format!(
                "there now: {}; Ctrl-C once more ends encamp at once",
                existing(shown)
            )),
            _ => return ControlFlow::Break(()),
        }
        stopper.cancel();
        ControlFlow::Continue(())
    });
    let done = done.await;
    follow.shown.finish();
    match done.transpose()? {
        Some(mut report) => {
            holder::explain(cx, &mut report.errors, &places).await;
            let exit = finish(cx, args, &report, &follow.shown.board);
            tell_stopped(cx, &report).await;
            Ok(exit)
        }
        None => {
            output::tell(&format!(
                "interrupted · there may be: {} · encamp down ends it",
                existing(&follow.shown)
            ));
            Ok(Exit::Interrupted)
        }
    }
}

/// What somebody stopped on purpose stays as it is, and is not ready for anybody.
async fn tell_stopped(cx: &Context, report: &UpReport) {
    if cx.json || !report.ready {
        return;
    }
    let Ok(environment) = cx.encamp.environment(&report.environment).await else {
        return;
    };
    let stopped: Vec<String> = environment
        .machines()
        .filter(encamp::Machine::is_stopped)
        .map(|machine| machine.name().to_owned())
        .collect();
    if !stopped.is_empty() {
        output::tell(&format!(
            "stopped on purpose, and left so: {} · encamp start {} -e {}",
            words::list(&stopped),
            stopped.join(" "),
            report.environment
        ));
    }
}

fn existing(shown: &Shown) -> String {
    let existing = shown.board.existing();
    if existing.is_empty() {
        "nothing".into()
    } else {
        existing.join(", ")
    }
}

async fn give_up(up: Up, why: &str) -> Result<(), Failure> {
    let now = if up.is_new() {
        "nothing was started".to_owned()
    } else {
        format!("{} is as it was", up.environment())
    };
    up.abandon().await?;
    output::tell(&format!("{why} · {now}"));
    Ok(())
}

/// Says what came of it.
fn finish(cx: &Context, args: &OfFile, report: &UpReport, board: &Board) -> Exit {
    let exit = if report.interrupted {
        Exit::Interrupted
    } else if report.ready {
        Exit::Well
    } else if !report.errors.is_empty() && report.errors.iter().all(|error| exit_of(error) == Exit::Refused) {
        Exit::Refused
    } else {
        Exit::Provider
    };
    if cx.json {
        let mut value = json!(report);
        value["errors"] = report.errors.iter().map(error_json).collect();
        output::json(&json!({ "event": "report", "exit": exit.code(), "report": value }));
        return exit;
    }
    if report.ready {
        let mut parts = vec![format!("ready in {}", moment::took_millis(report.millis))];
        parts.extend(
            report
                .outputs
                .iter()
                .map(|(name, value)| format!("{name} {}", clean::line(value))),
        );
        parts.push(lease(report.ends, report.ends_by_itself, Some(&report.survival)));
        let down = format!("encamp down{} ends it now", of(args, &report.environment));
        // The outputs are not encamp's own words.
        parts.push(output::own(&down));
        output::said(&parts.join(" · "));
        return exit;
    }
    let now = now(report, board);
    let unready = |machine: &&MachineReport| machine.failure.is_some() && machine.id.is_some();
    // What is there and failed is replaced, which is asked about.
    let asks = !report.interrupted && report.machines.iter().any(|machine| unready(&machine));
    let command = format!("{}{}", again(args), if asks { " --yes" } else { "" });
    if report.interrupted {
        // What had failed by then, or who has taken it over.
        cx.tell_errors(&report.errors, &cx.scene(Some(&report.environment), &now));
    }
    if report.taken_over {
        output::result(&format!("interrupted · {now}"));
        return exit;
    }
    if report.interrupted {
        let then = if report.exists {
            format!(
                "`{command}` goes on, `encamp down{}` ends it",
                of(args, &report.environment)
            )
        } else {
            format!("`{command}` begins again")
        };
        output::result(&format!("interrupted · {now} · {then}"));
        return exit;
    }
    let there: Vec<String> = report
        .machines
        .iter()
        .filter(unready)
        .map(|machine| machine.name.clone())
        .collect();
    let mut scene = cx.scene(Some(&report.environment), &now);
    scene.there = &there;
    cx.tell_errors(&report.errors, &scene);
    let ready = report.machines.iter().filter(|machine| machine.ready).count();
    let took = moment::took_millis(report.millis);
    let machines = words::count(report.machines.len(), "machine");
    let then = if report.exists {
        format!(
            "`{command}` goes on from here, `encamp down{}` ends it",
            of(args, &report.environment)
        )
    } else {
        format!("nothing exists, `{command}` tries again")
    };
    output::result(&format!("{ready} of {machines} ready after {took} · {then}"));
    exit
}

/// ` -e NAME` where the folder alone does not name the environment.
pub(super) fn of(args: &OfFile, environment: &str) -> String {
    args.file
        .as_ref()
        .map(|_| format!(" -e {environment}"))
        .unwrap_or_default()
}

fn again(args: &OfFile) -> String {
    let file = args
        .file
        .as_ref()
        .map(|file| format!(" {}", encamp::shell::quote(&file.display().to_string())))
        .unwrap_or_default();
    format!("encamp up{file}{}", args.options())
}

/// `db is ready and kept; web-0 is there and not ready; web-1 does not exist`.
fn now(report: &UpReport, board: &Board) -> String {
    let is_there = |machine: &MachineReport| machine.id.is_some() || board.may_exist(&machine.name);
    let named = |wanted: &dyn Fn(&MachineReport) -> bool| -> Vec<&str> {
        let machines = report.machines.iter().filter(|machine| wanted(machine));
        machines.map(|machine| machine.name.as_str()).collect()
    };
    let ready = named(&|machine| machine.ready);
    let there = named(&|machine| !machine.ready && is_there(machine));
    if ready.is_empty() && there.is_empty() {
        return "nothing was started".into();
    }
    let absent = named(&|machine| !machine.ready && !is_there(machine));
    let groups = [
        (ready, "is ready and kept", "are ready and kept"),
        (there, "is there and not ready", "are there and not ready"),
        (absent, "does not exist", "do not exist"),
    ];
    let parts = groups
        .iter()
        .filter(|(names, ..)| !names.is_empty())
        .map(|(names, one, several)| {
            format!(
                "{} {}",
                words::list(names),
                if names.len() == 1 { one } else { several }
            )
        });
    parts.collect::<Vec<_>>().join("; ")
}
