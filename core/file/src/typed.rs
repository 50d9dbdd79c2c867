//! Reading typed values from the tree. Every reader reports what is wrong and gives none for it.

use std::borrow::Cow;
use std::collections::BTreeSet;
use std::ops::RangeInclusive;
use std::time::Duration;

use encamp_core::{Name, table};

use crate::codes;
use crate::cx::{Cx, Scope, Step};
use crate::diagnose::Diagnostic;
use crate::expr;
use crate::nearest;
use crate::node::{Content, Entry, Node, Table};
use crate::source::Span;
use crate::template::{Part, Template};
use crate::text::{Inner, Piece, Text};

/// The longest name of anything.
const MAX_NAME: usize = 40;
/// The longest duration.
const MAX_DURATION: Duration = Duration::from_hours(24 * 366);

pub(crate) fn wrong_type(expected: &str, node: &Node) -> Diagnostic {
    let message = format!("expected {expected}, found {}", node.describe());
    Diagnostic::error(codes::WRONG_TYPE, node.span, message)
}

impl Cx<'_> {
    /// Refuses keys that a table does not have.
    pub(crate) fn only_keys(&mut self, table: &Table, known: &[&str], what: &str) {
        for entry in &table.entries {
            if !known.contains(&entry.key.as_str()) {
                self.unknown_key(entry, known.iter().copied(), what);
            }
        }
    }

    pub(crate) fn unknown_key<'k>(&mut self, entry: &Entry, known: impl Iterator<Item = &'k str> + Clone, what: &str) {
        let near = nearest::nearest(&entry.key, known.clone());
        let help = near.map(|near| format!("a key with a similar name: `{near}`"));
        let message = format!("unknown key `{}`", entry.key);
        let note = format!("keys of {what}: {}", nearest::keys(known));
        self.add(
            Diagnostic::error(codes::UNKNOWN_KEY, entry.key_span, message)
                .help(help)
                .note(note),
        );
    }

    pub(crate) fn missing_key(&mut self, at: Span, what: &str, key: &str, example: &str) {
        let message = format!("{what} has no `{key}`");
        self.add(Diagnostic::error(codes::MISSING_KEY, at, message).help(format!("add `{example}`")));
    }

    pub(crate) fn table<'n>(&mut self, node: &'n Node, example: &str) -> Option<&'n Table> {
        if let Content::Table(table) = &node.value {
            return Some(table);
        }
        self.add(wrong_type("a table", node).help(example.to_owned()));
        None
    }

    pub(crate) fn list<'n>(&mut self, node: &'n Node, example: &str) -> Option<&'n [Node]> {
        if let Content::List(items) = &node.value {
            return Some(items);
        }
        self.add(wrong_type("a list", node).help(example.to_owned()));
        None
    }

    /// The node itself, or what its expressions give; late values are refused.
    pub(crate) fn settled<'n>(&mut self, node: &'n Node, scope: Scope<'_>) -> Option<Cow<'n, Node>> {
        let Content::String(source) = &node.value else {
            return Some(Cow::Borrowed(node));
        };
        if node.computed || scope.raw || !source.contains("{{") {
            return Some(Cow::Borrowed(node));
        }
        let template = self.template(node.span, source)?;
        if let Some(expr) = template.whole() {
            let step = self.step(&template, expr, scope)?;
            let value = self.known_now(&step, &template, self.span_of(&template, expr))?;
            return Some(Cow::Owned(Node::computed(node.span, &value)));
        }
        let mut text = String::new();
        for part in &template.parts {
            match part {
                Part::Literal(range) => text.push_str(&template.source[range.clone()]),
                Part::Expr(expr) => {
                    let step = self.step(&template, expr, scope)?;
                    let at = self.span_of(&template, expr);
                    let value = self.known_now(&step, &template, at)?;
                    text.push_str(&self.piece(&value, at)?);
                }
            }
        }
        let mut node = Node::new(node.span, Content::String(text));
        node.computed = true;
        Some(Cow::Owned(node))
    }

    fn known_now(&mut self, step: &Step, template: &Template, at: Span) -> Option<encamp_core::Value> {
        let message = match step {
            Step::Known(value) => return Some(value.clone()),
            Step::Late(_) => "this has to be known before anything is created".to_owned(),
            Step::Differs => "this has to be the same for all members of the group".to_owned(),
            Step::Secret => "a secret cannot stand here".to_owned(),
        };
        let code = if matches!(step, Step::Secret) {
            codes::VISIBLE
        } else {
            codes::LATE
        };
        let late = Diagnostic::error(code, at, message);
        self.add(late.note(format!(
            "the value of `{}` decides what is done, not what is passed on",
            template.source
        )));
        None
    }

    /// The text of a value inside a string.
    fn piece(&mut self, value: &encamp_core::Value, at: Span) -> Option<String> {
        let text = expr::to_text(value);
        if text.is_none() {
            let (found, help) = match value {
                encamp_core::Value::Array(_) => ("a list", Some("join it: `… | join(',')`".to_owned())),
                encamp_core::Value::Object(_) => ("a table", None),
                _ => ("none", Some("give it a default: `… or ''`, `… else ''`".to_owned())),
            };
            let message = format!("expected a string, found {found}");
            self.add(Diagnostic::error(codes::WRONG_TYPE, at, message).help(help));
        }
        text
    }

    pub(crate) fn string(&mut self, node: &Node, scope: Scope<'_>, example: &str) -> Option<String> {
        let settled = self.settled(node, scope)?;
        match &settled.value {
            Content::String(text) => Some(text.clone()),
            _ if settled.computed => self.piece(&settled.to_json(), node.span),
            _ => {
                self.add(wrong_type("a string", &settled).help(example.to_owned()));
                None
            }
        }
    }

    pub(crate) fn boolean(&mut self, node: &Node, scope: Scope<'_>) -> Option<bool> {
        let settled = self.settled(node, scope)?;
        if let Content::Bool(flag) = settled.value {
            return Some(flag);
        }
        self.add(wrong_type("a boolean", &settled).help("`true` or `false`".to_owned()));
        None
    }

    pub(crate) fn whole(&mut self, node: &Node, scope: Scope<'_>, range: RangeInclusive<i64>) -> Option<i64> {
        let settled = self.settled(node, scope)?;
        let Content::Int(whole) = settled.value else {
            let help = format!("{}, or an expression: \"{{{{ inputs.n }}}}\"", (*range.start()).max(3));
            self.add(wrong_type("a whole number", &settled).help(help));
            return None;
        };
        if !range.contains(&whole) {
            let message = if range.start() == range.end() {
                format!("expected {}, found {whole}", range.start())
            } else {
                format!("{whole} is not between {} and {}", range.start(), range.end())
            };
            self.add(Diagnostic::error(codes::OUT_OF_RANGE, node.span, message));
            return None;
        }
        Some(whole)
    }

    pub(crate) fn number(&mut self, node: &Node, scope: Scope<'_>) -> Option<f64> {
        let settled = self.settled(node, scope)?;
        match settled.value {
            Content::Float(number) => Some(number),
            #[expect(clippy::cast_precision_loss, reason = "far beyond any number of cores")]
            Content::Int(whole) => Some(whole as f64),
            _ => {
                self.add(wrong_type("a number", &settled));
                None
            }
        }
    }

    pub(crate) fn duration(&mut self, node: &Node, scope: Scope<'_>) -> Option<Duration> {
        let settled = self.settled(node, scope)?;
        let (message, help) = match &settled.value {
            Content::String(text) => match table::Span::parse(text).map(|span| span.0) {
                Some(duration) if (Duration::from_millis(1)..=MAX_DURATION).contains(&duration) => {
                    return Some(duration);
                }
                Some(_) => {
                    let message = "a duration is longer than nothing and at most a year";
                    self.add(Diagnostic::error(codes::OUT_OF_RANGE, node.span, message));
                    return None;
                }
                None => (
                    format!("`{text}` is no duration"),
                    "like `500ms`, `90s`, `1h30m`".to_owned(),
                ),
            },
            Content::Int(whole) => ("a duration needs a unit".to_owned(), format!("write \"{whole}s\"")),
            Content::Float(_) => (
                "a duration needs a unit".to_owned(),
                "like `500ms`, `90s`, `1h30m`".to_owned(),
            ),
            _ => {
                self.add(wrong_type("a duration", &settled).help("like `500ms`, `90s`, `1h30m`".to_owned()));
                return None;
            }
        };
        self.add(Diagnostic::error(codes::BAD_UNIT, node.span, message).help(help));
        None
    }

    pub(crate) fn size(&mut self, node: &Node, scope: Scope<'_>) -> Option<u64> {
        let settled = self.settled(node, scope)?;
        let (message, help) = match &settled.value {
            Content::String(text) => match table::ByteSize::parse(text) {
                Some(table::ByteSize(size)) if size > 0 => return Some(size),
                _ => (
                    format!("`{text}` is no size"),
                    match text.parse::<u64>() {
                        Ok(number) => format!("write \"{number}MiB\" or \"{number}B\""),
                        Err(_) => "like `512MiB`, `2GiB`".to_owned(),
                    },
                ),
            },
            Content::Int(whole) => (
                "a size needs a unit".to_owned(),
                format!("write \"{whole}MiB\" or \"{whole}B\""),
            ),
            _ => {
                self.add(wrong_type("a size", &settled).help("like `512MiB`, `2GiB`".to_owned()));
                return None;
            }
        };
        self.add(Diagnostic::error(codes::BAD_UNIT, node.span, message).help(help));
        None
    }

    /// A name in a value.
    pub(crate) fn name(&mut self, node: &Node, scope: Scope<'_>, example: &str) -> Option<Name> {
        let text = self.string(node, scope, example)?;
        self.checked_name(&text, node.span)
    }

    /// A name, wherever it stands.
    pub(crate) fn checked_name(&mut self, text: &str, at: Span) -> Option<Name> {
        match Name::new(text) {
            Ok(name) if text.len() <= MAX_NAME => Some(name),
            _ => {
                let message = format!("`{}` is no name", shortened(text));
                let rule = format!(
                    "a name begins with a-z, goes on with a-z, 0-9 and -, and has at most {MAX_NAME} characters"
                );
                self.add(
                    Diagnostic::error(codes::BAD_NAME, at, message)
                        .help(suggestion(text))
                        .note(rule),
                );
                None
            }
        }
    }

    /// A list of strings, each rendered now; expressions may splice lists in or drop out.
    pub(crate) fn strings(&mut self, node: &Node, scope: Scope<'_>, example: &str) -> Option<Vec<(String, Span)>> {
        let settled = self.settled(node, scope)?;
        let mut strings = Vec::new();
        let mut whole = true;
        for item in self.list(&settled, example)? {
            let Some(item) = self.settled(item, scope) else {
                whole = false;
                continue;
            };
            match &item.value {
                Content::Null if item.computed => {}
                Content::List(inner) if item.computed => {
                    for inner in inner {
                        match self.string(inner, scope, example) {
                            Some(text) => strings.push((text, item.span)),
                            None => whole = false,
                        }
                    }
                }
                _ => match self.string(&item, scope, example) {
                    Some(text) => strings.push((text, item.span)),
                    None => whole = false,
                },
            }
        }
        whole.then_some(strings)
    }

    /// A text that may be rendered later; numbers and booleans are texts where `scalars` says so.
    pub(crate) fn text(&mut self, node: &Node, scope: Scope<'_>, scalars: bool, example: &str) -> Option<Text> {
        let literal = match &node.value {
            Content::String(source) if node.computed || scope.raw || !source.contains("{{") => source.clone(),
            Content::String(source) => return self.open_text(node.span, source, scope),
            Content::Bool(flag) if scalars || node.computed => flag.to_string(),
            Content::Int(whole) if scalars || node.computed => whole.to_string(),
            // As it is written: a version 1.10 must not become 1.1.
            Content::Float(_) if scalars && !node.computed => self.sources.text(node.span).to_owned(),
            Content::Float(number) if node.computed => number.to_string(),
            _ => {
                let expected = if scalars {
                    "a string, a number or a boolean"
                } else {
                    "a string"
                };
                self.add(wrong_type(expected, node).help(example.to_owned()));
                return None;
            }
        };
        Some(Text::literal(literal))
    }

    /// A text that others may see: it holds no secret.
    pub(crate) fn shown_text(&mut self, node: &Node, scope: Scope<'_>, example: &str) -> Option<Text> {
        let text = self.text(node, scope, false, example)?;
        if text.is_secret() {
            self.add(visible(
                node.span,
                "a secret cannot stand here, where it would be shown",
            ));
            return None;
        }
        Some(text)
    }

    /// What an element gives if it is exactly one expression of a list or of none, and known.
    pub(crate) fn known_list(&mut self, span: Span, source: &str, scope: Scope<'_>) -> Option<Vec<String>> {
        if scope.raw || !source.contains("{{") {
            return None;
        }
        let template = self.template(span, source)?;
        let expr = template.whole()?;
        let at = self.span_of(&template, expr);
        match self.step(&template, expr, scope)? {
            Step::Known(encamp_core::Value::Null) => Some(Vec::new()),
            Step::Known(encamp_core::Value::Array(items)) => {
                items.iter().map(|item| self.piece(item, at)).collect::<Option<_>>()
            }
            _ => None,
        }
    }

    fn open_text(&mut self, span: Span, source: &str, scope: Scope<'_>) -> Option<Text> {
        if let Some(text) = self.texts.get(&span) {
            return Some(text.clone());
        }
        let template = self.template(span, source)?;
        let noted = self.awaits.len();
        let text = self.bind(&template, scope)?;
        // What is the same for all members is made once; awaiting something is noted with the first of them.
        if !template.uses_me() && noted == self.awaits.len() {
            self.texts.insert(span, text.clone());
        }
        Some(text)
    }

    /// Renders what is known of a template.
    pub(crate) fn bind(&mut self, template: &Template, scope: Scope<'_>) -> Option<Text> {
        let mut pieces: Vec<Piece> = Vec::new();
        let mut late = false;
        let mut needs = BTreeSet::new();
        let mut secrets = BTreeSet::new();
        let noted = self.awaits.len();
        let mut failed = false;
        for part in &template.parts {
            let known = match part {
                Part::Literal(range) => template.source[range.clone()].to_owned(),
                Part::Expr(expr) => match self.step(template, expr, scope) {
                    Some(Step::Known(value)) => {
                        let at = self.span_of(template, expr);
                        let Some(text) = self.piece(&value, at) else {
                            failed = true;
                            continue;
                        };
                        text
                    }
                    Some(step) => {
                        if let Step::Late(targets) = step {
                            late = true;
                            needs.extend(targets);
                        }
                        secrets.extend(expr.secrets());
                        pieces.push(Piece::Open(std::sync::Arc::clone(expr)));
                        continue;
                    }
                    None => {
                        failed = true;
                        continue;
                    }
                },
            };
            match pieces.last_mut() {
                Some(Piece::Known(text)) => text.push_str(&known),
                _ => pieces.push(Piece::Known(known)),
            }
        }
        if failed {
            return None;
        }
        needs.extend(self.awaits[noted..].iter().map(|(target, _)| *target));
        let fixed = match pieces.as_slice() {
            [] => Some(String::new()),
            [Piece::Known(text)] => Some(text.clone()),
            _ => None,
        };
        let world = std::sync::Arc::clone(&self.world);
        Some(Text::new(Inner {
            source: template.source.clone(),
            needs: needs
                .iter()
                .flat_map(|target| world.machines(*target))
                .cloned()
                .collect(),
            place: fixed.is_none().then(|| self.sources.place(template.span)).flatten(),
            pieces: if fixed.is_some() { Vec::new() } else { pieces },
            fixed,
            late,
            secrets,
            world,
            stage: scope.stage.map(str::to_owned),
        }))
    }
}

/// A secret where it would be seen, and the mend.
pub(crate) fn visible(at: Span, message: impl Into<String>) -> Diagnostic {
    let help =
        "give it to the machine as a file: `secrets = { NAME = \"{{ secret('…') }}\" }`, which `NAME_FILE` names";
    Diagnostic::error(codes::VISIBLE, at, message).help(help.to_owned())
}

pub(crate) fn shortened(text: &str) -> String {
    const SHOWN: usize = 60;
    if text.chars().count() <= SHOWN {
        return text.to_owned();
    }
    text.chars().take(SHOWN).chain(['…']).collect()
}

/// The name that was probably meant.
fn suggestion(text: &str) -> Option<String> {
    let lower: String = text
        .chars()
        .map(|c| {
            if c.is_ascii_alphanumeric() {
                c.to_ascii_lowercase()
            } else {
                '-'
            }
        })
        .collect();
    let name = lower.trim_matches(|c: char| !c.is_ascii_lowercase() && !c.is_ascii_digit());
    let name = name.trim_start_matches(|c: char| !c.is_ascii_lowercase());
    let name = &name[..name.len().min(MAX_NAME)];
    Name::new(name).is_ok().then(|| format!("`{name}`"))
}
