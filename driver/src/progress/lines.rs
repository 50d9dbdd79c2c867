//! Whole lines, where there is no terminal: `14:30:55 web-1 waiting  http /healthz`.

use encamp::Time;
use encamp::events::Event;
use encamp::plan::Plan;

use super::{Of, about_task, is_told, kept, remains, task_label};
use crate::board::{brief, label};
use crate::{clean, moment, style};

/// Milliseconds that would print as `0.0s`.
const NOTHING: u64 = 50;

/// The lines of an event. `headline` says what a plan comes to, where nobody has said it yet.
pub(super) fn of(event: &Event, of: Of, headline: impl Fn(&Plan, Time) -> Option<String>) -> Vec<String> {
    let text = match event {
        Event::Planned {
            environment,
            plan,
            ends,
            survival,
        } => headline(plan, *ends).map(|text| format!("{environment} {text}{}", kept(survival))),
        Event::Machine {
            machine,
            status,
            detail,
            millis,
            scope,
            ..
        } => is_told(*status, *scope).then(|| {
            let word = style::paint(style::of_status(*status), status.as_str());
            let took = if *millis < NOTHING {
                String::new()
            } else {
                format!("  {}", moment::took_millis(*millis))
            };
            let detail = brief(*status, detail);
            let detail = if detail.is_empty() {
                detail
            } else {
                format!("  {detail}")
            };
            format!("{machine} {word}{took}{detail}")
        }),
        Event::TaskStarted {
            stage,
            task,
            machine,
            attempt,
        } => {
            let attempt = if *attempt > 1 {
                format!("  attempt {attempt}")
            } else {
                String::new()
            };
            Some(format!("{} running  {machine}{attempt}", label(stage, task)))
        }
        Event::TaskOutput { machine, line, .. } => Some(format!("{machine} | {}", clean::line(line))),
        Event::TaskFinished(report) => {
            let (word, colour) = style::of_outcome(report.outcome);
            let took = moment::took_millis(report.millis);
            let line = format!(
                "{} {}  {took}  {}  {}",
                task_label(report),
                style::paint(colour, word),
                report.machine,
                about_task(report)
            );
            Some(line.trim_end().to_owned())
        }
        Event::Disposing { environment } if of != Of::Down => Some(format!("{environment} destroying")),
        Event::Disposed(disposal) if of == Of::Run => {
            let word = if disposal.is_clean() { "gone" } else { "failed" };
            Some(format!(
                "{} {word}  {}  {}",
                disposal.environment,
                moment::took_millis(disposal.millis),
                remains(disposal)
            ))
        }
        Event::Note { text } => Some(clean::line(text)),
        _ => None,
    };
    text.map(|text| format!("{} {text}", moment::stamp()))
        .into_iter()
        .collect()
}
