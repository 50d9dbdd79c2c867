//! What `up` would lose, and whether it may.

use std::ops::ControlFlow;

use encamp::Up;
use encamp::plan::{Action, Plan, Reason, Step};

use crate::context::Context;
use crate::follow::Follow;
use crate::progress::changes;
use crate::{clean, output, terminal, words};

/// What the user says.
pub(super) enum Answer {
    Yes,
    No,
    Interrupted,
    /// There is no terminal to ask on; with the question.
    Nobody(String),
}

/// Shows what would be lost, and asks.
pub(super) async fn confirm(cx: &Context, up: &Up, follow: &mut Follow) -> Answer {
    let plan = up.plan();
    if !cx.json {
        output::tell(&format!("{}   {}", up.environment(), changes(plan)));
        for line in lines(plan) {
            output::tell(&line);
        }
    }
    if cx.yes {
        return Answer::Yes;
    }
    let question = question(plan);
    if cx.json || !terminal::stdin_is_one() || !output::is_terminal() {
        return Answer::Nobody(question);
    }
    output::ask(&format!("{question} [y/N]"));
    let answer = tokio::task::spawn_blocking(|| {
        let mut line = String::new();
        std::io::stdin().read_line(&mut line).map(|_| line).unwrap_or_default()
    });
    match follow.until(answer, |_, _| ControlFlow::Break(())).await {
        Some(Ok(line)) if ["y", "yes"].contains(&line.trim().to_lowercase().as_str()) => Answer::Yes,
        Some(_) => Answer::No,
        None => {
            output::tell("");
            Answer::Interrupted
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
