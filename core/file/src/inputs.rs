//! `[inputs]`: what a file may be told.

use std::collections::BTreeMap;
use std::path::Path;

use encamp_core::Value as Json;
use minijinja::Value;

use crate::codes;
use crate::cx::{Cx, Scope};
use crate::diagnose::{Diagnostic, Findings};
use crate::expr;
use crate::nearest;
use crate::node::{Content, Entry, Node, Table};
use crate::overrides::Overrides;
use crate::source::{MAX_BYTES, SourceMap, Sources};
use crate::toml;
use crate::typed;

const KEYS: [&str; 4] = ["default", "help", "type", "choices"];
pub(crate) const TYPES: [&str; 6] = ["string", "integer", "number", "boolean", "list", "table"];
const EXAMPLE: &str = "version = { default = \"1.4\", help = \"…\" }";

/// The values of all inputs; those that are wrong stand for none, so that they are reported once.
pub(crate) fn read(
    root: &Table,
    overrides: &Overrides,
    given: Option<&Table>,
    cx: &mut Cx<'_>,
) -> BTreeMap<String, Value> {
    let mut inputs = BTreeMap::new();
    let table = root.node("inputs").and_then(|node| cx.table(node, EXAMPLE));
    for entry in table.into_iter().flat_map(|table| &table.entries) {
        if !is_variable(&entry.key) {
            cx.add(bad_variable(entry, "an input"));
        }
        let set = overrides.inputs.get(&entry.key).map(String::as_str);
        let given = given.and_then(|given| given.node(&entry.key));
        let value = input(entry, set, given, cx);
        if value.is_none() {
            cx.broken_inputs.insert(entry.key.clone());
        }
        inputs.insert(entry.key.clone(), expr::from_json(&value.unwrap_or(Json::Null)));
    }
    for name in overrides.inputs.keys() {
        if !inputs.contains_key(name) {
            let message = format!("--set {name}: no input is called `{name}`");
            let known = || inputs.keys().map(String::as_str);
            let help =
                nearest::did_you_mean(name, known()).unwrap_or_else(|| format!("inputs: {}", nearest::listed(known())));
            cx.add(Diagnostic::error(codes::UNKNOWN_INPUT, None, message).help(help));
        }
    }
    for entry in given.into_iter().flat_map(|given| &given.entries) {
        if !inputs.contains_key(&entry.key) {
            let message = format!("no input is called `{}`", typed::shortened(&entry.key));
            let known = || inputs.keys().map(String::as_str);
            let help = nearest::did_you_mean(&entry.key, known())
                .unwrap_or_else(|| format!("inputs: {}", nearest::listed(known())));
            cx.add(Diagnostic::error(codes::UNKNOWN_INPUT, entry.key_span, message).help(help));
        }
    }
    inputs
}

/// The values that a file beside the environment file gives, as TOML.
pub(crate) fn given(
    path: &Path,
    disk: &dyn Sources,
    sources: &mut SourceMap,
    findings: &mut Findings,
) -> Option<Table> {
    let message = match disk.read(path) {
        Ok(text) if text.len() > MAX_BYTES => format!("{} has more than {} MiB", path.display(), MAX_BYTES >> 20),
        Ok(text) => {
            let file = sources.add(path.to_owned(), text);
            let text = sources.file(file).map_or("", |source| source.text.as_str());
            return toml::parse(text, file, findings);
        }
        Err(error) => format!("the inputs {} cannot be read: {error}", path.display()),
    };
    findings.add(Diagnostic::error(codes::UNREADABLE, None, message));
    None
}

/// `[A-Za-z_][A-Za-z0-9_-]*`.
pub(crate) fn is_variable(name: &str) -> bool {
    name.len() <= 128
        && name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
        && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_' || c == '-')
}

pub(crate) fn bad_variable(entry: &Entry, what: &str) -> Diagnostic {
    let message = format!("`{}` cannot be the name of {what}", typed::shortened(&entry.key));
    Diagnostic::error(codes::BAD_NAME, entry.key_span, message)
        .note("it begins with a letter or _ and goes on with letters, digits, _ and -")
}

fn input(entry: &Entry, set: Option<&str>, given: Option<&Node>, cx: &mut Cx<'_>) -> Option<Json> {
    let name = &entry.key;
    let Content::Table(table) = &entry.node.value else {
        let help = format!("{{ default = {} }}", cx.sources.text(entry.node.span));
        cx.add(typed::wrong_type("a table", &entry.node).help(help));
        return None;
    };
    cx.only_keys(table, &KEYS, "an input");
    if let Some(help) = table.node("help") {
        cx.string(help, Scope::EARLY, "a sentence");
    }
    let wanted = match table.node("type") {
        Some(node) => Some(kind(node, cx)?),
        None => None,
    };
    let default = table.node("default");
    if let Some(default) = default {
        warn_of_braces(default, cx);
        if let Some(wanted) = wanted
            && type_of(default) != wanted
            && !(wanted == "number" && type_of(default) == "integer")
        {
            cx.add(typed::wrong_type(article(wanted), default));
            return None;
        }
    }
    let value = match (set, given, default) {
        (Some(text), _, _) => set_value(name, text, wanted.or(default.map(type_of)), entry, cx)?,
        (None, Some(given), _) => given_value(name, given, wanted.or(default.map(type_of)), cx)?,
        (None, None, Some(default)) => default.to_json(),
        (None, None, None) => {
            let message = format!("the input `{name}` has no default and was not given");
            let help = format!("--set inputs.{name}=…");
            cx.add(Diagnostic::error(codes::BAD_INPUT, entry.key_span, message).help(help));
            return None;
        }
    };
    let choices = table
        .node("choices")
        .and_then(|node| cx.list(node, "choices = [\"a\", \"b\"]"));
    if let Some(choices) = choices
        && !choices.iter().any(|choice| choice.to_json() == value)
    {
        let at = match (set, given.or(default)) {
            (None, Some(node)) => node.span,
            _ => entry.key_span,
        };
        let shown: Vec<String> = choices.iter().map(|choice| choice.to_json().to_string()).collect();
        let message = format!("{value} is none of the choices of the input `{name}`");
        cx.add(Diagnostic::error(codes::BAD_INPUT, at, message).note(format!("choices: {}", shown.join(" "))));
        return None;
    }
    Some(value)
}

fn kind(node: &Node, cx: &mut Cx<'_>) -> Option<&'static str> {
    let text = cx.string(node, Scope::EARLY, "\"string\"")?;
    if let Some(known) = TYPES.iter().find(|known| **known == text) {
        return Some(known);
    }
    let message = format!("`{}` is no type of an input", typed::shortened(&text));
    let help = nearest::did_you_mean(&text, TYPES);
    cx.add(
        Diagnostic::error(codes::OUT_OF_RANGE, node.span, message)
            .help(help)
            .note(format!("types: {}", nearest::listed(TYPES))),
    );
    None
}

fn type_of(node: &Node) -> &'static str {
    match &node.value {
        Content::Bool(_) => "boolean",
        Content::Int(_) => "integer",
        Content::Float(_) => "number",
        Content::List(_) => "list",
        Content::Table(_) => "table",
        Content::String(_) | Content::Date(_) | Content::Null => "string",
    }
}

fn article(wanted: &str) -> &'static str {
    match wanted {
        "integer" => "a whole number",
        "number" => "a number",
        "boolean" => "a boolean",
        "list" => "a list",
        "table" => "a table",
        _ => "a string",
    }
}

/// The type of the default decides what a text means: `version=1.10` stays a text beside a text.
fn set_value(name: &str, text: &str, wanted: Option<&str>, entry: &Entry, cx: &mut Cx<'_>) -> Option<Json> {
    let parsed = toml::parse_value(text);
    let Some(wanted) = wanted else {
        return Some(parsed.map_or_else(|| text.into(), |node| node.to_json()));
    };
    if wanted == "string" {
        return Some(text.into());
    }
    match parsed {
        Some(node) if type_of(&node) == wanted || (wanted == "number" && type_of(&node) == "integer") => {
            Some(node.to_json())
        }
        _ => {
            let message = format!("--set {name}={}: expected {}", typed::shortened(text), article(wanted));
            cx.add(Diagnostic::error(codes::BAD_INPUT, entry.key_span, message).label("this input"));
            None
        }
    }
}

/// A value of the inputs' file has its type already.
fn given_value(name: &str, given: &Node, wanted: Option<&str>, cx: &mut Cx<'_>) -> Option<Json> {
    let found = type_of(given);
    let fits = wanted.is_none_or(|wanted| found == wanted || (wanted == "number" && found == "integer"));
    if fits {
        return Some(given.to_json());
    }
    let message = format!(
        "the input `{name}`: expected {}, found {}",
        article(wanted.unwrap_or_default()),
        given.describe()
    );
    cx.add(Diagnostic::error(codes::BAD_INPUT, given.span, message));
    None
}

fn warn_of_braces(default: &Node, cx: &mut Cx<'_>) {
    if let Content::String(text) = &default.value
        && text.contains("{{")
    {
        let message = "the default of an input is taken as it is, braces and all";
        cx.add(Diagnostic::warning(codes::LITERAL_DEFAULT, default.span, message));
    }
}
