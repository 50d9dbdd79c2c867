//! What a disposal came to, and what is said while Ctrl-C interrupts one.

use std::ops::ControlFlow;

use encamp::report::{Disposal, Left};

use crate::progress::{Shown, remains};
use crate::{clean, moment, output, words};

/// `shop   4 machines, 1 network · gone in 1.2s · nothing left`, or what is left and why.
pub(super) fn tell(disposal: &Disposal, shared: &[String]) {
    let took = moment::took_millis(disposal.millis);
    let mut parts = vec![words::count(disposal.machines, "machine")];
    parts.extend(items(disposal.items, shared));
    let gone = parts.join(", ");
    let name = &disposal.environment;
    if disposal.is_clean() {
        output::result(&format!("{name}   {gone} · gone in {took} · nothing left"));
        return;
    }
    tell_left(&disposal.left);
    let left = remains(disposal);
    output::result(&format!(
        "{name}   {gone} gone in {took} · {left} · encamp gc tries again"
    ));
}

/// What may still exist, where, why, and what to do.
pub(super) fn tell_left(left: &[Left]) {
    for left in left {
        let instance = left
            .instance
            .as_ref()
            .map(|instance| format!(" on `{instance}`"))
            .unwrap_or_default();
        output::tell(&format!(
            "left: {}{instance}   {}",
            clean::line(&left.object),
            clean::line(&left.key)
        ));
        output::tell(&format!("  why:   {}", clean::short_ids(&clean::line(&left.why))));
        if let Some(help) = &left.help {
            output::tell(&format!("  help:  {}", clean::line(help)));
        }
    }
}

/// `1 network`, `2 volumes`: what machines shared, by the last part of its name.
fn items(number: usize, shared: &[String]) -> Vec<String> {
    let networks = shared
        .iter()
        .filter(|name| name.rsplit('/').next() == Some("net"))
        .count();
    let volumes = shared
        .iter()
        .filter(|name| name.split('/').any(|part| part.starts_with("vol-")))
        .count();
    if networks + volumes != number {
        return (number > 0)
            .then(|| words::count(number, "shared item"))
            .into_iter()
            .collect();
    }
    let counted = [(networks, "network"), (volumes, "volume")];
    counted
        .into_iter()
        .filter(|(number, _)| *number > 0)
        .map(|(number, noun)| words::count(number, noun))
        .collect()
}

/// What Ctrl-C does while something is disposed of: it goes on; then what would be left; then the process ends.
pub(super) fn interrupted(count: u32, shown: &mut Shown) -> ControlFlow<()> {
    match count {
        1 => shown.say("still taking it down; Ctrl-C again tells what would be left"),
        2 => would_be_left(shown),
        _ => return ControlFlow::Break(()),
    }
    ControlFlow::Continue(())
}

/// Names what a third Ctrl-C would leave.
pub(super) fn would_be_left(shown: &mut Shown) {
    let existing = shown.board.existing();
    let what = if existing.is_empty() {
        "nothing that is known".to_owned()
    } else {
        existing.join(", ")
    };
    shown.say(&format!("Ctrl-C once more leaves: {what} (the next encamp gc ends it)"));
}
