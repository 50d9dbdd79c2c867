//! What may be done: the steps of a set-up, and the tasks of stages.

use encamp_core::Value;
use serde_json::{Map, json};

use super::machines::{action, object};
use super::{boolean, described, duration, name, one_of, strings, text, whole, with_default};
use crate::spec::ControlVerb;
use crate::steps::ACTIONS;
use crate::tasks::{CONTROLLER, FINISH};

pub(super) fn step() -> Value {
    let variants = ACTIONS.iter().map(|(kind, _)| {
        let (mut properties, required) = action(kind);
        let after = one_of(
            &["ready"],
            "Done once the machine's own probes hold, rather than before.",
        );
        properties.insert("after".into(), after);
        properties.insert(
            "timeout".into(),
            with_default(duration("The longest that it may take."), json!("10m")),
        );
        properties.insert("raw".into(), raw());
        object(properties, &required)
    });
    json!({ "description": "One thing that is done on a machine.", "oneOf": variants.collect::<Vec<_>>() })
}

fn raw() -> Value {
    boolean("Its strings are taken as they are, braces and all.", false)
}

pub(super) fn stage() -> Value {
    json!({
        "type": "object",
        "description": "Tasks that belong together.",
        "additionalProperties": false,
        "required": ["name", "tasks"],
        "properties": {
            "name": described(name(), "Its name, unique in the file."),
            "parallel": boolean("All tasks at once.", false),
            "tasks": {
                "type": "array",
                "items": { "$ref": "#/$defs/task" },
                "minItems": 1,
                "description": "What is done, in order.",
            },
        },
    })
}

pub(super) fn task() -> Value {
    let mut variants: Vec<Value> = ["run", "script", "copy", "template", "fetch"].map(of_step).to_vec();
    let verbs = ControlVerb::ALL.map(ControlVerb::as_str);
    let mut control = common();
    control.insert("do".into(), one_of(&verbs, "What is done to the machine."));
    control.insert("machine".into(), text("Which machine, or group."));
    variants.push(object(control, &["name", "do", "machine"]));
    let mut finish = common();
    let words = "Waits for a task in the background, collects and judges it.";
    finish.insert("do".into(), json!({ "const": FINISH, "description": words }));
    finish.insert("task".into(), text("Which task of the same stage."));
    variants.push(object(finish, &["name", "do", "task"]));
    json!({ "description": "Something that is done, and what is kept of it.", "oneOf": variants })
}

fn of_step(kind: &str) -> Value {
    let (own, required) = action(kind);
    let mut properties = common();
    properties.extend(own);
    properties.remove("output");
    let on = format!("Where: a machine, a group (each member), or `{CONTROLLER}`, beside encamp itself.");
    properties.insert("on".into(), text(&on));
    if matches!(kind, "run" | "script") {
        let background = "Goes on beside the tasks that follow, and is ended with its stage.";
        properties.insert("background".into(), boolean(background, false));
        properties.insert("junit".into(), strings("Files in JUnit's form, relative to `cwd`."));
        properties.insert(
            "artifacts".into(),
            strings("Patterns of files to keep, relative to `cwd`."),
        );
    }
    let required: Vec<&str> = ["name", "on"].into_iter().chain(required).collect();
    object(properties, &required)
}

/// The keys of every task.
fn common() -> Map<String, Value> {
    let mut properties = Map::new();
    let mut add = |key: &str, schema: Value| properties.insert(key.to_owned(), schema);
    add("name", described(name(), "Its name, unique in its stage."));
    add(
        "timeout",
        with_default(duration("The longest that one run may take."), json!("30m")),
    );
    add(
        "retries",
        with_default(whole(0, 1000, "How often it is run again after a failure."), json!(0)),
    );
    add(
        "every",
        with_default(duration("The pause before it is run again."), json!("1s")),
    );
    add("always", boolean("Runs even if something before it failed.", false));
    add("allow_failure", boolean("Its failure fails nothing.", false));
    add("raw", raw());
    properties
}
