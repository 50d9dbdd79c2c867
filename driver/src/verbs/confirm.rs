//! Whether something may be lost.

use std::ops::ControlFlow;

use encamp::plan::{Action, Plan};

use crate::context::Context;
use crate::follow::Follow;
use crate::{output, terminal, words};

/// What the user says.
pub(super) enum Answer {
    Yes,
    No,
    Interrupted,
    /// There is no terminal to ask on; with the question.
    Nobody(String),
}

/// Asks, once the plan was shown.
pub(super) async fn confirm(cx: &Context, question: String, follow: &mut Follow) -> Answer {
    if cx.yes {
        return Answer::Yes;
    }
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
pub(super) fn question(plan: &Plan) -> String {
    let (replace, destroy) = (plan.count(Action::Replace), plan.count(Action::Destroy));
    match (replace, destroy) {
        (0, destroy) => format!("Destroy {}?", words::count(destroy, "machine")),
        (replace, 0) => format!("Replace {}?", words::count(replace, "machine")),
        (replace, destroy) => format!("Replace {}, destroy {destroy}?", words::count(replace, "machine")),
    }
}
