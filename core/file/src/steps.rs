//! What is done on a machine: the steps of `setup`, and what tasks share with them.

use std::collections::{BTreeSet, HashMap};

use encamp_core::Name;

use crate::built::Built;
use crate::codes;
use crate::cx::{Cx, Scope};
use crate::diagnose::Diagnostic;
use crate::files::{Referred, Wanted};
use crate::machines;
use crate::misfit;
use crate::nearest;
use crate::node::{Content, Entry, Node, Table};
use crate::ready;
use crate::spec::{Action, Copy, Fetch, Script, Step, Sync, TemplateFile};
use crate::text::Text;
use crate::typed::{self, shortened};

/// What a step does, and the keys that belong to it.
pub(crate) const ACTIONS: [(&str, &[&str]); 6] = [
    ("run", &["env", "cwd", "user", "output"]),
    ("script", &["args", "env", "cwd", "user", "output"]),
    ("copy", &["to", "owner", "mode"]),
    ("template", &["to", "owner", "mode", "vars"]),
    ("fetch", &["to", "owner", "mode", "sha256", "unpack"]),
    ("sync", &["to", "exclude"]),
];
/// The keys of every step.
pub(crate) const COMMON: [&str; 3] = ["after", "timeout", "raw"];
/// What later versions do.
const LATER: [&str; 2] = ["ansible", "reboot"];
const EXAMPLE: &str = "setup = [{ run = \"./install.sh\" }]";

pub(crate) fn read(node: &Node, scope: Scope<'_>, cx: &mut Cx<'_>) -> Vec<Step> {
    if let Content::Table(_) = node.value {
        let help = format!("[{}]", cx.sources.text(node.span));
        cx.add(typed::wrong_type("a list of steps", node).help(help));
        return Vec::new();
    }
    let items = cx.list(node, EXAMPLE).unwrap_or_default();
    items.iter().filter_map(|item| step(item, scope, cx)).collect()
}

/// The names of what the steps give, which decide what others may speak of.
pub(crate) fn outputs(node: &Node, cx: &mut Cx<'_>) -> BTreeSet<Name> {
    let mut outputs = HashMap::new();
    let Content::List(items) = &node.value else {
        return BTreeSet::new();
    };
    for item in items {
        let Content::Table(table) = &item.value else { continue };
        let Some(node) = table.node("output") else { continue };
        let Some(name) = cx.name(node, Scope::EARLY, "\"token\"") else {
            continue;
        };
        if let Some(first) = outputs.insert(name.clone(), node.span) {
            let message = format!("two steps have the output `{name}`");
            cx.add(
                Diagnostic::error(codes::TAKEN, node.span, message)
                    .label("again here")
                    .secondary(first, "the first"),
            );
        }
    }
    outputs.into_keys().collect()
}

fn step(node: &Node, scope: Scope<'_>, cx: &mut Cx<'_>) -> Option<Step> {
    let table = cx.table(node, "{ run = \"./install.sh\" }")?;
    let scope = Scope {
        raw: raw(table, cx),
        ..scope
    };
    let kinds: Vec<&str> = ACTIONS.iter().map(|(action, _)| *action).collect();
    let entry = chosen(table, node, &kinds, "a step", cx);
    if let Some(entry) = entry {
        fits(table, entry, &COMMON, "a step", cx);
    }
    let after_ready = table.node("after").and_then(|node| after(node, scope, cx));
    let timeout = table.node("timeout").and_then(|node| cx.duration(node, scope));
    let mut step = Step::new(action(entry?, table, scope, cx)?);
    // Its name was judged before any machine was described.
    step.output = match table.node("output") {
        Some(node) => Some(cx.name(node, Scope::EARLY, "\"token\"")?),
        None => None,
    };
    if let Some(node) = table.node("env") {
        step.env = machines::env(node, scope, cx);
    }
    step.cwd = table
        .node("cwd")
        .and_then(|node| cx.shown_text(node, scope, "\"/srv\""));
    step.user = table.node("user").and_then(|node| cx.string(node, scope, "\"root\""));
    step.after_ready = after_ready.unwrap_or(false);
    step.timeout = timeout.unwrap_or(Step::TIMEOUT);
    step.place = cx.sources.place(node.span);
    Some(step)
}

/// `raw = true`: what stands in the table is taken as it is.
pub(crate) fn raw(table: &Table, cx: &mut Cx<'_>) -> bool {
    let raw = table.node("raw").and_then(|node| cx.boolean(node, Scope::EARLY));
    raw.unwrap_or(false)
}

fn after(node: &Node, scope: Scope<'_>, cx: &mut Cx<'_>) -> Option<bool> {
    let when = cx.string(node, scope, "\"ready\"")?;
    if when == "ready" {
        return Some(true);
    }
    let message = format!("a step comes after `ready`, not after `{}`", shortened(&when));
    let help = "after = \"ready\"; steps are done in the order of the list".to_owned();
    cx.add(Diagnostic::error(codes::OUT_OF_RANGE, node.span, message).help(help));
    None
}

/// The one key that says what is done.
pub(crate) fn chosen<'n>(
    table: &'n Table,
    node: &Node,
    actions: &[&str],
    what: &str,
    cx: &mut Cx<'_>,
) -> Option<&'n Entry> {
    let mut given = table
        .entries
        .iter()
        .filter(|entry| actions.contains(&entry.key.as_str()));
    let (first, second) = (given.next(), given.next());
    if let (Some(first), Some(second)) = (first, second) {
        let message = format!(
            "{what} does one thing, and this one has `{}` and `{}`",
            first.key, second.key
        );
        cx.add(
            Diagnostic::error(codes::ONE_ACTION, second.key_span, message)
                .label(format!("make it {what} of its own"))
                .secondary(first.key_span, "the first"),
        );
        return None;
    }
    if first.is_some() {
        return first;
    }
    if let Some(entry) = table.entries.iter().find(|entry| LATER.contains(&entry.key.as_str())) {
        let message = format!("`{}` comes with a later version", entry.key);
        let help = "until then: `run`".to_owned();
        cx.add(Diagnostic::error(codes::LATER, entry.key_span, message).help(help));
        return None;
    }
    let known: BTreeSet<&str> = ACTIONS
        .iter()
        .flat_map(|(_, keys)| keys.iter().copied())
        .chain(COMMON)
        .collect();
    let near = table
        .entries
        .iter()
        .filter(|entry| !known.contains(entry.key.as_str()))
        .find_map(|entry| Some((entry, nearest::nearest(&entry.key, actions.iter().copied())?)));
    if let Some((entry, near)) = near {
        let message = format!("unknown key `{}`", entry.key);
        let help = format!("a key with a similar name: `{near}`");
        cx.add(Diagnostic::error(codes::UNKNOWN_KEY, entry.key_span, message).help(help));
        return None;
    }
    let message = format!("{what} says what is done, and this one does not");
    let help = format!("one of {}", nearest::listed(actions.iter().copied()));
    cx.add(Diagnostic::error(codes::ONE_ACTION, node.span, message).help(help));
    None
}

/// Refuses keys that do not belong to what is done.
pub(crate) fn fits(table: &Table, chosen: &Entry, common: &[&str], what: &str, cx: &mut Cx<'_>) {
    let of = |action: &str| {
        ACTIONS
            .iter()
            .find(|(known, _)| *known == action)
            .map_or(&[][..], |(_, keys)| keys)
    };
    let own = of(&chosen.key);
    for entry in &table.entries {
        let key = entry.key.as_str();
        if key == chosen.key || common.contains(&key) || own.contains(&key) {
            continue;
        }
        let owners: Vec<String> = ACTIONS
            .iter()
            .filter(|(_, keys)| keys.contains(&key))
            .map(|(action, _)| format!("`{action}`"))
            .collect();
        if owners.is_empty() {
            let mut known = vec![chosen.key.as_str()];
            for key in own.iter().chain(common) {
                if !known.contains(key) && (*key != "output" || what == "a step") {
                    known.push(key);
                }
            }
            cx.unknown_key(entry, known.into_iter(), &format!("{what} with `{}`", chosen.key));
        } else {
            let message = format!("`{key}` belongs to {what} with {}", misfit::or(owners.into_iter()));
            cx.add(Diagnostic::error(codes::UNKNOWN_KEY, entry.key_span, message));
        }
    }
}

/// What the chosen key and its companions say.
pub(crate) fn action(entry: &Entry, table: &Table, scope: Scope<'_>, cx: &mut Cx<'_>) -> Option<Action> {
    let node = &entry.node;
    match entry.key.as_str() {
        "run" => Some(Action::Run(ready::command(node, scope, cx)?)),
        "script" => {
            let file = source(node, scope, Wanted::File, "\"./install.sh\"", cx);
            let args = table.node("args").map(|node| ready::arguments(node, scope, cx));
            Some(Action::Script(Script {
                file: file?.path,
                args: args.unwrap_or(Some(Vec::new()))?,
            }))
        }
        "copy" => {
            let from = source(node, scope, Wanted::Either, "\"./site\"", cx);
            let to = destination(table, node, "a step with `copy`", scope, cx);
            let (owner, mode) = owned(table, scope, cx);
            Some(Action::Copy(Copy {
                from: from?.path,
                to: to?,
                owner,
                mode,
            }))
        }
        "template" => template(node, table, scope, cx),
        "fetch" => fetch(node, table, scope, cx),
        _ => {
            let from = cx.referred(node, scope, Wanted::Folder, "\".\"");
            let to = destination(table, node, "a step with `sync`", scope, cx);
            let exclude = table.node("exclude").map(|node| patterns(node, scope, cx));
            Some(Action::Sync(Sync {
                from: from?.path,
                to: to?,
                exclude: exclude.unwrap_or(Some(Vec::new()))?,
            }))
        }
    }
}

/// A file or folder whose content makes the machine, where it belongs to a machine's description.
fn source(node: &Node, scope: Scope<'_>, wanted: Wanted, example: &str, cx: &mut Cx<'_>) -> Option<Referred> {
    let referred = cx.referred(node, scope, wanted, example)?;
    if !scope.runs {
        cx.note_content(&referred, node.span);
    }
    Some(referred)
}

fn template(node: &Node, table: &Table, scope: Scope<'_>, cx: &mut Cx<'_>) -> Option<Action> {
    let file = source(node, scope, Wanted::File, "\"app.conf.j2\"", cx);
    let to = destination(table, node, "a step with `template`", scope, cx);
    let (owner, mode) = owned(table, scope, cx);
    let vars = match table.node("vars") {
        Some(node) => cx.table(node, "vars = { name = \"value\" }").and_then(|vars| {
            let reserved = refuse_reserved(vars, cx);
            let built = Built::new(node, scope, cx);
            built.filter(|_| !reserved)
        }),
        None => Some(Built::empty(node.span)),
    };
    let template = cx.template_file(&file?, node.span, &vars?, scope);
    Some(Action::Template(TemplateFile {
        template: template?,
        to: to?,
        owner,
        mode,
    }))
}

/// Names that a template knows already cannot be those of its variables.
fn refuse_reserved(vars: &Table, cx: &mut Cx<'_>) -> bool {
    let mut refused = false;
    for entry in &vars.entries {
        if crate::page::KNOWN.contains(&entry.key.as_str()) {
            let message = format!("`{}` is known to every template already", entry.key);
            cx.add(Diagnostic::error(codes::TAKEN, entry.key_span, message).label("call it something else"));
            refused = true;
        } else if !crate::inputs::is_variable(&entry.key) || entry.key.contains('-') {
            let message = format!("`{}` cannot be the name of a variable", shortened(&entry.key));
            let note = "it begins with a letter or _ and goes on with letters, digits and _";
            cx.add(Diagnostic::error(codes::BAD_NAME, entry.key_span, message).note(note));
            refused = true;
        }
    }
    refused
}

fn fetch(node: &Node, table: &Table, scope: Scope<'_>, cx: &mut Cx<'_>) -> Option<Action> {
    const URL: &str = "\"https://…\"";
    let url = cx.text(node, scope, false, URL);
    let scheme = |url: &str| url.starts_with("https://") || url.starts_with("http://");
    let fits = url.as_ref().and_then(Text::as_static).is_none_or(scheme);
    if !fits {
        let message = "`fetch` takes an address that begins with `https://` or `http://`";
        let help = "a file beside this one is brought by `copy`".to_owned();
        cx.add(Diagnostic::error(codes::OUT_OF_RANGE, node.span, message).help(help));
    }
    let sha256 = match table.node("sha256") {
        Some(node) => digest(node, scope, cx),
        None => {
            cx.missing_key(node.span, "a step with `fetch`", "sha256", "sha256 = \"…\"");
            None
        }
    };
    let to = destination(table, node, "a step with `fetch`", scope, cx);
    let (owner, mode) = owned(table, scope, cx);
    let unpack = match table.node("unpack") {
        Some(node) => cx.boolean(node, scope),
        None => Some(false),
    };
    Some(Action::Fetch(Fetch {
        url: url.filter(|_| fits)?,
        sha256: sha256?,
        to: to?,
        unpack: unpack?,
        owner,
        mode,
    }))
}

fn digest(node: &Node, scope: Scope<'_>, cx: &mut Cx<'_>) -> Option<String> {
    let text = cx.string(node, scope, "\"…\"")?;
    let digest = text.strip_prefix("sha256:").unwrap_or(&text).to_ascii_lowercase();
    if digest.len() == 64 && digest.chars().all(|c| c.is_ascii_hexdigit()) {
        return Some(digest);
    }
    let message = format!("`{}` is no SHA-256: that is 64 hex digits", shortened(&text));
    let help = "what `sha256sum FILE` prints first".to_owned();
    cx.add(Diagnostic::error(codes::OUT_OF_RANGE, node.span, message).help(help));
    None
}

/// `to`: where it lands on the machine.
fn destination(table: &Table, at: &Node, what: &str, scope: Scope<'_>, cx: &mut Cx<'_>) -> Option<Text> {
    const EXAMPLE: &str = "to = \"/srv/site\"";
    let Some(node) = table.node("to") else {
        cx.missing_key(at.span, what, "to", EXAMPLE);
        return None;
    };
    let to = cx.shown_text(node, scope, EXAMPLE)?;
    if let Some(path) = to.as_static().filter(|path| !path.starts_with('/')) {
        let message = "a path on a machine begins with `/`";
        let help = format!("\"/{}\"", path.trim_start_matches("./"));
        cx.add(Diagnostic::error(codes::OUT_OF_RANGE, node.span, message).help(help));
        return None;
    }
    Some(to)
}

/// `owner` and `mode`.
fn owned(table: &Table, scope: Scope<'_>, cx: &mut Cx<'_>) -> (Option<String>, Option<u32>) {
    let owner = table.node("owner").and_then(|node| owner(node, scope, cx));
    let mode = table.node("mode").and_then(|node| mode(node, scope, cx));
    (owner, mode)
}

fn owner(node: &Node, scope: Scope<'_>, cx: &mut Cx<'_>) -> Option<String> {
    let owner = cx.string(node, scope, "\"root\" or \"root:root\"")?;
    let name = |name: &str| {
        !name.is_empty()
            && !name.starts_with('-')
            && name
                .chars()
                .all(|c| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.' | '$' | '@'))
    };
    let (user, group) = owner
        .split_once(':')
        .map_or((owner.as_str(), None), |(user, group)| (user, Some(group)));
    if name(user) && group.is_none_or(name) {
        return Some(owner);
    }
    let message = format!("`{}` is no owner", shortened(&owner));
    let help = "a user, or a user and a group: `www`, `www:www`, `1000:1000`".to_owned();
    cx.add(Diagnostic::error(codes::OUT_OF_RANGE, node.span, message).help(help));
    None
}

/// Octal digits in a string, or an octal number of TOML; a bare 644 would be another mode.
fn mode(node: &Node, scope: Scope<'_>, cx: &mut Cx<'_>) -> Option<u32> {
    let settled = cx.settled(node, scope)?;
    let text = match &settled.value {
        Content::String(text) => text.clone(),
        Content::Int(_) if !settled.computed => cx.sources.text(node.span).to_owned(),
        Content::Int(_) => settled.to_json().to_string(),
        _ => {
            cx.add(typed::wrong_type("a mode", &settled).help("mode = \"0644\"".to_owned()));
            return None;
        }
    };
    let bare = matches!(settled.value, Content::Int(_)) && !text.starts_with("0o");
    let digits = text.strip_prefix("0o").unwrap_or(&text);
    let octal = u32::from_str_radix(digits, 8).ok().filter(|mode| *mode <= 0o7777);
    match octal {
        Some(mode) if !bare && !digits.starts_with('+') => Some(mode),
        Some(_) if bare => {
            let message = format!("`{text}` is a decimal number, and modes are octal");
            cx.add(Diagnostic::error(codes::WRONG_TYPE, node.span, message).help(format!("\"0{text}\"")));
            None
        }
        _ => {
            let message = format!("`{}` is no mode", shortened(&text));
            let help = "octal digits: \"0644\", \"0755\"".to_owned();
            cx.add(Diagnostic::error(codes::OUT_OF_RANGE, node.span, message).help(help));
            None
        }
    }
}

/// `exclude`: patterns of what stays behind.
fn patterns(node: &Node, scope: Scope<'_>, cx: &mut Cx<'_>) -> Option<Vec<String>> {
    globs(node, scope, "[\"target\", \"*.log\"]", cx)
}

/// Patterns of files.
pub(crate) fn globs(node: &Node, scope: Scope<'_>, example: &str, cx: &mut Cx<'_>) -> Option<Vec<String>> {
    let patterns = cx.strings(node, scope, example)?;
    let mut whole = true;
    for (pattern, at) in &patterns {
        let glob = pattern.strip_prefix('!').unwrap_or(pattern);
        if let Err(error) = globset::Glob::new(glob) {
            let message = format!("`{}` is no pattern: {}", shortened(pattern), error.kind());
            cx.add(Diagnostic::error(codes::BAD_PATTERN, *at, message));
            whole = false;
        }
    }
    whole.then(|| patterns.into_iter().map(|(pattern, _)| pattern).collect())
}
