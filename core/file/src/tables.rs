//! The kinds' tables of a machine.

use std::collections::{BTreeMap, HashMap};
use std::path::Path;

use encamp_core::{Kind, KindName, Value as Json};

use crate::built::{Built, Leaf};
use crate::checker;
use crate::codes;
use crate::cx::{Cx, Scope};
use crate::diagnose::Diagnostic;
use crate::files::{Wanted, leads_outside};
use crate::machines::{Draft, KEYS};
use crate::nearest;
use crate::node::{Content, Entry};
use crate::source::Span;
use crate::tree::Tree;
use crate::typed;

/// Tables that are the same for all members of the group, by where they stand.
pub(crate) type Shared = HashMap<Span, (Tree, Contents)>;

/// The hashes of what a table names, by JSON pointer.
type Contents = BTreeMap<String, String>;

/// The tables of a machine.
#[derive(Debug, Default)]
pub(crate) struct Tables {
    pub(crate) trees: BTreeMap<KindName, Tree>,
    pub(crate) contents: BTreeMap<KindName, Contents>,
}

/// The tables of all kinds that the machine speaks of, and of those that its providers are of.
pub(crate) fn read(draft: &Draft<'_>, scope: Scope<'_>, shared: &mut Shared, cx: &mut Cx<'_>) -> Tables {
    let mut tables = Tables::default();
    let kinds = cx.kinds;
    for entry in &draft.table.entries {
        let Some((name, kind)) = kinds.kinds.get_key_value(entry.key.as_str()) else {
            continue;
        };
        if KEYS.contains(&entry.key.as_str()) {
            continue;
        }
        if let Some((tree, contents)) = table(entry, &**kind, draft, scope, shared, cx) {
            tables.trees.insert(name.clone(), tree);
            if !contents.is_empty() {
                tables.contents.insert(name.clone(), contents);
            }
        }
    }
    for instance in &draft.providers {
        let kind = kinds
            .instances
            .get(instance)
            .and_then(|name| kinds.kinds.get_key_value(name));
        let Some((name, kind)) = kind else { continue };
        if draft.table.entry(name.as_str()).is_some() || tables.trees.contains_key(name) {
            continue;
        }
        if !misspelt(draft, name, &**kind, cx) {
            without(draft, name, &**kind, cx);
        }
        tables
            .trees
            .insert(name.clone(), Tree::fixed(Json::Object(serde_json::Map::new())));
    }
    tables
}

/// Whether an unknown key, refused already, is most likely what is missing.
fn misspelt(draft: &Draft<'_>, name: &KindName, kind: &dyn Kind, cx: &Cx<'_>) -> bool {
    let keys = checker::keys(&kind.info().table_schema);
    let unknown = draft
        .table
        .entries
        .iter()
        .map(|entry| entry.key.as_str())
        .filter(|key| !KEYS.contains(key) && !cx.kinds.kinds.contains_key(*key));
    unknown
        .into_iter()
        .any(|key| keys.contains(&key) || nearest::nearest(key, [name.as_str()]).is_some())
}

/// A machine need not have a table, if nothing in it is required.
fn without(draft: &Draft<'_>, name: &KindName, kind: &dyn Kind, cx: &mut Cx<'_>) {
    let schema = &kind.info().table_schema;
    let empty = Built {
        span: draft.entry.key_span,
        value: Leaf::Table(Vec::new()),
        computed: false,
    };
    let title = format!("[machines.{}.{name}]", draft.name);
    let mut trouble = !checker::check(schema, &empty, &title).misfits.is_empty();
    trouble = trouble || !kind.examine(&empty.skeleton()).is_empty();
    if trouble {
        let message = format!("`{}` may be carried by a `{name}`, but says nothing for it", draft.name);
        let key = checker::required(schema)
            .first()
            .copied()
            .map_or_else(|| "…".to_owned(), str::to_owned);
        cx.add(
            Diagnostic::error(codes::MISSING_TABLE, draft.entry.key_span, message)
                .help(format!("add `{name}.{key} = …`")),
        );
    }
}

fn table(
    entry: &Entry,
    kind: &dyn Kind,
    draft: &Draft<'_>,
    scope: Scope<'_>,
    shared: &mut Shared,
    cx: &mut Cx<'_>,
) -> Option<(Tree, Contents)> {
    if let Some(shared) = shared.get(&entry.key_span) {
        return Some(shared.clone());
    }
    let name = &entry.key;
    let schema = &kind.info().table_schema;
    if !matches!(entry.node.value, Content::Table(_)) {
        let key = checker::required(schema).first().copied().unwrap_or("…");
        let help = format!("write `{name}.{key} = {}`", cx.sources.text(entry.node.span));
        cx.add(typed::wrong_type("a table", &entry.node).help(help));
        return None;
    }
    warn_of_misplaced(entry, schema, cx);
    let outer = std::mem::replace(&mut cx.used_me, false);
    let errors = cx.findings.errors();
    let built = Built::new(&entry.node, scope, cx);
    let is_shared = !std::mem::replace(&mut cx.used_me, outer);
    cx.used_me |= !is_shared;
    let mut built = built?;
    let title = format!("[machines.{}.{name}]", draft.name);
    let outcome = checker::check(schema, &built, &title);
    let fits = outcome.misfits.is_empty();
    for misfit in outcome.misfits.iter().cloned() {
        let mut diagnostic = Diagnostic::error(misfit.code, misfit.span, misfit.message).help(misfit.help);
        if misfit.code == codes::UNKNOWN_KEY && diagnostic.help.is_none() {
            diagnostic = diagnostic.help(own_key(cx.sources.text(misfit.span), name));
        }
        if let Some(note) = misfit.note {
            diagnostic = diagnostic.note(note);
        }
        cx.add(diagnostic);
    }
    for pointer in &outcome.to_strings {
        if let Some(Leaf::Scalar(value)) = built.at_mut(pointer).map(|leaf| &mut leaf.value) {
            *value = Json::String(value.to_string());
        }
    }
    if fits && cx.findings.errors() == errors {
        for problem in kind.examine(&built.skeleton()) {
            let (at, key) = built.nearest(&problem.pointer);
            let span = if matches!(at.value, Leaf::Table(_)) {
                key.unwrap_or(entry.key_span)
            } else {
                at.span
            };
            cx.add(Diagnostic::error(codes::KIND_PROBLEM, span, problem.message).help(problem.help));
        }
    }
    refuse_secrets(&built, &entry.key, cx);
    let table = (built.tree(), contents(&built, &outcome.contents, cx));
    if is_shared {
        shared.insert(entry.key_span, table.clone());
    }
    Some(table)
}

/// What stands in a kind's table goes to the infrastructure, which shows it.
fn refuse_secrets(built: &Built, kind: &str, cx: &mut Cx<'_>) {
    let mut late = Vec::new();
    built.late_leaves("", &mut late);
    for (_, leaf, _) in late {
        if let Leaf::Late(text) = &leaf.value
            && text.is_secret()
        {
            let message = format!("what stands in `{kind}` is shown by the infrastructure, and this holds a secret");
            cx.add(typed::visible(leaf.span, message));
        }
    }
}

/// The hashes of the folders that a table names and that lie in the file's own.
fn contents(built: &Built, named: &[(String, String)], cx: &mut Cx<'_>) -> Contents {
    let mut contents = Contents::new();
    for (pointer, ignore) in named {
        let (at, _) = built.nearest(pointer);
        let Leaf::Scalar(Json::String(name)) = &at.value else {
            continue;
        };
        if leads_outside(Path::new(name)).is_some() {
            continue;
        }
        if let Some(referred) = cx.refer(name, at.span, Wanted::Folder)
            && let Some(hash) = cx.content(&referred, ignore, at.span)
        {
            contents.insert(pointer.clone(), hash);
        }
    }
    contents
}

fn own_key(key: &str, kind: &str) -> Option<String> {
    KEYS.contains(&key)
        .then(|| format!("`{key}` is the machine's own key: write it beside `{kind}`"))
}

/// In a table that takes any key, a machine's own key is most likely misplaced.
fn warn_of_misplaced(entry: &Entry, schema: &Json, cx: &mut Cx<'_>) {
    let Content::Table(table) = &entry.node.value else {
        return;
    };
    let declared = checker::keys(schema);
    let closed = schema.get("additionalProperties").and_then(Json::as_bool) == Some(false);
    for inner in &table.entries {
        if !closed && KEYS.contains(&inner.key.as_str()) && !declared.contains(&inner.key.as_str()) {
            let message = format!("`{}` is a key of the machine, not of `{}`", inner.key, entry.key);
            let help = format!("write `{}` beside `{}`", inner.key, entry.key);
            cx.add(Diagnostic::warning(codes::MISPLACED_KEY, inner.key_span, message).help(help));
        }
    }
}
