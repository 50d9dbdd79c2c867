//! A kind's table with its expressions rendered as far as they are known.

use std::collections::BTreeMap;

use encamp_core::Value as Json;

use crate::codes;
use crate::cx::{Cx, Scope, Step};
use crate::diagnose::Diagnostic;
use crate::node::{Content, Node, Table};
use crate::source::Span;
use crate::text::Text;
use crate::tree::{Tree, marker};
use crate::typed::wrong_type;

/// A value of a table and where it stands.
#[derive(Debug, Clone)]
pub(crate) struct Built {
    pub(crate) span: Span,
    pub(crate) value: Leaf,
    /// It came out of an expression: a number may become a string where one is wanted.
    pub(crate) computed: bool,
}

/// What a value of a table is.
#[derive(Debug, Clone)]
pub(crate) enum Leaf {
    /// A string, a number or a boolean.
    Scalar(Json),
    Late(Text),
    List(Vec<Built>),
    Table(Vec<Field>),
}

/// A key of a table.
#[derive(Debug, Clone)]
pub(crate) struct Field {
    pub(crate) key: String,
    pub(crate) key_span: Span,
    pub(crate) value: Built,
}

impl Built {
    /// A table without keys.
    pub(crate) fn empty(span: Span) -> Self {
        Self {
            span,
            value: Leaf::Table(Vec::new()),
            computed: false,
        }
    }

    /// Renders a node; none if something in it is wrong.
    pub(crate) fn new(node: &Node, scope: Scope<'_>, cx: &mut Cx<'_>) -> Option<Self> {
        let value = match &node.value {
            Content::String(source) if !node.computed && !scope.raw && source.contains("{{") => {
                return Self::rendered(node.span, source, scope, cx);
            }
            Content::Null => {
                cx.add(wrong_type("a value", node));
                return None;
            }
            Content::Float(number) if !number.is_finite() => {
                cx.add(Diagnostic::error(
                    codes::OUT_OF_RANGE,
                    node.span,
                    "this is no finite number",
                ));
                return None;
            }
            Content::Table(table) => Leaf::Table(Self::fields(table, scope, cx)?),
            Content::List(items) => Leaf::List(Self::items(items, scope, cx)?),
            _ => Leaf::Scalar(node.to_json()),
        };
        Some(Self {
            span: node.span,
            value,
            computed: node.computed,
        })
    }

    fn fields(table: &Table, scope: Scope<'_>, cx: &mut Cx<'_>) -> Option<Vec<Field>> {
        let mut fields = Vec::with_capacity(table.entries.len());
        let mut whole = true;
        for entry in &table.entries {
            match Self::new(&entry.node, scope, cx) {
                Some(value) => fields.push(Field {
                    key: entry.key.clone(),
                    key_span: entry.key_span,
                    value,
                }),
                None => whole = false,
            }
        }
        whole.then_some(fields)
    }

    /// An element that gives a list is spliced in, one that gives none is dropped.
    fn items(nodes: &[Node], scope: Scope<'_>, cx: &mut Cx<'_>) -> Option<Vec<Self>> {
        let mut items = Vec::with_capacity(nodes.len());
        let mut whole = true;
        for node in nodes {
            let settled = match &node.value {
                Content::String(source) if !node.computed && !scope.raw && source.contains("{{") => {
                    match Self::computed_node(node.span, source, scope, cx) {
                        Some(Ok(computed)) => computed,
                        Some(Err(late)) => {
                            items.push(late);
                            continue;
                        }
                        None => {
                            whole = false;
                            continue;
                        }
                    }
                }
                _ => node.clone(),
            };
            match settled.value {
                Content::Null if settled.computed => {}
                Content::List(inner) if settled.computed => match Self::items(&inner, scope, cx) {
                    Some(inner) => items.extend(inner),
                    None => whole = false,
                },
                _ => match Self::new(&settled, scope, cx) {
                    Some(item) => items.push(item),
                    None => whole = false,
                },
            }
        }
        whole.then_some(items)
    }

    fn rendered(span: Span, source: &str, scope: Scope<'_>, cx: &mut Cx<'_>) -> Option<Self> {
        match Self::computed_node(span, source, scope, cx)? {
            Ok(node) => Self::new(&node, scope, cx),
            Err(late) => Some(late),
        }
    }

    /// What a string gives: a node, or a late leaf.
    fn computed_node(span: Span, source: &str, scope: Scope<'_>, cx: &mut Cx<'_>) -> Option<Result<Node, Self>> {
        let template = cx.template(span, source)?;
        if let Some(expr) = template.whole()
            && let Step::Known(value) = cx.step(&template, expr, scope)?
        {
            return Some(Ok(Node::computed(span, &value)));
        }
        let text = cx.bind(&template, scope)?;
        Some(match text.as_static() {
            Some(fixed) => {
                let mut node = Node::new(span, Content::String(fixed.to_owned()));
                node.computed = true;
                Ok(node)
            }
            None => Err(Self {
                span,
                value: Leaf::Late(text),
                computed: true,
            }),
        })
    }

    /// The value; late leaves hold markers.
    pub(crate) fn skeleton(&self) -> Json {
        match &self.value {
            Leaf::Scalar(value) => value.clone(),
            Leaf::Late(text) => marker(text),
            Leaf::List(items) => items.iter().map(Self::skeleton).collect(),
            Leaf::Table(fields) => fields
                .iter()
                .map(|field| (field.key.clone(), field.value.skeleton()))
                .collect::<serde_json::Map<_, _>>()
                .into(),
        }
    }

    pub(crate) fn tree(&self) -> Tree {
        let mut found = Vec::new();
        self.late_leaves("", &mut found);
        let late = found.into_iter().filter_map(|(pointer, leaf, _)| match &leaf.value {
            Leaf::Late(text) => Some((pointer, text.clone())),
            _ => None,
        });
        Tree::new(self.skeleton(), late.collect::<BTreeMap<_, _>>())
    }

    /// The late leaves below, with pointer and source.
    pub(crate) fn late_leaves<'b>(&'b self, pointer: &str, found: &mut Vec<(String, &'b Self, &'b str)>) {
        match &self.value {
            Leaf::Scalar(_) => {}
            Leaf::Late(text) => found.push((pointer.to_owned(), self, text.source())),
            Leaf::List(items) => {
                for (index, item) in items.iter().enumerate() {
                    item.late_leaves(&format!("{pointer}/{index}"), found);
                }
            }
            Leaf::Table(fields) => {
                for field in fields {
                    field.value.late_leaves(&join(pointer, &field.key), found);
                }
            }
        }
    }

    /// The value at a JSON pointer, or the nearest above it that exists; and the key that it stands behind.
    pub(crate) fn nearest(&self, pointer: &str) -> (&Self, Option<Span>) {
        let (mut at, mut key) = (self, None);
        for token in pointer.split('/').skip(1) {
            let token = token.replace("~1", "/").replace("~0", "~");
            match &at.value {
                Leaf::Table(fields) => match fields.iter().find(|field| field.key == token) {
                    Some(field) => (at, key) = (&field.value, Some(field.key_span)),
                    None => break,
                },
                Leaf::List(items) => match token.parse::<usize>().ok().and_then(|index| items.get(index)) {
                    Some(item) => at = item,
                    None => break,
                },
                Leaf::Scalar(_) | Leaf::Late(_) => break,
            }
        }
        (at, key)
    }

    pub(crate) fn at_mut(&mut self, pointer: &str) -> Option<&mut Self> {
        let mut at = self;
        for token in pointer.split('/').skip(1) {
            let token = token.replace("~1", "/").replace("~0", "~");
            at = match &mut at.value {
                Leaf::Table(fields) => &mut fields.iter_mut().find(|field| field.key == token)?.value,
                Leaf::List(items) => items.get_mut(token.parse::<usize>().ok()?)?,
                Leaf::Scalar(_) | Leaf::Late(_) => return None,
            };
        }
        Some(at)
    }

    /// What it is, for messages.
    pub(crate) fn describe(&self) -> &'static str {
        match &self.value {
            Leaf::Scalar(Json::String(_)) => "a string",
            Leaf::Scalar(Json::Bool(_)) => "a boolean",
            Leaf::Scalar(Json::Number(number)) if number.is_f64() => "a number",
            Leaf::Scalar(Json::Number(_)) => "a whole number",
            Leaf::Scalar(_) => "none",
            Leaf::Late(_) => "a value that is known later",
            Leaf::List(_) => "a list",
            Leaf::Table(_) => "a table",
        }
    }
}

/// A JSON pointer one key deeper.
pub(crate) fn join(pointer: &str, key: &str) -> String {
    format!("{pointer}/{}", key.replace('~', "~0").replace('/', "~1"))
}
