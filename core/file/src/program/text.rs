//! Texts and commands of a program.

use encamp_core::Value;

/// A text that is taken as it is, or an [`expr`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Text(String);

/// A text with expressions between `{{` and `}}`, as a file has them: `expr("{{ machines.db.endpoint('pg') }}")`.
pub fn expr(text: impl Into<String>) -> Text {
    Text(text.into())
}

/// The same text where a file would look for expressions.
fn literal(text: &str) -> String {
    text.replace("{{", "{{ '{{' }}")
}

impl Text {
    pub(super) fn into_value(self) -> Value {
        Value::String(self.0)
    }
}

impl From<&str> for Text {
    fn from(text: &str) -> Self {
        Self(literal(text))
    }
}

impl From<String> for Text {
    fn from(text: String) -> Self {
        Self(literal(&text))
    }
}

/// A command: a text for `sh -c`, or a list of arguments.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Command(Value);

impl Command {
    pub(super) fn into_value(self) -> Value {
        self.0
    }
}

impl From<&str> for Command {
    fn from(line: &str) -> Self {
        Text::from(line).into()
    }
}

impl From<String> for Command {
    fn from(line: String) -> Self {
        Text::from(line).into()
    }
}

impl From<Text> for Command {
    fn from(line: Text) -> Self {
        Self(line.into_value())
    }
}

impl<T: Into<Text>, const N: usize> From<[T; N]> for Command {
    fn from(argv: [T; N]) -> Self {
        Self(argv.into_iter().map(|text| text.into().into_value()).collect())
    }
}

impl<T: Into<Text>> From<Vec<T>> for Command {
    fn from(argv: Vec<T>) -> Self {
        Self(argv.into_iter().map(|text| text.into().into_value()).collect())
    }
}

/// The same JSON, with all of its texts taken as they are.
pub(super) fn literally(value: Value) -> Value {
    match value {
        Value::String(text) => Value::String(literal(&text)),
        Value::Array(items) => items.into_iter().map(literally).collect(),
        Value::Object(keys) => keys.into_iter().map(|(key, value)| (key, literally(value))).collect(),
        other => other,
    }
}
