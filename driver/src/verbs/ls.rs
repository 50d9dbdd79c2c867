//! `encamp ls`: all environments, from the store alone.

use std::time::Duration;

use encamp::{Summary, Value};
use serde_json::json;

use crate::context::Context;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::{clean, moment, output, words};

pub(super) async fn ls(cx: &Context) -> Result<Exit, Failure> {
    let all = cx.encamp.environments().await?;
    if cx.json {
        let all: Vec<Value> = all.iter().map(summary_json).collect();
        output::json(&json!({ "environments": all }));
        return Ok(Exit::Well);
    }
    if all.is_empty() {
        output::result("no environments");
        return Ok(Exit::Well);
    }
    let heads = ["NAME", "MACHINES", "STATE", "PROVIDERS", "BY", "AGE", "ENDS"]
        .map(str::to_owned)
        .to_vec();
    let rows: Vec<Vec<String>> = std::iter::once(heads)
        .chain(all.iter().map(|summary| row(cx, summary)))
        .collect();
    for line in words::table(&rows) {
        output::result(&line);
    }
    Ok(Exit::Well)
}

fn row(cx: &Context, summary: &Summary) -> Vec<String> {
    let providers: Vec<String> = summary.providers.iter().map(ToString::to_string).collect();
    vec![
        summary.name.clone(),
        format!("{}/{}", summary.ready, summary.machines),
        summary.state.to_owned(),
        if providers.is_empty() {
            "-".into()
        } else {
            providers.join(", ")
        },
        clean::line(&summary.by),
        moment::about(moment::since(summary.created)),
        ends(cx, summary),
    ]
}

/// `16:32 (in 1h 54m) by keeper`, `16:32 (over, due in 48s) by next command`, or that it should be gone.
pub(super) fn ends(cx: &Context, summary: &Summary) -> String {
    match (summary.state, summary.keeper) {
        ("overdue", Some(pid)) => return format!("overdue: keeper {pid} is at it, see encamp doctor"),
        ("overdue", None) => return "overdue: encamp gc".into(),
        _ => {}
    }
    let over_for = moment::since(summary.ends);
    let until = until(summary.left, over_for, cx.settings.policy.grace);
    let by = match summary.keeper {
        Some(_) => "keeper",
        None if summary.ends_by_itself => "itself",
        None => "next command",
    };
    format!("{} ({until}) by {by}", moment::clock(summary.ends))
}

/// The same in a sentence: `ends 16:32 (in 1h 54m) by keeper`.
pub(super) fn ending(cx: &Context, summary: &Summary) -> String {
    match summary.state {
        "overdue" => ends(cx, summary),
        _ => format!("ends {}", ends(cx, summary)),
    }
}

/// How long a lease still runs, and once it is over when `gc` acts on that.
fn until(left: Option<Duration>, over_for: Duration, grace: Duration) -> String {
    match (left, grace.checked_sub(over_for)) {
        (Some(left), _) => format!("in {}", moment::soon(left)),
        (None, Some(due)) => format!("over, due in {}", moment::soon(due)),
        (None, None) => "over".into(),
    }
}

/// A summary with times as programs read them.
pub(super) fn summary_json(summary: &Summary) -> Value {
    let mut value = json!(summary);
    if let Some(object) = value.as_object_mut() {
        object.remove("left");
        let left = summary
            .left
            .map(|left| u64::try_from(left.as_millis()).unwrap_or(u64::MAX));
        object.insert("left_millis".into(), json!(left));
    }
    value
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_end_of_a_lease_is_told_by_the_second_where_it_is_near() {
        let seconds = Duration::from_secs;
        let grace = seconds(60);
        assert_eq!(until(Some(seconds(6899)), seconds(0), grace), "in 1h 54m");
        assert_eq!(until(Some(seconds(120)), seconds(0), grace), "in 2m");
        assert_eq!(until(Some(seconds(119)), seconds(0), grace), "in 119s");
        assert_eq!(until(None, seconds(12), grace), "over, due in 48s");
        assert_eq!(until(None, seconds(61), grace), "over");
    }
}
