//! A command: a line for a shell, or its words.

use std::borrow::Cow;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::Value;

/// A command.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Line {
    /// One line for `sh -c`.
    Shell(String),
    /// The program and its arguments.
    Words(Vec<String>),
}

impl Line {
    /// As it is executed.
    pub fn to_argv(&self) -> Vec<String> {
        match self {
            Self::Shell(line) => vec!["sh".to_owned(), "-c".to_owned(), line.clone()],
            Self::Words(words) => words.clone(),
        }
    }
}

impl From<String> for Line {
    fn from(line: String) -> Self {
        Self::Shell(line)
    }
}

impl From<&str> for Line {
    fn from(line: &str) -> Self {
        Self::Shell(line.to_owned())
    }
}

impl<T: Into<String>, const N: usize> From<[T; N]> for Line {
    fn from(words: [T; N]) -> Self {
        words.into_iter().collect()
    }
}

impl<T: Into<String>> FromIterator<T> for Line {
    fn from_iter<I: IntoIterator<Item = T>>(words: I) -> Self {
        Self::Words(words.into_iter().map(Into::into).collect())
    }
}

impl Serialize for Line {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Shell(line) => serializer.serialize_str(line),
            Self::Words(words) => words.serialize(serializer),
        }
    }
}

impl<'de> Deserialize<'de> for Line {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        match Value::deserialize(deserializer)? {
            Value::String(line) => Ok(Self::Shell(line)),
            Value::Array(items) => {
                let mut words = Vec::with_capacity(items.len());
                gather(items, &mut words).map_err(D::Error::custom)?;
                Ok(Self::Words(words))
            }
            other => Err(D::Error::custom(format!(
                "expected a command as text or as a list of texts, found {other}"
            ))),
        }
    }
}

/// An element that was rendered to a list is spliced, one that was rendered to nothing is dropped.
fn gather(items: Vec<Value>, words: &mut Vec<String>) -> Result<(), String> {
    for item in items {
        match item {
            Value::Null => {}
            Value::String(word) => words.push(word),
            Value::Bool(word) => words.push(word.to_string()),
            Value::Number(word) => words.push(word.to_string()),
            Value::Array(inner) => gather(inner, words)?,
            Value::Object(_) => return Err(format!("expected the words of a command, found {item}")),
        }
    }
    Ok(())
}

impl JsonSchema for Line {
    fn schema_name() -> Cow<'static, str> {
        "Line".into()
    }

    fn inline_schema() -> bool {
        true
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "x-late": true,
            "anyOf": [
                { "type": "string", "description": "A line for `sh -c`.", "x-late": true },
                { "type": "array", "items": { "type": "string", "x-late": true } },
            ],
        })
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn text_is_for_the_shell_and_a_list_is_words() {
        let line: Line = serde_json::from_value(json!("exec postgres -D /data")).unwrap();
        assert_eq!(line.to_argv(), ["sh", "-c", "exec postgres -D /data"]);
        let line: Line = serde_json::from_value(json!(["etcd", "--name", "a"])).unwrap();
        assert_eq!(line.to_argv(), ["etcd", "--name", "a"]);
    }

    #[test]
    fn rendered_elements_are_spliced() {
        let line: Line = serde_json::from_value(json!(["a", ["b", 1], null, true])).unwrap();
        assert_eq!(line.to_argv(), ["a", "b", "1", "true"]);
        assert!(serde_json::from_value::<Line>(json!([{}])).is_err());
        assert!(serde_json::from_value::<Line>(json!(7)).is_err());
    }
}
