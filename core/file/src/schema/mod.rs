//! The JSON Schema of a whole environment file, for editors and other tools.
//!
//! It says no more than what every file must keep to; names, references and what kinds examine by themselves are judged
//! by [`load`](crate::load) alone. Where a value may be an expression, a string with `{{` fits as well.

mod live;
mod machines;
mod stages;

use encamp_core::Value;
use encamp_core::table::{ByteSize, Span};
use serde_json::json;

use crate::kinds::Kinds;

/// JSON Schema (draft 2020-12) of an environment file that speaks of these kinds.
pub fn schema(kinds: &Kinds) -> Value {
    json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "encamp environment",
        "description": "An environment of machines: which are wanted, in which order they can exist, and what runs on them.",
        "type": "object",
        "additionalProperties": false,
        "required": ["name"],
        "properties": {
            "name": described(name(), "The name of the environment."),
            "ttl": with_default(duration("How long it is wanted once it is up."), json!("1h")),
            "inputs": map(variable_names(), input(), "What the file may be told, by `--set` or `--inputs`."),
            "secrets": map(names(), secret(), "Where secrets come from; never the file itself."),
            "machines": map(names(), json!({ "$ref": "#/$defs/machine" }), "The machines, and groups of machines with a `count`."),
            "stages": list(stages::stage(), "What runs on the environment, in order."),
            "outputs": map(variable_names(), scalar(), "What the environment tells the outside, as the controller sees it."),
        },
        "$defs": {
            "machine": machines::machine(kinds),
            "step": stages::step(),
            "probe": machines::probe(),
            "service": machines::service(),
            "task": stages::task(),
        },
    })
}

fn input() -> Value {
    json!({
        "type": "object",
        "additionalProperties": false,
        "properties": {
            "default": { "description": "Its value where none is given; without a default it must be given." },
            "help": { "type": "string", "description": "What it is for." },
            "type": {
                "description": "The type of its value; that of the default where nothing says it.",
                "enum": crate::inputs::TYPES,
            },
            "choices": { "type": "array", "description": "The values that it may have." },
        },
    })
}

fn secret() -> Value {
    json!({
        "type": "object",
        "additionalProperties": false,
        "minProperties": 1,
        "maxProperties": 1,
        "properties": {
            "variable": text("A variable of encamp's own environment."),
            "file": text("A file: absolute, or below the folder of this file."),
            "command": command("A command that says it."),
        },
    })
}

/// A string, or anything that an expression gives.
fn text(description: &str) -> Value {
    json!({ "type": "string", "description": description })
}

/// A string, a number or a boolean.
fn scalar() -> Value {
    json!({ "type": ["string", "number", "boolean"] })
}

fn boolean(description: &str, default: bool) -> Value {
    json!({ "anyOf": [{ "type": "boolean" }, live::expression()], "description": description, "default": default })
}

fn whole(least: i64, most: i64, description: &str) -> Value {
    json!({
        "anyOf": [{ "type": "integer", "minimum": least, "maximum": most }, live::expression()],
        "description": description,
    })
}

fn one_of(words: &[&str], description: &str) -> Value {
    json!({ "anyOf": [{ "enum": words }, live::expression()], "description": description })
}

fn duration(description: &str) -> Value {
    let form = json!({ "type": "string", "pattern": Span::pattern() });
    json!({
        "anyOf": [form, live::expression()],
        "description": format!("{description} Like `500ms`, `90s`, `1h30m`."),
    })
}

fn size(description: &str) -> Value {
    let form = json!({ "type": "string", "pattern": ByteSize::pattern() });
    json!({
        "anyOf": [form, live::expression()],
        "description": format!("{description} Like `512MiB`, `2GiB`."),
    })
}

fn name() -> Value {
    json!({ "anyOf": [names(), live::expression()] })
}

/// What a name looks like.
fn names() -> Value {
    json!({ "type": "string", "pattern": "^[a-z][a-z0-9-]{0,39}$" })
}

/// What the name of an input or an output looks like.
fn variable_names() -> Value {
    json!({ "type": "string", "pattern": "^[A-Za-z_][A-Za-z0-9_-]{0,127}$" })
}

fn environment() -> Value {
    map(
        json!({ "type": "string", "pattern": "^[A-Za-z_][A-Za-z0-9_]*$" }),
        scalar(),
        "Variables of its environment.",
    )
}

fn command(description: &str) -> Value {
    json!({
        "anyOf": [
            { "type": "string", "description": "For `sh -c`." },
            { "type": "array", "items": scalar(), "minItems": 1, "description": "As it is." },
        ],
        "description": description,
    })
}

fn strings(description: &str) -> Value {
    json!({ "anyOf": [{ "type": "array", "items": { "type": "string" } }, live::expression()], "description": description })
}

fn list(items: Value, description: &str) -> Value {
    let mut list = json!({ "type": "array", "description": description });
    list["items"] = items;
    list
}

fn map(keys: Value, values: Value, description: &str) -> Value {
    let mut map = json!({ "type": "object", "description": description });
    map["propertyNames"] = keys;
    map["additionalProperties"] = values;
    map
}

fn described(mut schema: Value, description: &str) -> Value {
    schema["description"] = description.into();
    schema
}

fn with_default(mut schema: Value, default: Value) -> Value {
    schema["default"] = default;
    schema
}
