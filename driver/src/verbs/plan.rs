//! `encamp plan`: what `up` would change. Reads the store and the providers; makes no row, takes no lock.

use std::ops::ControlFlow;

use encamp::plan::Action;
use serde_json::json;

use super::up::of;
use crate::arguments::OfFile;
use crate::context::Context;
use crate::exit::Exit;
use crate::failure::{Failure, error_json, exit_of};
use crate::outlook;
use crate::output;
use crate::progress::Of;

pub(super) async fn plan(cx: &Context, args: &OfFile) -> Result<Exit, Failure> {
    let spec = cx.load(args)?;
    let ttl = spec.ttl;
    let mut follow = cx.follow(Of::Plan)?;
    let events = follow.events();
    let reading = follow.until(cx.encamp.preview(spec, events), |_, _| ControlFlow::Break(()));
    let Some(preview) = reading.await.transpose()? else {
        return Ok(Exit::Interrupted);
    };
    let exit = preview.errors.first().map_or(Exit::Well, exit_of);
    if cx.json {
        let mut value = json!(preview);
        value["errors"] = preview.errors.iter().map(error_json).collect();
        value["exit"] = json!(exit.code());
        output::json(&value);
        return Ok(exit);
    }
    output::result(&outlook::headline(&preview, ttl));
    for line in outlook::lines(&preview) {
        output::result(&line);
    }
    for note in outlook::notes(&preview, &of(args, &preview.environment)) {
        output::result(&note);
    }
    let now = if preview.is_new {
        "nothing was started".to_owned()
    } else {
        format!("{} is as it was", preview.environment)
    };
    cx.tell_errors(&preview.errors, &cx.scene(Some(&preview.environment), &now));
    let count = |action| preview.plan.count(action);
    let mut parts = vec![
        format!("{} to create", count(Action::Create)),
        format!("{} to change", count(Action::Replace) + count(Action::Continue)),
        format!("{} to destroy", count(Action::Destroy)),
    ];
    parts.extend(outlook::usual(&preview));
    parts.extend(outlook::cost(&preview));
    if exit != Exit::Well {
        parts.push("not everything could be asked".into());
    }
    output::result(&parts.join(" · "));
    Ok(exit)
}
