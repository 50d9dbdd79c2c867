//! `encamp extend`: an environment is wanted longer.

use std::time::Duration;

use encamp::{Error, Extended, Value};
use serde_json::json;

use crate::arguments::Extend;
use crate::context::Context;
use crate::exit::Exit;
use crate::failure::{Failure, error_json, exit_of};
use crate::{moment, output, place, words};

pub(super) async fn extend(cx: &Context, args: &Extend) -> Result<Exit, Failure> {
    let environment = place::environment(cx, &args.of).await?;
    let extended = cx.encamp.extend(environment.name(), args.span).await?;
    let errors: Vec<Error> = extended.machines.iter().filter_map(|told| told.error.clone()).collect();
    let exit = errors.first().map_or(Exit::Well, exit_of);
    if cx.json {
        output::json(&json!({ "extended": extended_json(&extended), "exit": exit.code() }));
        return Ok(exit);
    }
    let moved = extended.ends > extended.was;
    let left = if moved { args.span } else { left(cx, &extended).await };
    let ends = format!("{} (in {})", moment::clock(extended.ends), moment::soon(left));
    let name = &extended.environment;
    let there: Vec<String> = errors.iter().filter_map(Error::machine).map(str::to_owned).collect();
    let now = format!("{name} is wanted until {ends}; {} may end sooner", words::list(&there));
    let mut scene = cx.scene(Some(name), &now);
    scene.there = &there;
    cx.tell_errors(&errors, &scene);
    if let Some(labelled) = extended.labelled {
        output::tell(&format!(
            "its machines keep the label {}, which counts again should the store be lost",
            moment::clock(labelled)
        ));
    }
    output::result(&if moved {
        format!("{name}   ends {ends}, was {}", moment::clock(extended.was))
    } else {
        format!("{name}   ends {ends} as before: that is no sooner")
    });
    Ok(exit)
}

/// How long the lease still runs, by the clock that counts.
async fn left(cx: &Context, extended: &Extended) -> Duration {
    let summary = cx.encamp.environment(&extended.environment).await;
    let left = summary.ok().and_then(|environment| environment.summary().left);
    left.unwrap_or_default()
}

fn extended_json(extended: &Extended) -> Value {
    let mut value = json!(extended);
    value["machines"] = extended
        .machines
        .iter()
        .map(|told| json!({ "machine": told.machine, "error": told.error.as_ref().map_or(Value::Null, error_json) }))
        .collect();
    value
}
