//! `[[stages]]`: what runs on the environment.

use std::collections::HashMap;

use encamp_core::Name;

use crate::codes;
use crate::cx::{Cx, Scope};
use crate::diagnose::Diagnostic;
use crate::machines;
use crate::node::{Node, Table};
use crate::ready;
use crate::refs;
use crate::source::Span;
use crate::spec::{On, Stage, Task};
use crate::world::View;

const KEYS: [&str; 3] = ["name", "parallel", "tasks"];
const TASK_KEYS: [&str; 13] = [
    "name",
    "on",
    "run",
    "env",
    "cwd",
    "user",
    "timeout",
    "retries",
    "every",
    "always",
    "allow_failure",
    "junit",
    "artifacts",
];
/// The word for where encamp runs.
const CONTROLLER: &str = "controller";

pub(crate) fn read(root: &Table, cx: &mut Cx<'_>) -> Vec<Stage> {
    const EXAMPLE: &str = "[[stages]]";
    let Some(node) = root.node("stages") else {
        return Vec::new();
    };
    let mut names = HashMap::new();
    let items = cx.list(node, EXAMPLE).unwrap_or_default();
    items.iter().filter_map(|item| stage(item, &mut names, cx)).collect()
}

type Taken = HashMap<Name, Span>;

fn named(table: &Table, at: Span, what: &str, taken: &mut Taken, cx: &mut Cx<'_>) -> Option<Name> {
    let Some(node) = table.node("name") else {
        cx.missing_key(at, what, "name", "name = \"test\"");
        return None;
    };
    let name = cx.name(node, Scope::EARLY, "\"test\"")?;
    if let Some(first) = taken.insert(name.clone(), node.span) {
        let message = format!("the name `{name}` is used twice");
        cx.add(
            Diagnostic::error(codes::TAKEN, node.span, message)
                .label("again here")
                .secondary(first, "used here"),
        );
    }
    Some(name)
}

fn stage(node: &Node, taken: &mut Taken, cx: &mut Cx<'_>) -> Option<Stage> {
    let table = cx.table(node, "[[stages]]")?;
    cx.only_keys(table, &KEYS, "[[stages]]");
    let name = named(table, node.span, "this stage", taken, cx);
    let stage_name = name.as_ref().map_or("", Name::as_str);
    let mut names = Taken::new();
    let mut tasks = Vec::new();
    match table.node("tasks") {
        Some(node) => {
            let items = cx.list(node, "[[stages.tasks]]").unwrap_or_default();
            tasks.extend(items.iter().filter_map(|item| task(item, stage_name, &mut names, cx)));
            if items.is_empty() {
                cx.add(Diagnostic::error(
                    codes::OUT_OF_RANGE,
                    node.span,
                    "this stage has no task",
                ));
            }
        }
        None => cx.missing_key(node.span, "this stage", "tasks", "[[stages.tasks]]"),
    }
    let parallel = table.node("parallel").and_then(|node| cx.boolean(node, Scope::EARLY));
    let mut stage = Stage::new(name?, tasks);
    stage.parallel = parallel.unwrap_or(false);
    Some(stage)
}

fn task(node: &Node, stage: &str, taken: &mut Taken, cx: &mut Cx<'_>) -> Option<Task> {
    let table = cx.table(node, "[[stages.tasks]]")?;
    cx.only_keys(table, &TASK_KEYS, "[[stages.tasks]]");
    let name = named(table, node.span, "this task", taken, cx);
    let what = name
        .as_ref()
        .map_or_else(|| "this task".to_owned(), |name| format!("the task `{name}`"));
    // Without a place nothing is known of who reads the rest.
    let (on, view) = on(table, node.span, &what, cx)?;
    let scope = Scope {
        view,
        stage: Some(stage),
        runs: true,
    };
    let command = table.node("run").and_then(|node| ready::command(node, scope, cx));
    if table.node("run").is_none() {
        cx.missing_key(node.span, &what, "run", "run = \"…\"");
    }
    let details = details(table, scope, cx);
    let mut task = Task::new(name?, on, command?);
    task.place = cx.sources.place(node.span);
    details.apply(&mut task);
    Some(task)
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
        if crate::nearest::nearest(&name, [CONTROLLER]).is_some() {
            fault.help = Some("did you mean `controller`?".to_owned());
        }
        cx.add(Diagnostic::error(fault.code, node.span, fault.message).help(fault.help));
        return None;
    };
    Some((On::Machines(cx.world.name(target).clone()), View::Member(target)))
}

/// Everything of a task that has a default.
#[derive(Debug, Default)]
struct Details {
    env: std::collections::BTreeMap<String, crate::text::Text>,
    cwd: Option<crate::text::Text>,
    user: Option<String>,
    timeout: Option<std::time::Duration>,
    every: Option<std::time::Duration>,
    retries: Option<i64>,
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
    details.cwd = node("cwd").and_then(|node| cx.text(node, scope, false, "\"/srv\""));
    details.user = node("user").and_then(|node| cx.string(node, scope, "\"root\""));
    details.timeout = node("timeout").and_then(|node| cx.duration(node, scope));
    details.every = node("every").and_then(|node| cx.duration(node, scope));
    details.retries = node("retries").and_then(|node| cx.whole(node, scope, 0..=1000));
    details.always = node("always").and_then(|node| cx.boolean(node, scope));
    details.allow_failure = node("allow_failure").and_then(|node| cx.boolean(node, scope));
    for (key, patterns) in [("junit", &mut details.junit), ("artifacts", &mut details.artifacts)] {
        let strings = node(key).and_then(|node| cx.strings(node, scope, "[\"report.xml\"]"));
        patterns.extend(strings.into_iter().flatten().map(|(text, _)| text));
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
        task.always = self.always.unwrap_or(false);
        task.allow_failure = self.allow_failure.unwrap_or(false);
        task.junit = self.junit;
        task.artifacts = self.artifacts;
    }
}
