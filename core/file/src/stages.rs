//! `[[stages]]`: what runs on the environment.

use std::collections::HashMap;

use encamp_core::Name;

use crate::codes;
use crate::cx::{Cx, Scope};
use crate::diagnose::Diagnostic;
use crate::node::{Node, Table};
use crate::source::Span;
use crate::spec::{Stage, Task};
use crate::tasks;

/// The keys of a stage.
pub(crate) const KEYS: [&str; 3] = ["name", "parallel", "tasks"];

pub(crate) fn read(root: &Table, cx: &mut Cx<'_>) -> Vec<Stage> {
    const EXAMPLE: &str = "[[stages]]";
    let Some(node) = root.node("stages") else {
        return Vec::new();
    };
    let mut names = HashMap::new();
    let items = cx.list(node, EXAMPLE).unwrap_or_default();
    items.iter().filter_map(|item| stage(item, &mut names, cx)).collect()
}

pub(crate) type Taken = HashMap<Name, Span>;

pub(crate) fn named(table: &Table, at: Span, what: &str, taken: &mut Taken, cx: &mut Cx<'_>) -> Option<Name> {
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
    let mut tasks: Vec<Task> = Vec::new();
    match table.node("tasks") {
        Some(node) => {
            let items = cx.list(node, "[[stages.tasks]]").unwrap_or_default();
            for item in items {
                let task = tasks::task(item, stage_name, &tasks, &mut names, cx);
                tasks.extend(task);
            }
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
