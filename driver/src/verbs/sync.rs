//! `encamp sync`: what changed in working trees goes to the machines that have them.

use std::collections::BTreeSet;
use std::path::Path;
use std::time::Duration;

use encamp::file::spec::{self, Action};
use encamp::{Error, ErrorKind, Events, Synced};
use ignore::WalkBuilder;
use serde_json::json;

use crate::arguments::Sync;
use crate::context::Context;
use crate::exit::Exit;
use crate::failure::{Failure, error_json, exit_of};
use crate::interrupts::Interrupts;
use crate::{moment, output, place, words};

/// How often one looks for changes.
const LOOK: Duration = Duration::from_millis(500);

pub(super) async fn sync(cx: &Context, args: &Sync) -> Result<Exit, Failure> {
    let environment = place::environment(cx, &args.of).await?;
    let machines = match args.machines.as_slice() {
        [] => None,
        named => Some(place::members(&environment, named)?),
    };
    let described = cx.described(&environment).ok_or_else(|| {
        Error::new(
            ErrorKind::Invalid,
            format!(
                "the file that `{}` came from cannot be read, and says what to sync",
                environment.name()
            ),
        )
        .next_step("encamp validate")
    })?;
    let name = environment.name().to_owned();
    let mut interrupts = Interrupts::new()
        .map_err(|error| Error::new(ErrorKind::Internal, "signals cannot be listened for").caused_by(error))?;
    let mut seen = look(&described);
    let mut exit = once(cx, &name, machines.as_ref(), &described).await?;
    if !args.watch {
        return Ok(exit);
    }
    if !cx.json {
        output::tell("watching; Ctrl-C ends it");
    }
    loop {
        tokio::select! {
            () = tokio::time::sleep(LOOK) => {}
            _ = interrupts.next() => return Ok(exit),
        }
        let now = look(&described);
        if now != seen {
            seen = now;
            exit = once(cx, &name, machines.as_ref(), &described).await?;
        }
    }
}

async fn once(
    cx: &Context,
    name: &str,
    machines: Option<&BTreeSet<String>>,
    described: &spec::Environment,
) -> Result<Exit, Failure> {
    let synced = cx
        .encamp
        .sync(name, machines.cloned(), described.clone(), Events::none())
        .await?;
    Ok(tell(cx, name, &synced))
}

/// One line for each machine, then what failed.
fn tell(cx: &Context, environment: &str, synced: &[Synced]) -> Exit {
    let errors: Vec<Error> = synced.iter().filter_map(|synced| synced.error.clone()).collect();
    let exit = errors.first().map_or(Exit::Well, exit_of);
    if cx.json {
        let machines: Vec<encamp::Value> = synced
            .iter()
            .map(|synced| {
                let mut value = json!(synced);
                value["error"] = synced.error.as_ref().map_or(encamp::Value::Null, error_json);
                value
            })
            .collect();
        output::json(&json!({ "event": "synced", "environment": environment, "machines": machines }));
        return exit;
    }
    let well = synced.iter().filter(|synced| synced.error.is_none());
    let rows: Vec<Vec<String>> = well
        .map(|synced| {
            let what = match (synced.sent, synced.removed) {
                (0, 0) => "up to date".to_owned(),
                (sent, 0) => format!("{} sent", words::count(sent, "file")),
                (sent, removed) => format!("{} sent, {removed} removed", words::count(sent, "file")),
            };
            vec![synced.machine.clone(), what, moment::took_millis(synced.millis)]
        })
        .collect();
    for line in words::table(&rows) {
        output::result(&format!("  {line}"));
    }
    let now = format!("{} of {} up to date", rows.len(), words::count(synced.len(), "machine"));
    cx.tell_errors(&errors, &cx.scene(Some(environment), &now));
    exit
}

/// What the trees look like from outside: names, sizes, times. Only a change of it is worth to hash all of them.
fn look(described: &spec::Environment) -> Vec<(std::path::PathBuf, u64, Option<std::time::SystemTime>)> {
    let steps = described.machines.iter().flat_map(|machine| &machine.setup);
    let trees: BTreeSet<&Path> = steps
        .filter_map(|step| match &step.action {
            Action::Sync(tree) => Some(tree.from.as_path()),
            _ => None,
        })
        .collect();
    let mut files = Vec::new();
    for tree in trees {
        // Trees that cannot be read are told by the sync itself.
        let entries = WalkBuilder::new(tree)
            .hidden(false)
            .require_git(false)
            .build()
            .flatten();
        files.extend(entries.filter_map(|entry| {
            let metadata = entry.metadata().ok()?;
            Some((entry.into_path(), metadata.len(), metadata.modified().ok()))
        }));
    }
    files.sort();
    files
}
