//! The tasks of a stage: what is done, where, and what is kept of it.

use std::collections::BTreeMap;
use std::time::Duration;

use encamp_core::Name;

use crate::codes;
use crate::cx::{Cx, Scope};
use crate::diagnose::Diagnostic;
use crate::machines;
use crate::nearest;
use crate::node::{Entry, Node, Table};
use crate::refs;
use crate::source::Span;
use crate::spec::{ControlVerb, On, Task, TaskAction};
use crate::stages::{self, Taken};
use crate::steps::{self, ACTIONS};
use crate::text::Text;
use crate::typed::shortened;
use crate::world::View;

/// What a task can do.
pub(crate) const KINDS: [&str; 6] = ["run", "script", "copy", "template", "fetch", "do"];
/// The keys of every task.
pub(crate) const COMMON: [&str; 8] = [
    "name",
    "timeout",
    "retries",
    "every",
    "always",
    "allow_failure",
    "raw",
    "on",
];
/// What belongs to commands alone.
pub(crate) const OF_COMMANDS: [&str; 7] = ["env", "cwd", "user", "args", "background", "junit", "artifacts"];
/// What belongs to `do`.
pub(crate) const OF_DO: [&str; 2] = ["machine", "task"];
/// Waits for a background task.
pub(crate) const FINISH: &str = "finish";
/// The word for where encamp runs.
pub(crate) const CONTROLLER: &str = "controller";

/// A task; `before` are those of its stage that come before it.
pub(crate) fn task(node: &Node, stage: &str, before: &[Task], taken: &mut Taken, cx: &mut Cx<'_>) -> Option<Task> {
    let table = cx.table(node, "[[stages.tasks]]")?;
    let name = stages::named(table, node.span, "this task", taken, cx);
    let what = name
        .as_ref()
        .map_or_else(|| "this task".to_owned(), |name| format!("the task `{name}`"));
    refuse_sync(table, cx)?;
    let Some(chosen) = steps::chosen(table, node, &KINDS, "a task", cx) else {
        only_known(table, cx);
        return None;
    };
    let raw = steps::raw(table, cx);
    if chosen.key == "do" {
        return control(chosen, table, before, name, raw, cx);
    }
    fits(table, chosen, cx);
    // Without a place nothing is known of who reads the rest.
    let (on, view) = on(table, node.span, &what, cx)?;
    let scope = Scope {
        view,
        stage: Some(stage),
        runs: true,
        raw,
    };
    if on == On::Controller && !matches!(chosen.key.as_str(), "run" | "script") {
        let message = format!(
            "`{}` brings something to a machine, and the controller is none",
            chosen.key
        );
        let help = "on the controller a task has `run` or `script`".to_owned();
        cx.add(Diagnostic::error(codes::ONE_ACTION, chosen.key_span, message).help(help));
        return None;
    }
    let action = steps::action(chosen, table, scope, cx);
    let details = details(table, scope, cx);
    let mut task = Task::new(name?, on, action?);
    task.place = cx.sources.place(node.span);
    details.apply(&mut task);
    Some(task)
}

/// A working tree is brought up to date before anything runs, not in between.
fn refuse_sync(table: &Table, cx: &mut Cx<'_>) -> Option<()> {
    let Some(entry) = table.entry("sync") else {
        return Some(());
    };
    let message = "`sync` belongs to the set-up of a machine, not to a task";
    let help = "`setup = [{ sync = … }]` of the machine; in a task `copy`".to_owned();
    cx.add(Diagnostic::error(codes::ONE_ACTION, entry.key_span, message).help(help));
    None
}

/// Where it is not known what a task does, keys that no task has are still unknown.
fn only_known(table: &Table, cx: &mut Cx<'_>) {
    let of_actions = ACTIONS.iter().flat_map(|(_, keys)| keys.iter().copied());
    let known: Vec<&str> = KINDS
        .into_iter()
        .chain(COMMON)
        .chain(OF_COMMANDS)
        .chain(OF_DO)
        .chain(of_actions)
        .chain(["ansible", "reboot"])
        .collect();
    cx.only_keys(table, &known, "[[stages.tasks]]");
}

fn fits(table: &Table, chosen: &Entry, cx: &mut Cx<'_>) {
    let is_command = matches!(chosen.key.as_str(), "run" | "script");
    let mut common: Vec<&str> = COMMON.to_vec();
    if is_command {
        common.extend(
            OF_COMMANDS
                .into_iter()
                .filter(|key| *key != "args" || chosen.key == "script"),
        );
    }
    let mut rest = table.clone();
    rest.entries.retain(|entry| {
        let key = entry.key.as_str();
        let owner = if OF_DO.contains(&key) {
            "`do`"
        } else if OF_COMMANDS.contains(&key) && key != "args" && !is_command {
            "`run` or `script`"
        } else if key == "output" {
            "`run` or `script` in the set-up of a machine"
        } else {
            return true;
        };
        let message = format!("`{key}` belongs to a task with {owner}");
        let message = message.replace("a task with `run` or `script` in", "a step with `run` or `script` in");
        cx.add(Diagnostic::error(codes::UNKNOWN_KEY, entry.key_span, message));
        false
    });
    steps::fits(&rest, chosen, &common, "a task", cx);
}

fn on(table: &Table, at: Span, what: &str, cx: &mut Cx<'_>) -> Option<(On, View)> {
    let Some(node) = table.node("on") else {
        let first = cx.world.names().next().unwrap_or(CONTROLLER).to_owned();
        cx.missing_key(at, what, "on", &format!("on = \"{first}\""));
        return None;
    };
    let name = cx.string(node, Scope::EARLY, "\"web\"")?;
    if name == CONTROLLER {
        return Some((On::Controller, View::Controller));
    }
    let Some(target) = cx.world.find(&name) else {
        let mut fault = refs::unknown_machine(&name, &cx.world);
        if nearest::nearest(&name, [CONTROLLER]).is_some() {
            fault.help = Some("did you mean `controller`?".to_owned());
        }
        cx.add(Diagnostic::error(fault.code, node.span, fault.message).help(fault.help));
        return None;
    };
    Some((On::Machines(cx.world.name(target).clone()), View::Member(target)))
}

/// `do`: changes the life of a machine, or waits for a task in the background.
fn control(
    chosen: &Entry,
    table: &Table,
    before: &[Task],
    name: Option<Name>,
    raw: bool,
    cx: &mut Cx<'_>,
) -> Option<Task> {
    let verbs = || ControlVerb::ALL.iter().map(|verb| verb.as_str()).chain([FINISH]);
    let scope = Scope {
        view: View::Controller,
        raw,
        runs: true,
        stage: None,
    };
    let verb = cx.string(&chosen.node, Scope { raw, ..Scope::EARLY }, "\"stop\"")?;
    if !verbs().any(|known| known == verb) {
        let message = format!("`{}` is nothing that can be done to a machine", shortened(&verb));
        let help = nearest::did_you_mean(&verb, verbs())
            .unwrap_or_else(|| format!("one of {}; a command is `run`", nearest::listed(verbs())));
        cx.add(Diagnostic::error(codes::OUT_OF_RANGE, chosen.node.span, message).help(help));
        return None;
    }
    let own = if verb == FINISH { "task" } else { "machine" };
    for entry in &table.entries {
        let key = entry.key.as_str();
        if key == "do" || key == own || (COMMON.contains(&key) && key != "on") {
            continue;
        }
        let message = match key {
            "on" if own == "machine" => "with `do` the machine stands in `machine`".to_owned(),
            "on" => "it is finished where it runs".to_owned(),
            _ => {
                let known = COMMON.into_iter().filter(|key| *key != "on").chain(["do", own]);
                cx.unknown_key(entry, known, &format!("a task with `do = \"{verb}\"`"));
                continue;
            }
        };
        let help = if own == "machine" {
            format!("`machine = {}`", cx.sources.text(entry.node.span))
        } else {
            "drop `on`".to_owned()
        };
        cx.add(Diagnostic::error(codes::UNKNOWN_KEY, entry.key_span, message).help(help));
    }
    let what = format!("a task with `do = \"{verb}\"`");
    let (action, on) = if let Some(verb) = ControlVerb::ALL.into_iter().find(|known| known.as_str() == verb) {
        let Some(node) = table.node("machine") else {
            let first = cx.world.names().next().unwrap_or("web").to_owned();
            cx.missing_key(chosen.key_span, &what, "machine", &format!("machine = \"{first}\""));
            return None;
        };
        let machine = machine(node, cx)?;
        let on = On::Machines(machine.clone());
        (TaskAction::Control { verb, machine }, on)
    } else {
        let Some(node) = table.node("task") else {
            cx.missing_key(chosen.key_span, &what, "task", "task = \"load\"");
            return None;
        };
        let waited = finished(node, before, cx)?;
        let task = waited.name.clone();
        (TaskAction::Finish { task }, waited.on.clone())
    };
    let details = details(table, scope, cx);
    let mut task = Task::new(name?, on, action);
    task.place = cx.sources.place(chosen.key_span);
    details.apply(&mut task);
    Some(task)
}

fn machine(node: &Node, cx: &mut Cx<'_>) -> Option<Name> {
    let name = cx.string(node, Scope::EARLY, "\"web-0\"")?;
    if let Some(target) = cx.world.find(&name) {
        return Some(cx.world.name(target).clone());
    }
    let fault = if name == CONTROLLER {
        let message = "the controller is where encamp itself runs, and no machine";
        crate::objects::Fault::new(codes::UNKNOWN_MACHINE, message, None)
    } else {
        refs::unknown_machine(&name, &cx.world)
    };
    cx.add(Diagnostic::error(fault.code, node.span, fault.message).help(fault.help));
    None
}

/// The background task that is waited for; one that another task waits for already is over.
fn finished<'t>(node: &Node, before: &'t [Task], cx: &mut Cx<'_>) -> Option<&'t Task> {
    let name = cx.string(node, Scope::EARLY, "\"load\"")?;
    let waits = |task: &Task| matches!(&task.action, TaskAction::Finish { task } if task.as_str() == name);
    let (message, help) = match before.iter().find(|task| task.name.as_str() == name) {
        Some(task) if !task.background => (
            format!("`{name}` does not run in the background: it is over when the next task begins"),
            Some(format!("`background = true` in the task `{name}`")),
        ),
        Some(_) if before.iter().any(waits) => {
            (format!("`{name}` is finished already by a task before this one"), None)
        }
        Some(task) => return Some(task),
        None => {
            let known = || {
                let background = before.iter().filter(|task| task.background);
                background.map(|task| task.name.as_str())
            };
            let help = nearest::did_you_mean(&name, known()).unwrap_or_else(|| match known().next() {
                Some(_) => format!("in the background: {}", nearest::listed(known())),
                None => "a task before this one, with `background = true`".to_owned(),
            });
            let message = format!("no task `{}` was begun before this one in its stage", shortened(&name));
            (message, Some(help))
        }
    };
    cx.add(Diagnostic::error(codes::UNKNOWN_TASK, node.span, message).help(help));
    None
}

/// Everything of a task that has a default.
#[derive(Debug, Default)]
struct Details {
    env: BTreeMap<String, Text>,
    cwd: Option<Text>,
    user: Option<String>,
    timeout: Option<Duration>,
    every: Option<Duration>,
    retries: Option<i64>,
    background: Option<bool>,
    always: Option<bool>,
    allow_failure: Option<bool>,
    junit: Vec<String>,
    artifacts: Vec<String>,
}

fn details(table: &Table, scope: Scope<'_>, cx: &mut Cx<'_>) -> Details {
    let mut details = Details::default();
    let node = |key: &str| table.node(key);
    details.env = node("env")
        .map(|node| machines::env(node, scope, cx))
        .unwrap_or_default();
    details.cwd = node("cwd").and_then(|node| cx.shown_text(node, scope, "\"/srv\""));
    details.user = node("user").and_then(|node| cx.string(node, scope, "\"root\""));
    details.timeout = node("timeout").and_then(|node| cx.duration(node, scope));
    details.every = node("every").and_then(|node| cx.duration(node, scope));
    details.retries = node("retries").and_then(|node| cx.whole(node, scope, 0..=1000));
    details.background = node("background").and_then(|node| cx.boolean(node, scope));
    details.always = node("always").and_then(|node| cx.boolean(node, scope));
    details.allow_failure = node("allow_failure").and_then(|node| cx.boolean(node, scope));
    for (key, patterns) in [("junit", &mut details.junit), ("artifacts", &mut details.artifacts)] {
        let given = node(key).and_then(|node| steps::globs(node, scope, "[\"report.xml\"]", cx));
        patterns.extend(given.into_iter().flatten());
    }
    details
}

impl Details {
    fn apply(self, task: &mut Task) {
        task.env = self.env;
        task.cwd = self.cwd;
        task.user = self.user;
        task.timeout = self.timeout.unwrap_or(task.timeout);
        task.every = self.every.unwrap_or(task.every);
        task.retries = self
            .retries
            .and_then(|retries| u32::try_from(retries).ok())
            .unwrap_or(0);
        task.background = self.background.unwrap_or(false);
        task.always = self.always.unwrap_or(false);
        task.allow_failure = self.allow_failure.unwrap_or(false);
        task.junit = self.junit;
        task.artifacts = self.artifacts;
    }
}
