//! Where secrets come from that an environment file speaks of and does not declare.

use std::path::PathBuf;

use encamp::Value;
use encamp::file::spec::{Command, SecretSource};
use encamp::file::text::Text;
use serde::de::Error as _;
use serde::{Deserialize, Deserializer};

const WHAT: &str = "a secret never stands in settings themselves, only where it comes from: one of \
                    { variable = \"TOKEN\" }, { file = \"/run/token\" } and { command = \"pass token\" }";

/// One of the sources, as a source of settings has it. `None` where several are given: different sources of settings may
/// have said different things, of which the last counts.
#[derive(Debug, Clone)]
pub(super) struct Given(pub(super) Option<SecretSource>);

impl<'de> Deserialize<'de> for Given {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        // By hand: what serde would say of a wrong value holds the value, which may be the secret itself.
        let Value::Object(table) = Value::deserialize(deserializer)? else {
            return Err(D::Error::custom(WHAT));
        };
        let mut given = Vec::new();
        for (key, value) in table {
            given.push(one(&key, value).ok_or_else(|| D::Error::custom(WHAT))?);
        }
        match given.len() {
            0 => Err(D::Error::custom(WHAT)),
            1 => Ok(Self(given.pop())),
            _ => Ok(Self(None)),
        }
    }
}

fn one(key: &str, value: Value) -> Option<SecretSource> {
    let text = |value: Value| match value {
        Value::String(text) if !text.is_empty() => Some(text),
        _ => None,
    };
    match (key, value) {
        ("variable", value) => text(value).map(SecretSource::Variable),
        ("file", value) => text(value).map(PathBuf::from).map(SecretSource::File),
        ("command", Value::Array(words)) if !words.is_empty() => {
            let words = words.into_iter().map(|word| text(word).map(Text::from));
            Some(SecretSource::Command(Command::Argv(words.collect::<Option<_>>()?)))
        }
        ("command", value) => text(value).map(|text| SecretSource::Command(Command::Shell(Text::from(text)))),
        _ => None,
    }
}

/// What is wrong with a source that gives several at once.
pub(super) fn several(name: &str) -> String {
    format!("[secrets] {name}: it comes from one place")
}
