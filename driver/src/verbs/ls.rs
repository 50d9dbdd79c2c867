//! `encamp ls`: all environments, from the store alone.

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
    let rows: Vec<Vec<String>> = std::iter::once(heads).chain(all.iter().map(row)).collect();
    for line in words::table(&rows) {
        output::result(&line);
    }
    Ok(Exit::Well)
}

fn row(summary: &Summary) -> Vec<String> {
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
        ends(summary),
    ]
}

/// `16:32 (in 1h 54m)`, or that it should be gone.
pub(super) fn ends(summary: &Summary) -> String {
    match summary.left {
        _ if summary.state == "overdue" => "overdue: encamp gc".into(),
        Some(left) => format!("{} (in {})", moment::clock(summary.ends), moment::about(left)),
        None => format!("{} (over)", moment::clock(summary.ends)),
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
