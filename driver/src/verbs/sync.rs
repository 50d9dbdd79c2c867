//! `encamp sync`: what changed in working trees goes to the machines that have them.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::time::{Duration, SystemTime};

use encamp::file::spec::{self, Action};
use encamp::{Encamp, Error, ErrorKind, Events, Report, Synced};
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
    let syncing = Syncing {
        cx,
        name: environment.name(),
        machines,
        described,
    };
    let interrupts = Interrupts::new()
        .map_err(|error| Error::new(ErrorKind::Internal, "signals cannot be listened for").caused_by(error))?;
    if args.watch {
        syncing.watch(interrupts).await
    } else {
        Ok(syncing.once().await?)
    }
}

/// What goes where.
struct Syncing<'a> {
    cx: &'a Context,
    /// Of the environment.
    name: &'a str,
    /// None where all are meant that have a tree.
    machines: Option<BTreeSet<String>>,
    described: spec::Environment,
}

impl Syncing<'_> {
    async fn once(&self) -> Result<Exit, Error> {
        let (machines, described) = (self.machines.clone(), self.described.clone());
        let synced = self.cx.encamp.sync(self.name, machines, described, Events::none());
        Ok(tell(self.cx, self.name, &synced.await?))
    }

    /// Goes on until Ctrl-C, or until the environment is gone. What is refused, for example as another command holds
    /// it, is told once and tried again at each look.
    async fn watch(&self, mut interrupts: Interrupts) -> Result<Exit, Failure> {
        let (mut seen, mut refused) = (None, None);
        let mut exit = Exit::Well;
        loop {
            let now = look(&self.described);
            if refused.is_some() || seen.as_ref() != Some(&now) {
                match self.once().await {
                    Ok(done) => (exit, refused) = (done, None),
                    // None of its machines has a tree, for example: no waiting mends that.
                    Err(error) if seen.is_none() && error.kind() == ErrorKind::Invalid => return Err(error.into()),
                    Err(error) => {
                        exit = exit_of(&error);
                        let text = Report(&error).to_string();
                        if refused.as_ref() != Some(&text) {
                            self.tell_refusal(&error, "the machines are as they were; tried again until it works");
                        }
                        refused = Some(text);
                    }
                }
                if seen.replace(now).is_none() && !self.cx.json {
                    output::tell("watching; Ctrl-C ends it");
                }
            }
            tokio::select! {
                () = tokio::time::sleep(LOOK) => {}
                _ = interrupts.next() => return Ok(exit),
            }
            match self.cx.encamp.environment(self.name).await {
                Err(gone) if gone.kind() == ErrorKind::NotFound => {
                    self.tell_refusal(&gone, "");
                    return Ok(exit_of(&gone));
                }
                // A store that cannot be read now is told by the next sync.
                _ => {}
            }
        }
    }

    fn tell_refusal(&self, error: &Error, now: &str) {
        if self.cx.json {
            output::json(&json!({ "event": "refused", "environment": self.name, "error": error_json(error) }));
        }
        let scene = self.cx.scene(Some(self.name), now);
        self.cx.tell_errors(std::slice::from_ref(error), &scene);
    }
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
fn look(described: &spec::Environment) -> Vec<(PathBuf, u64, Option<SystemTime>)> {
    let steps = described.machines.iter().flat_map(|machine| &machine.setup);
    let trees = steps.filter_map(|step| match &step.action {
        Action::Sync(tree) => Some(tree),
        _ => None,
    });
    let mut files = Vec::new();
    for tree in trees {
        // A tree that cannot be read is told by the sync itself.
        let paths = Encamp::files_of(tree).unwrap_or_default();
        files.extend(paths.into_iter().filter_map(|path| {
            let metadata = path.symlink_metadata().ok()?;
            Some((path, metadata.len(), metadata.modified().ok()))
        }));
    }
    // Several machines may have the same tree.
    files.sort();
    files.dedup();
    files
}
