//! `[secrets]`: where secrets come from; and what of them a machine is given.

use std::collections::BTreeMap;
use std::path::Path;

use encamp_core::Name;

use crate::codes;
use crate::cx::{Cx, Scope};
use crate::diagnose::Diagnostic;
use crate::files;
use crate::nearest;
use crate::node::{Content, Entry, Node, Table};
use crate::ready;
use crate::spec::SecretSource;
use crate::text::Text;
use crate::typed::{self, shortened};

/// What a secret may come from.
pub(crate) const SOURCES: [&str; 3] = ["variable", "file", "command"];

/// Those that the file declares; one that is wrong still has its name, so that nothing else is reported for it.
pub(crate) fn declared(root: &Table, cx: &mut Cx<'_>) -> BTreeMap<Name, Option<SecretSource>> {
    let mut secrets = BTreeMap::new();
    let table = root.node("secrets").and_then(|node| cx.table(node, "[secrets]"));
    for entry in table.into_iter().flat_map(|table| &table.entries) {
        if let Some(name) = cx.checked_name(&entry.key, entry.key_span) {
            let source = source(entry, cx);
            secrets.insert(name, source);
        }
    }
    secrets
}

fn source(entry: &Entry, cx: &mut Cx<'_>) -> Option<SecretSource> {
    let node = &entry.node;
    let Content::Table(table) = &node.value else {
        // The value may be the secret itself, so it is not shown again in the help.
        let help = format!(
            "{{ variable = \"{}\" }}",
            entry.key.to_ascii_uppercase().replace('-', "_")
        );
        let message = "a secret never stands in the file itself, only where it comes from";
        cx.add(Diagnostic::error(codes::ONE_SOURCE, entry.key_span, message).help(help));
        return None;
    };
    cx.only_keys(table, &SOURCES, "a secret");
    let mut given = table
        .entries
        .iter()
        .filter(|entry| SOURCES.contains(&entry.key.as_str()));
    let (first, second) = (given.next(), given.next());
    if let (Some(first), Some(second)) = (first, second) {
        let message = format!("the secret `{}` comes from one place", entry.key);
        cx.add(
            Diagnostic::error(codes::ONE_SOURCE, second.key_span, message)
                .label("a second one")
                .secondary(first.key_span, "the first"),
        );
        return None;
    }
    let Some(given) = first else {
        let message = format!("the secret `{}` does not say where it comes from", entry.key);
        let help = format!("one of {}", nearest::listed(SOURCES));
        cx.add(Diagnostic::error(codes::ONE_SOURCE, entry.key_span, message).help(help));
        return None;
    };
    match given.key.as_str() {
        "variable" => variable(&given.node, cx),
        "file" => file(&given.node, cx),
        _ => Some(SecretSource::Command(ready::command(&given.node, Scope::EARLY, cx)?)),
    }
}

fn variable(node: &Node, cx: &mut Cx<'_>) -> Option<SecretSource> {
    let name = cx.string(node, Scope::EARLY, "\"TOKEN\"")?;
    if is_variable(&name) {
        return Some(SecretSource::Variable(name));
    }
    let help = name.strip_prefix('$').map(|name| format!("\"{name}\""));
    cx.add(bad_variable(&name, node.span).help(help));
    None
}

/// An absolute file, or one below the file's folder; whether it is there shows when it is read.
fn file(node: &Node, cx: &mut Cx<'_>) -> Option<SecretSource> {
    let name = cx.string(node, Scope::EARLY, "\"/run/secrets/token\"")?;
    let path = Path::new(&name);
    if name.is_empty() {
        cx.add(Diagnostic::error(codes::OUT_OF_RANGE, node.span, "this path is empty"));
        return None;
    }
    if path.is_absolute() {
        return Some(SecretSource::File(path.to_owned()));
    }
    if name.starts_with("~/") {
        let message = "`~` is not the home folder here";
        let help = "an absolute path, or one below the folder of this file".to_owned();
        cx.add(Diagnostic::error(codes::OUTSIDE, node.span, message).help(help));
        return None;
    }
    if let Some(why) = files::leads_outside(path) {
        let message = format!("`{}` leads out of the folder of this file: {why}", shortened(&name));
        let help = "an absolute path, or one below the folder of this file".to_owned();
        cx.add(Diagnostic::error(codes::OUTSIDE, node.span, message).help(help));
        return None;
    }
    Some(SecretSource::File(cx.path_of(&name)))
}

/// `secrets` of a machine: by the name of the variable that says where the file is.
pub(crate) fn of_machine(node: &Node, scope: Scope<'_>, cx: &mut Cx<'_>) -> BTreeMap<String, Text> {
    const EXAMPLE: &str = "secrets = { TOKEN = \"{{ secret('token') }}\" }";
    let mut secrets = BTreeMap::new();
    if let Content::List(_) = node.value {
        cx.add(typed::wrong_type("a table", node).help(EXAMPLE.to_owned()));
        return secrets;
    }
    let Some(table) = cx.table(node, EXAMPLE) else {
        return secrets;
    };
    for entry in &table.entries {
        if !is_variable(&entry.key) {
            cx.add(bad_variable(&entry.key, entry.key_span));
        }
        if let Some(text) = cx.text(&entry.node, scope, false, "\"{{ secret('token') }}\"") {
            if text.as_static().is_some() {
                let message = format!("`{}` is no secret: it stands in the file", entry.key);
                let help = format!(
                    "`env` for what is none; else `{} = \"{{{{ secret('…') }}}}\"`",
                    entry.key
                );
                cx.add(Diagnostic::warning(codes::LITERAL_SECRET, entry.node.span, message).help(help));
            }
            secrets.insert(entry.key.clone(), text);
        }
    }
    secrets
}

fn is_variable(name: &str) -> bool {
    name.len() <= 128
        && name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
        && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
}

fn bad_variable(name: &str, at: crate::source::Span) -> Diagnostic {
    let message = format!("`{}` cannot be the name of a variable", shortened(name));
    Diagnostic::error(codes::BAD_NAME, at, message)
        .note("it begins with a letter or _ and goes on with letters, digits and _")
}
