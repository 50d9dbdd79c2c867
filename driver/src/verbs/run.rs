//! `encamp run`: up, stages, results, down; whatever happens in between.

use std::ops::ControlFlow;

use encamp::report::RunReport;
use encamp::{Keep, RunOptions};
use serde_json::json;

use super::{left, summary};
use crate::arguments::{KeepWhen, Run};
use crate::context::Context;
use crate::exit::Exit;
use crate::failure::{Failure, error_json};
use crate::output;
use crate::progress::Of;

pub(super) async fn run(cx: &Context, args: &Run) -> Result<Exit, Failure> {
    let spec = cx.load(&args.file)?;
    let ends_in = spec.ttl;
    let mut options = RunOptions::default();
    options.keep = match args.keep {
        None => Keep::Never,
        Some(KeepWhen::Always) => Keep::Always,
        Some(KeepWhen::OnFailure) => Keep::OnFailure,
    };
    options.out = Some(args.out.clone());
    let (stop, abort) = (options.stop.clone(), options.abort.clone());
    let mut follow = cx.follow(Of::Run)?;
    follow.shown.ttl(ends_in);
    let events = follow.events();
    let working = cx.encamp.run(spec, options, events);
    let done = follow.until(working, |count, shown| {
        match count {
            1 => {
                shown.say("stopping; what was made is taken down (Ctrl-C again tells what would be left)");
                stop.cancel();
            }
            2 => left::would_be_left(shown),
            3 => abort.cancel(),
            _ => return ControlFlow::Break(()),
        }
        ControlFlow::Continue(())
    });
    let done = done.await;
    follow.shown.finish();
    let Some(report) = done.transpose()? else {
        let existing = follow.shown.board.existing().join(", ");
        output::tell(&format!("interrupted · left: {existing} · encamp gc ends it"));
        return Ok(Exit::Left);
    };
    let exit = Exit::Code(report.exit_code());
    if cx.json {
        output::json(&json!({ "event": "report", "exit": exit.code(), "report": report_json(&report) }));
    } else {
        summary::tell(cx, args, &report, follow.shown.board.ends);
    }
    Ok(exit)
}

fn report_json(report: &RunReport) -> encamp::Value {
    let mut value = json!(report);
    value["errors"] = report.errors.iter().map(error_json).collect();
    value
}
