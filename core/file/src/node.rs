//! One tree for every syntax: values that know where they stand.

use crate::source::Span;

/// A value and where it stands.
#[derive(Debug, Clone)]
pub(crate) struct Node {
    pub(crate) span: Span,
    pub(crate) value: Content,
    /// The value came out of an expression, so a text may be made of it.
    pub(crate) computed: bool,
}

/// What a node holds.
#[derive(Debug, Clone)]
pub(crate) enum Content {
    Null,
    Bool(bool),
    Int(i64),
    Float(f64),
    String(String),
    Date(String),
    List(Vec<Node>),
    Table(Table),
}

/// Entries in the order in which the file names them first.
#[derive(Debug, Clone, Default)]
pub(crate) struct Table {
    pub(crate) entries: Vec<Entry>,
}

/// A key and its value.
#[derive(Debug, Clone)]
pub(crate) struct Entry {
    pub(crate) key: String,
    pub(crate) key_span: Span,
    pub(crate) node: Node,
}

impl Table {
    pub(crate) fn entry(&self, key: &str) -> Option<&Entry> {
        self.entries.iter().find(|entry| entry.key == key)
    }

    pub(crate) fn node(&self, key: &str) -> Option<&Node> {
        self.entry(key).map(|entry| &entry.node)
    }
}

impl Node {
    pub(crate) fn new(span: Span, value: Content) -> Self {
        Self {
            span,
            value,
            computed: false,
        }
    }

    /// A value that an expression at `span` gave.
    pub(crate) fn computed(span: Span, value: &serde_json::Value) -> Self {
        use serde_json::Value as Json;
        let value = match value {
            Json::Null => Content::Null,
            Json::Bool(flag) => Content::Bool(*flag),
            Json::Number(number) => match number.as_i64() {
                Some(whole) => Content::Int(whole),
                None => Content::Float(number.as_f64().unwrap_or(f64::NAN)),
            },
            Json::String(text) => Content::String(text.clone()),
            Json::Array(items) => Content::List(items.iter().map(|item| Self::computed(span, item)).collect()),
            Json::Object(object) => Content::Table(Table {
                entries: object
                    .iter()
                    .map(|(key, item)| Entry {
                        key: key.clone(),
                        key_span: span,
                        node: Self::computed(span, item),
                    })
                    .collect(),
            }),
        };
        Self {
            span,
            value,
            computed: true,
        }
    }

    /// What it is, for messages.
    pub(crate) fn describe(&self) -> &'static str {
        match &self.value {
            Content::Null => "none",
            Content::Bool(_) => "a boolean",
            Content::Int(_) => "a whole number",
            Content::Float(_) => "a number",
            Content::String(_) => "a string",
            Content::Date(_) => "a date",
            Content::List(_) => "a list",
            Content::Table(_) => "a table",
        }
    }

    /// The value as JSON; a float that JSON cannot say becomes none.
    pub(crate) fn to_json(&self) -> serde_json::Value {
        match &self.value {
            Content::Null => serde_json::Value::Null,
            Content::Bool(flag) => (*flag).into(),
            Content::Int(whole) => (*whole).into(),
            Content::Float(number) => (*number).into(),
            Content::String(text) | Content::Date(text) => text.as_str().into(),
            Content::List(items) => items.iter().map(Self::to_json).collect(),
            Content::Table(table) => table
                .entries
                .iter()
                .map(|entry| (entry.key.clone(), entry.node.to_json()))
                .collect::<serde_json::Map<_, _>>()
                .into(),
        }
    }
}
