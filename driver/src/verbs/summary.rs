//! The last lines of a run: what failed and with what words, how to look closer, and what it came to.

use std::io;
use std::path::PathBuf;
use std::time::Duration;

use encamp::report::{Outcome, RunReport, TaskReport};
use encamp::{Exit, Survival, Time};

use super::left;
use crate::arguments::{KeepWhen, Run};
use crate::board::label;
use crate::context::Context;
use crate::progress::{Shown, remains};
use crate::{clean, moment, output, style, words};

pub(super) fn tell(cx: &Context, args: &Run, report: &RunReport, shown: &Shown) {
    let ends = shown.board.ends;
    let now = now(report);
    let scene = cx.scene(Some(&report.environment), &now);
    cx.tell_errors(&report.errors, &scene);
    if let Some(disposal) = &report.disposal {
        left::tell_left(&disposal.left);
    }
    for task in report.tasks.iter().filter(|task| task.outcome == Outcome::Failed) {
        for line in failed(task) {
            output::said(&line);
        }
    }
    let was_there = report.machines.iter().any(|machine| machine.id.is_some());
    if let Some(line) = slowest(args, report, shown) {
        output::result(&line);
    }
    if report.outcome == Outcome::Failed && was_there && args.keep.is_none() {
        output::result(&format!("Again with the machines kept: {}", again(args)));
    }
    if report.disposal.is_none() {
        let of = format!("-e {}", report.environment);
        output::result(&format!(
            "Kept: encamp exec MACHINE {of} -- sh · encamp down {of} ends it now"
        ));
        if let Some(ends) = ends {
            output::result(&format!("Kept: {}", lease(ends, false, report.survival.as_ref())));
        }
    }
    output::result(&last_line(args, report));
}

/// `FAILED test · contract on web-0: `pytest` exited 1`, or `…: it did not end within 2s`, and its last lines.
fn failed(task: &TaskReport) -> Vec<String> {
    let how = match (&task.failure, &task.exit) {
        (Some(failure), _) => format!(": {}", clean::line(failure)),
        (None, Some(exit @ (Exit::Code(_) | Exit::Signal(_) | Exit::Lost(_)))) => format!(" {exit}"),
        (None, None) => " did not end well".into(),
    };
    let word = style::paint(style::ERROR, "FAILED");
    let allowed = if task.allowed { " (it may)" } else { "" };
    let what = label(&task.stage, &task.task);
    let mut lines = vec![format!(
        "{word}{allowed} {what} on {}: `{}`{how}",
        task.machine,
        command(&task.command)
    )];
    lines.extend(
        task.tail
            .iter()
            .map(|line| format!("  {}", clean::line(line)).trim_end().to_owned()),
    );
    lines
}

/// `Slowest: build web 8.9s, contract 4.2s · time-line: encamp-out/timeline.html`.
fn slowest(args: &Run, report: &RunReport, shown: &Shown) -> Option<String> {
    let written = write_timeline(args, report, shown);
    let slowest = shown.timeline.slowest().map(|slowest| format!("Slowest: {slowest} · "));
    match (slowest, written) {
        (Some(slowest), Ok(file)) => {
            let file = clean::line(&file.display().to_string());
            Some(format!("{slowest}time-line: {file}"))
        }
        (None, Ok(_)) => None,
        (slowest, Err(error)) => {
            let slowest = slowest.unwrap_or_default();
            Some(format!("{slowest}the time-line could not be written: {error}"))
        }
    }
}

/// Writes the page that shows where the time went, beside the other results.
pub(super) fn write_timeline(args: &Run, report: &RunReport, shown: &Shown) -> io::Result<PathBuf> {
    let file = args.out.join("timeline.html");
    std::fs::write(&file, shown.timeline.page(&report.environment))?;
    Ok(file)
}

/// The command in one line: of a script the first line, and of a long line its beginning.
fn command(text: &str) -> String {
    const SHOWN: usize = 60;
    let mut lines = text.lines().map(str::trim).filter(|line| !line.is_empty());
    let first = clean::line(lines.next().unwrap_or_default());
    let cut: String = first.chars().take(SHOWN).collect();
    if cut.len() < first.len() || lines.next().is_some() {
        format!("{} …", cut.trim_end())
    } else {
        first
    }
}

/// The same run, with the machines kept where it fails.
fn again(args: &Run) -> String {
    let file = args
        .file
        .file
        .as_ref()
        .map(|file| format!(" {}", encamp::shell::quote(&file.display().to_string())))
        .unwrap_or_default();
    format!("encamp run --keep=on-failure{}{file}", args.file.options())
}

/// What exists after the run.
fn now(report: &RunReport) -> String {
    let was_there = report.machines.iter().any(|machine| machine.id.is_some());
    match &report.disposal {
        Some(disposal) if disposal.is_clean() && !was_there => "nothing was started".into(),
        None => format!("the machines are kept as {}", report.environment),
        Some(disposal) if disposal.is_clean() => "everything was taken down, nothing is left".into(),
        Some(disposal) => {
            let left: Vec<&str> = disposal.left.iter().map(|left| left.object.as_str()).collect();
            format!("{} may still exist; encamp gc tries again", words::list(&left))
        }
    }
}

/// `1 task, 2 tests, all passed in 0.8s · results in encamp-out/`.
fn last_line(args: &Run, report: &RunReport) -> String {
    let took = moment::took(Duration::from_millis(report.millis));
    let tests = report.tests();
    let of = |outcome: Outcome| report.tasks.iter().filter(|task| task.outcome == outcome).count();
    let failed = report
        .tasks
        .iter()
        .filter(|task| task.outcome == Outcome::Failed && !task.allowed)
        .count();
    let ready = report.machines.iter().filter(|machine| machine.ready).count();
    let machines = words::count(report.machines.len(), "machine");
    let what = match report.outcome {
        Outcome::Interrupted => format!("interrupted after {took}"),
        _ if report.ready_millis.is_none() => format!("{ready} of {machines} ready, no task ran, failed after {took}"),
        Outcome::Failed if failed > 0 => {
            let tests = if tests.failed > 0 {
                format!(" ({} of {})", tests.failed, words::count(tests.total, "test"))
            } else {
                String::new()
            };
            let skipped = match of(Outcome::Skipped) {
                0 => String::new(),
                number => format!(", {number} skipped"),
            };
            format!("{} failed{tests}{skipped} in {took}", words::count(failed, "task"))
        }
        Outcome::Failed => format!("failed after {took}"),
        _ if report.tasks.is_empty() => format!("{machines} ready, no tasks, in {took}"),
        _ => {
            let tests = if tests.total > 0 {
                format!(", {}", words::count(tests.total, "test"))
            } else {
                String::new()
            };
            let verdict = match of(Outcome::Failed) {
                0 => "all passed".to_owned(),
                allowed => format!("passed but for {allowed} that may fail"),
            };
            format!(
                "{}{tests}, {verdict} in {took}",
                words::count(report.tasks.len(), "task")
            )
        }
    };
    let left = match &report.disposal {
        Some(disposal) if !disposal.is_clean() => format!(" · {}", remains(disposal)),
        Some(_) if report.outcome == Outcome::Interrupted => " · nothing left".into(),
        Some(_) => String::new(),
        None => format!(" · kept as {}", report.environment),
    };
    let out = args.out.display().to_string();
    let kept = if args.keep == Some(KeepWhen::Always) && report.disposal.is_some() {
        " · not kept: it was interrupted"
    } else {
        ""
    };
    format!("{what}{left}{kept} · results in {}/", out.trim_end_matches('/'))
}

/// When the lease ends, and what ends the machines then.
pub(super) fn lease(ends: Time, by_itself: bool, survival: Option<&Survival>) -> String {
    let clock = moment::clock(ends);
    match survival {
        Some(Survival::Keeper { pid, apart: true }) => format!("keeper {pid} ends it at {clock}"),
        Some(Survival::Keeper { pid, .. }) => format!(
            "keeper {pid} ends it at {clock} ({} if its whole control group is killed)",
            if by_itself {
                "it ends by itself"
            } else {
                "the next encamp command"
            }
        ),
        _ if by_itself => format!("ends by itself at {clock}"),
        _ => {
            format!("lease until {clock}, then the next encamp up, run, down or gc ends it (nothing does so by itself)")
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_is_a_line_that_can_be_read() {
        assert_eq!(command("pytest -q"), "pytest -q");
        assert_eq!(command("\n set -e\n pytest\n"), "set -e …");
        assert_eq!(command(&"word ".repeat(40)), format!("{} …", ["word"; 12].join(" ")));
    }
}
