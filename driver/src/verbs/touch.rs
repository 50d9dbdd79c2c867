//! `encamp stop` and `encamp start`: machines that rest for a while, on purpose.

use std::ops::ControlFlow;

use encamp::{Error, Touched};
use serde_json::json;

use crate::arguments::{Start, Stop};
use crate::context::Context;
use crate::exit::Exit;
use crate::failure::{Failure, error_json, exit_of};
use crate::progress::Of;
use crate::{moment, output, place, words};

pub(super) async fn stop(cx: &Context, args: &Stop) -> Result<Exit, Failure> {
    let environment = place::environment(cx, &args.which.of).await?;
    let machines = place::members_or_all(&environment, &args.which.machines)?;
    let mut follow = cx.follow(Of::Down)?;
    let stopping = cx
        .encamp
        .stop(environment.name(), machines, args.grace, follow.events());
    let done = follow.until(stopping, |_, _| ControlFlow::Break(())).await;
    let Some(touched) = done.transpose()? else {
        output::tell("interrupted · encamp show tells what still runs");
        return Ok(Exit::Interrupted);
    };
    let of = format!(" -e {}", environment.name());
    Ok(tell(
        cx,
        environment.name(),
        &touched,
        "stopped",
        &format!("encamp start MACHINE{of} brings it back"),
    ))
}

pub(super) async fn start(cx: &Context, args: &Start) -> Result<Exit, Failure> {
    let environment = place::environment(cx, &args.of).await?;
    let machines = place::members_or_all(&environment, &args.machines)?;
    let described = cx.described(&environment);
    let mut follow = cx.follow(Of::Up)?;
    let events = follow.events();
    let starting = cx.encamp.start(environment.name(), machines, described, events);
    let done = follow.until(starting, |_, _| ControlFlow::Break(())).await;
    follow.shown.finish();
    let Some(touched) = done.transpose()? else {
        output::tell("interrupted · encamp show tells what runs");
        return Ok(Exit::Interrupted);
    };
    let unprobed: Vec<&str> = touched
        .iter()
        .filter(|touched| touched.error.is_none() && !touched.probed)
        .map(|touched| touched.machine.as_str())
        .collect();
    if !unprobed.is_empty() && !cx.json {
        output::tell(&format!(
            "{}: waited until it ran, not for what `ready` asks: the file describes it differently now",
            words::list(&unprobed)
        ));
    }
    Ok(tell(
        cx,
        environment.name(),
        &touched,
        "ready",
        "encamp show tells its addresses",
    ))
}

/// One line for each machine, then what failed, then what exists now.
fn tell(cx: &Context, environment: &str, touched: &[Touched], word: &str, next: &str) -> Exit {
    let errors: Vec<Error> = touched.iter().filter_map(|touched| touched.error.clone()).collect();
    let exit = errors.first().map_or(Exit::Well, exit_of);
    if cx.json {
        let machines: Vec<encamp::Value> = touched
            .iter()
            .map(|touched| {
                let mut value = json!(touched);
                value["error"] = touched.error.as_ref().map_or(encamp::Value::Null, error_json);
                value
            })
            .collect();
        output::json(
            &json!({ "event": "report", "environment": environment, "machines": machines, "exit": exit.code() }),
        );
        return exit;
    }
    let well = touched.iter().filter(|touched| touched.error.is_none());
    let rows: Vec<Vec<String>> = well
        .map(|touched| {
            vec![
                touched.machine.clone(),
                word.to_owned(),
                moment::took_millis(touched.millis),
            ]
        })
        .collect();
    let now = match rows.len() {
        0 => format!("{environment} is as it was"),
        _ => format!("{} of {} {word}", rows.len(), words::count(touched.len(), "machine")),
    };
    for line in words::table(&rows) {
        output::result(&format!("  {line}"));
    }
    let there: Vec<String> = errors.iter().filter_map(Error::machine).map(str::to_owned).collect();
    let mut scene = cx.scene(Some(environment), &now);
    scene.there = &there;
    cx.tell_errors(&errors, &scene);
    output::result(&format!("{environment}   {now} · {next}"));
    exit
}
