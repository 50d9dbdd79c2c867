//! `encamp up`: shows the difference, asks where something would be lost, and makes it.

use std::ops::ControlFlow;

use encamp::plan::{Action, Plan, Reason, Step};
use encamp::{Event, Up, UpReport};
use serde_json::json;

use super::summary::lease;
use crate::arguments::OfFile;
use crate::codes;
use crate::context::Context;
use crate::exit::Exit;
use crate::failure::{Failure, Refusal, error_json, exit_of};
use crate::follow::Follow;
use crate::progress::{Of, Shown, changes};
use crate::{clean, moment, output, terminal, words};

pub(super) async fn up(cx: &Context, args: &OfFile) -> Result<Exit, Failure> {
    let spec = cx.load(args)?;
    let mut follow = cx.follow(Of::Up)?;
    follow.shown.ttl(spec.ttl);
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
    let lost = up.plan().count(Action::Replace) + up.plan().count(Action::Destroy);
    if lost > 0 {
        match confirm(cx, &up, &mut follow).await? {
            Answer::Yes => follow.shown.plan_is_shown(),
            Answer::No => return give_up(up, "not confirmed").await.map(|()| Exit::Refused),
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
        Some(report) => Ok(finish(cx, args, &report)),
        None => {
            output::tell(&format!(
                "interrupted · there may be: {} · encamp down ends it",
                existing(&follow.shown)
            ));
            Ok(Exit::Interrupted)
        }
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

enum Answer {
    Yes,
    No,
    Interrupted,
}

/// Shows what would be lost, and asks.
async fn confirm(cx: &Context, up: &Up, follow: &mut Follow) -> Result<Answer, Failure> {
    let plan = up.plan();
    if cx.json {
        follow.shown.tell(&Event::Planned {
            environment: up.environment().to_owned(),
            plan: plan.clone(),
            ends: up.ends(),
        });
    } else {
        output::tell(&format!("{}   {}", up.environment(), changes(plan)));
        for line in lines(plan) {
            output::tell(&line);
        }
    }
    if cx.yes {
        return Ok(Answer::Yes);
    }
    let question = question(plan);
    if cx.json || !terminal::stdin_is_one() || !output::is_terminal() {
        let refusal = Refusal::new(codes::NOT_CONFIRMED, format!("{question} Nobody can be asked here"));
        return Err(refusal.help("encamp up --yes").into());
    }
    output::ask(&format!("{question} [y/N]"));
    let answer = tokio::task::spawn_blocking(|| {
        let mut line = String::new();
        std::io::stdin().read_line(&mut line).map(|_| line).unwrap_or_default()
    });
    match follow.until(answer, |_, _| ControlFlow::Break(())).await {
        Some(Ok(line)) if ["y", "yes"].contains(&line.trim().to_lowercase().as_str()) => Ok(Answer::Yes),
        Some(_) => Ok(Answer::No),
        None => {
            output::tell("");
            Ok(Answer::Interrupted)
        }
    }
}

/// `Replace 1 machine, destroy 2?`
fn question(plan: &Plan) -> String {
    let (replace, destroy) = (plan.count(Action::Replace), plan.count(Action::Destroy));
    match (replace, destroy) {
        (0, destroy) => format!("Destroy {}?", words::count(destroy, "machine")),
        (replace, 0) => format!("Replace {}?", words::count(replace, "machine")),
        (replace, destroy) => format!("Replace {}, destroy {destroy}?", words::count(replace, "machine")),
    }
}

/// `  ~ web-0   replace   its description has changed (encamp.toml:14)`, and what stays in one line.
fn lines(plan: &Plan) -> Vec<String> {
    let row = |step: &Step| {
        let (sign, word) = match step.action {
            Action::Create => ("+", "create"),
            Action::Continue => (">", "go on"),
            Action::Replace => ("~", "replace"),
            Action::Destroy => ("-", "destroy"),
            Action::Keep => return None,
        };
        Some(vec![
            format!("{sign} {}", step.machine),
            word.to_owned(),
            step.instance.to_string(),
            reason(&step.reason),
        ])
    };
    let rows: Vec<Vec<String>> = plan.steps.iter().filter_map(row).collect();
    let mut lines: Vec<String> = words::table(&rows).iter().map(|line| format!("  {line}")).collect();
    let kept: Vec<&str> = plan
        .steps
        .iter()
        .filter(|step| step.action == Action::Keep)
        .map(|step| step.machine.as_str())
        .collect();
    if !kept.is_empty() {
        lines.push(format!("  = {}", kept.join(", ")));
    }
    lines
}

fn reason(reason: &Reason) -> String {
    match reason {
        Reason::New | Reason::AsDescribed => String::new(),
        Reason::NotFinished => "an earlier command did not finish it".into(),
        Reason::Changed { place: Some(place) } => format!("its description has changed ({place})"),
        Reason::Changed { place: None } => "its description has changed".into(),
        Reason::Rebound => "values of other machines that it was made with have changed".into(),
        Reason::Moved => "its description names another provider".into(),
        Reason::Failed(failure) => format!("it failed: {}", clean::short_ids(&clean::line(failure))),
        Reason::Ended => "its process has ended".into(),
        Reason::Vanished => "it is not there any more".into(),
        Reason::NotDescribed => "it is not described any more".into(),
        Reason::Dying => "an earlier command began to destroy it".into(),
    }
}

/// Says what came of it.
fn finish(cx: &Context, args: &OfFile, report: &UpReport) -> Exit {
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
        output::result(&json!({ "v": 1, "event": "report", "exit": exit.code(), "report": value }).to_string());
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
        parts.push(lease(report.ends, report.ends_by_itself));
        parts.push(format!("encamp down{} ends it now", of(cx, args, report)));
        output::result(&parts.join(" · "));
        return exit;
    }
    let now = now(report);
    let command = again(cx, args);
    if report.interrupted {
        output::result(&format!(
            "interrupted · {now} · `{command}` goes on, `encamp down{}` ends it",
            of(cx, args, report)
        ));
        return exit;
    }
    let first = report
        .machines
        .iter()
        .find(|machine| machine.failure.is_some() && machine.id.is_some());
    let help = first.map(|machine| format!("encamp logs {} -e {}", machine.name, report.environment));
    let mut scene = cx.scene(Some(&report.environment), &now);
    scene.help = help.as_deref();
    cx.tell_errors(&report.errors, &scene);
    let ready = report.machines.iter().filter(|machine| machine.ready).count();
    let took = moment::took_millis(report.millis);
    let down = of(cx, args, report);
    output::result(&format!(
        "{ready} of {} ready after {took} · `{command}` goes on from here, `encamp down{down}` ends it",
        words::count(report.machines.len(), "machine")
    ));
    exit
}

/// ` -e NAME` where the folder alone does not name the environment.
fn of(cx: &Context, args: &OfFile, report: &UpReport) -> String {
    let name = args
        .file
        .as_ref()
        .map(|_| format!(" -e {}", report.environment))
        .unwrap_or_default();
    format!("{name}{}", cx.state_flag())
}

fn again(cx: &Context, args: &OfFile) -> String {
    let file = args
        .file
        .as_ref()
        .map(|file| format!(" {}", words::shell(&file.display().to_string())))
        .unwrap_or_default();
    let set = args
        .set
        .iter()
        .map(|(key, value)| format!(" --set {}", words::shell(&format!("{key}={value}"))));
    format!("encamp up{file}{}{}", set.collect::<String>(), cx.state_flag())
}

/// `db is ready and kept; web-0 is there and not ready; web-1 does not exist`.
fn now(report: &UpReport) -> String {
    let named = |wanted: fn(&encamp::report::MachineReport) -> bool| -> Vec<&str> {
        report
            .machines
            .iter()
            .filter(|machine| wanted(machine))
            .map(|machine| machine.name.as_str())
            .collect()
    };
    let groups = [
        (named(|m| m.ready), "is ready and kept", "are ready and kept"),
        (
            named(|m| !m.ready && m.id.is_some()),
            "is there and not ready",
            "are there and not ready",
        ),
        (named(|m| !m.ready && m.id.is_none()), "does not exist", "do not exist"),
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
