//! From TOML to the tree.

use ::toml::Spanned;
use ::toml::de::{DeTable, DeValue, Error};

use crate::codes;
use crate::depth;
use crate::diagnose::{Diagnostic, Findings};
use crate::node::{Content, Entry, Node, Table};
use crate::source::Span;

/// How deep tables and lists may nest.
pub(crate) const MAX_DEPTH: usize = 64;

/// The tree of a text; none where the text cannot be trusted.
pub(crate) fn parse(text: &str, file: u32, findings: &mut Findings) -> Option<Table> {
    // Before the parser sees it: it would build, and later take down, any depth by recursion.
    if let Some(at) = depth::too_deep(text, MAX_DEPTH) {
        findings.add(too_deep(Span::new(file, at..at + 1)));
        return None;
    }
    let (document, errors) = DeTable::parse_recoverable(text);
    let reader = Reader { file, text };
    for error in &errors {
        findings.add(reader.syntax(error, document.get_ref()));
    }
    if !errors.is_empty() {
        return None;
    }
    reader.table(document.get_ref(), 0, findings)
}

/// A single value, as `--set` has it; none if it is no TOML value.
pub(crate) fn parse_value(text: &str) -> Option<Node> {
    if depth::too_deep(text, MAX_DEPTH).is_some() {
        return None;
    }
    let value = DeValue::parse(text).ok()?;
    let mut findings = Findings::default();
    let node = Reader { file: u32::MAX, text }.node(&value, 0, &mut findings)?;
    (findings.errors() == 0).then_some(node)
}

fn too_deep(span: Span) -> Diagnostic {
    Diagnostic::error(
        codes::TOO_LARGE,
        span,
        format!("tables and lists nest deeper than {MAX_DEPTH}"),
    )
}

struct Reader<'a> {
    file: u32,
    text: &'a str,
}

impl Reader<'_> {
    fn span(&self, range: std::ops::Range<usize>) -> Span {
        Span::new(self.file, range)
    }

    fn table(&self, table: &DeTable<'_>, depth: usize, findings: &mut Findings) -> Option<Table> {
        let mut entries = Vec::with_capacity(table.len());
        let mut whole = true;
        for (key, value) in table {
            match self.node(value, depth + 1, findings) {
                Some(node) => entries.push(Entry {
                    key: key.get_ref().to_string(),
                    key_span: self.span(key.span()),
                    node,
                }),
                None => whole = false,
            }
        }
        entries.sort_by_key(|entry| entry.key_span);
        whole.then_some(Table { entries })
    }

    fn node(&self, value: &Spanned<DeValue<'_>>, depth: usize, findings: &mut Findings) -> Option<Node> {
        let span = self.span(value.span());
        if depth > MAX_DEPTH {
            findings.add(too_deep(span));
            return None;
        }
        let content = match value.get_ref() {
            DeValue::String(text) => Content::String(text.to_string()),
            DeValue::Boolean(flag) => Content::Bool(*flag),
            DeValue::Datetime(date) => Content::Date(date.to_string()),
            DeValue::Integer(whole) => {
                let read = i64::from_str_radix(whole.as_str(), whole.radix());
                Content::Int(Self::number(read.ok(), span, findings)?)
            }
            DeValue::Float(number) => {
                let read = number.as_str().parse::<f64>();
                Content::Float(Self::number(read.ok(), span, findings)?)
            }
            DeValue::Array(items) => {
                let nodes: Vec<Option<Node>> = items.iter().map(|item| self.node(item, depth + 1, findings)).collect();
                Content::List(nodes.into_iter().collect::<Option<_>>()?)
            }
            DeValue::Table(table) => Content::Table(self.table(table, depth, findings)?),
        };
        Some(Node::new(span, content))
    }

    fn number<T>(number: Option<T>, span: Span, findings: &mut Findings) -> Option<T> {
        if number.is_none() {
            findings.add(Diagnostic::error(codes::OUT_OF_RANGE, span, "this number is too large"));
        }
        number
    }

    fn syntax(&self, error: &Error, document: &DeTable<'_>) -> Diagnostic {
        let range = error.span().unwrap_or(self.text.len()..self.text.len());
        if error.message() != "duplicate key" {
            return Diagnostic::error(codes::SYNTAX, self.span(range), error.message());
        }
        let key = self.text.get(range.clone()).unwrap_or_default();
        let name = key.trim_matches(['"', '\'']);
        let diagnostic = Diagnostic::error(
            codes::DUPLICATE_KEY,
            self.span(range.clone()),
            format!("the key `{name}` is written twice"),
        )
        .label("again here");
        match self.first_written(name, range.start, document) {
            Some(first) => diagnostic.secondary(self.span(first), "first written here"),
            None => diagnostic,
        }
        .help(format!("write all keys of `{name}` in one of the two places"))
    }

    /// Where a key that `again` repeats was written first.
    fn first_written(&self, name: &str, again: usize, document: &DeTable<'_>) -> Option<std::ops::Range<usize>> {
        let line_start = self.text[..again].rfind('\n').map_or(0, |at| at + 1);
        let before = self.text[line_start..again].trim_start();
        if let Some(parents) = before.strip_prefix('[') {
            let mut table = document;
            let parents = parents
                .trim_start_matches('[')
                .split('.')
                .map(|part| part.trim().trim_matches(['"', '\'']));
            for part in parents.filter(|part| !part.is_empty()) {
                table = match table.get(part).map(Spanned::get_ref) {
                    Some(DeValue::Table(inner)) => inner,
                    Some(DeValue::Array(items)) => items.last()?.get_ref().as_table()?,
                    _ => return None,
                };
            }
            let (key, value) = table.get_key_value(name)?;
            // The key of a table is remembered as its header has it; what makes the table stand twice is inside.
            let inside = value.get_ref().as_table().into_iter().flat_map(|table| table.keys());
            return std::iter::once(key)
                .chain(inside)
                .map(Spanned::span)
                .find(|span| span.start < again);
        }
        // Elsewhere the nearest key of that name before this one is the one that clashes.
        let mut nearest = None;
        nearest_key(document, name, again, &mut nearest);
        nearest
    }
}

fn nearest_key(table: &DeTable<'_>, name: &str, before: usize, nearest: &mut Option<std::ops::Range<usize>>) {
    for (key, value) in table {
        let span = key.span();
        if key.get_ref() == name && span.start < before && nearest.as_ref().is_none_or(|best| best.start < span.start) {
            *nearest = Some(span);
        }
        nearest_in(value.get_ref(), name, before, nearest);
    }
}

fn nearest_in(value: &DeValue<'_>, name: &str, before: usize, nearest: &mut Option<std::ops::Range<usize>>) {
    match value {
        DeValue::Table(inner) => nearest_key(inner, name, before, nearest),
        DeValue::Array(items) => {
            for item in items {
                nearest_in(item.get_ref(), name, before, nearest);
            }
        }
        _ => {}
    }
}
