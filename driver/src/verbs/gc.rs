//! `encamp gc`: ends everything that is due, on every site that was ever used.

use std::collections::BTreeMap;

use encamp::Swept;
use serde_json::json;

use super::{left, unreached};
use crate::context::Context;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::progress::Of;
use crate::{clean, output, words};

pub(super) async fn gc(cx: &Context) -> Result<Exit, Failure> {
    let shared = shared(cx).await?;
    let mut follow = cx.follow(Of::Down)?;
    let events = follow.events();
    let done = follow.until(cx.encamp.gc(events), left::interrupted).await;
    follow.shown.finish();
    let Some(swept) = done.transpose()? else {
        let existing = follow.shown.board.existing().join(", ");
        output::tell(&format!("gc   left: {existing} · the next encamp gc ends it"));
        return Ok(Exit::Left);
    };
    let remaining: Vec<String> = cx
        .encamp
        .environments()
        .await?
        .into_iter()
        .map(|summary| summary.name)
        .collect();
    if cx.json {
        let mut value = json!(swept);
        value["unreached"] = unreached::json(&swept.unreached);
        output::json(&json!({ "swept": value, "remaining": remaining }));
    } else {
        tell(&swept, &shared, &remaining);
    }
    Ok(if swept.may_leave() { Exit::Left } else { Exit::Well })
}

/// What the machines of each environment share, as long as the store knows it.
async fn shared(cx: &Context) -> Result<BTreeMap<String, Vec<String>>, Failure> {
    let mut shared = BTreeMap::new();
    for summary in cx.encamp.environments().await? {
        // One that another process has just ended shares nothing any more.
        if let Ok(environment) = cx.encamp.environment(&summary.name).await {
            shared.insert(
                summary.name,
                environment.items().map(|(name, ..)| name.to_owned()).collect(),
            );
        }
    }
    Ok(shared)
}

fn tell(swept: &Swept, shared: &BTreeMap<String, Vec<String>>, remaining: &[String]) {
    for disposal in &swept.disposed {
        left::tell(disposal, shared.get(&disposal.environment).map_or(&[], Vec::as_slice));
    }
    for (keys, what) in [
        (&swept.late, "had come after its environment was gone · destroyed"),
        (&swept.expired, "expired by its labels, seen twice · destroyed"),
        (
            &swept.condemned,
            "expired by its labels · kept until another encamp gc, a minute from now, sees it too",
        ),
        (
            &swept.recovered,
            "ours, and not in the store · recorded again: encamp ls",
        ),
        (&swept.pruned, "built for machines, not used for 7 days · removed"),
    ] {
        for key in keys {
            output::result(&format!("{}   {what}", clean::line(key)));
        }
    }
    for name in &swept.held {
        output::tell(&format!("{name}   left alone: another encamp works on it"));
    }
    unreached::tell(&swept.unreached);
    let (ended, kept): (Vec<_>, Vec<_>) = swept.disposed.iter().partition(|disposal| disposal.is_clean());
    let mut done = Vec::new();
    if !ended.is_empty() {
        done.push(format!("{} ended", words::count(ended.len(), "environment")));
    }
    if !kept.is_empty() {
        let kept: Vec<&str> = kept.iter().map(|disposal| disposal.environment.as_str()).collect();
        done.push(format!("not ended: {}", words::list(&kept)));
    }
    if done.is_empty() {
        done.push("nothing was due".to_owned());
    }
    let done = done.join(", ");
    let unreached = match swept.unreached.len() {
        0 => String::new(),
        number => format!(" · {} not reached", words::count(number, "site")),
    };
    let now = if remaining.is_empty() {
        "no environments".to_owned()
    } else {
        format!("there are {}", words::list(remaining))
    };
    output::result(&format!("{done}{unreached} · {now}"));
}
