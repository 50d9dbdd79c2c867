//! The one error of the contract: what to branch on, and what to tell a person.

use std::borrow::Cow;
use std::error::Error as StdError;
use std::fmt;
use std::time::Duration;

use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::{InstanceName, Verb};

/// A result with [`Error`].
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// What went wrong, as far as code may branch on it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum ErrorKind {
    /// The request is wrong in itself; sending it again helps nothing.
    Invalid,
    /// Not logged in, or not allowed.
    Unauthorized,
    /// What the request speaks of is not there.
    NotFound,
    /// Something else stands where the request wants to be.
    Conflict,
    /// A limit of the account or the host is reached.
    Quota,
    /// The infrastructure has no room for this candidate now.
    Capacity,
    /// Too many requests.
    Throttled,
    /// The infrastructure does not answer, or answers that it cannot now.
    Unavailable,
    /// This provider does not offer that.
    Unsupported,
    /// The caller asked to stop.
    Cancelled,
    /// A fault of encamp or of the provider.
    Internal,
    /// A kind that this version does not know, from a newer plugin.
    #[serde(other)]
    Unknown,
}

impl ErrorKind {
    /// The word in messages.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Invalid => "invalid",
            Self::Unauthorized => "unauthorized",
            Self::NotFound => "not found",
            Self::Conflict => "conflict",
            Self::Quota => "quota",
            Self::Capacity => "no capacity",
            Self::Throttled => "throttled",
            Self::Unavailable => "unavailable",
            Self::Unsupported => "unsupported",
            Self::Cancelled => "cancelled",
            Self::Internal => "internal",
            Self::Unknown => "unknown",
        }
    }
}

/// Whether the same call may be made again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Retry {
    /// It would fail again.
    Never,
    /// Nothing happened; it may be made again.
    Safe,
    /// Nothing happened; it may be made again after this long.
    After(Duration),
    /// The effect may have happened: observe, do not repeat.
    Unknown,
}

/// An error of a provider or of the engine.
///
/// `Display` prints this level alone; [`Report`] prints the chain.
pub struct Error(Box<Inner>);

struct Inner {
    kind: ErrorKind,
    retry: Retry,
    message: Cow<'static, str>,
    verb: Option<Verb>,
    provider: Option<InstanceName>,
    environment: Option<String>,
    environment_id: Option<String>,
    machine: Option<String>,
    context: Vec<(Cow<'static, str>, String)>,
    next_step: Option<String>,
    source: Option<Box<dyn StdError + Send + Sync>>,
}

impl Error {
    /// An error that is not to be retried; `message` is lower case, without a full stop.
    pub fn new(kind: ErrorKind, message: impl Into<Cow<'static, str>>) -> Self {
        Self(Box::new(Inner {
            kind,
            retry: Retry::Never,
            message: message.into(),
            verb: None,
            provider: None,
            environment: None,
            environment_id: None,
            machine: None,
            context: Vec::new(),
            next_step: None,
            source: None,
        }))
    }

    /// A verb that the provider does not offer.
    pub fn unsupported(verb: Verb) -> Self {
        Self::new(ErrorKind::Unsupported, format!("this provider does not offer `{verb}`")).at(verb)
    }

    /// Says whether the call may be made again.
    #[must_use]
    pub fn retry(mut self, retry: Retry) -> Self {
        self.0.retry = retry;
        self
    }

    /// Adds a fact: `container`, its id.
    #[must_use]
    pub fn with(mut self, key: impl Into<Cow<'static, str>>, value: impl fmt::Display) -> Self {
        self.0.context.push((key.into(), value.to_string()));
        self
    }

    /// Says what to do next; the first one given stays.
    #[must_use]
    pub fn next_step(mut self, text: impl Into<String>) -> Self {
        self.0.next_step.get_or_insert_with(|| text.into());
        self
    }

    /// Adds what caused it.
    #[must_use]
    pub fn caused_by(mut self, source: impl Into<Box<dyn StdError + Send + Sync>>) -> Self {
        self.0.source = Some(source.into());
        self
    }

    /// Says during which verb; the first one given stays.
    #[must_use]
    pub fn at(mut self, verb: Verb) -> Self {
        self.0.verb.get_or_insert(verb);
        self
    }

    /// Says of which provider; the first one given stays.
    #[must_use]
    pub fn of_provider(mut self, provider: &InstanceName) -> Self {
        self.0.provider.get_or_insert_with(|| provider.clone());
        self
    }

    /// Says the id of which environment, for where its name is not known; the first one given stays.
    #[must_use]
    pub fn of_environment_id(mut self, id: impl fmt::Display) -> Self {
        self.0.environment_id.get_or_insert_with(|| id.to_string());
        self
    }

    /// Says of which environment, by its name; the first one given stays.
    #[must_use]
    pub fn of_environment(mut self, environment: impl fmt::Display) -> Self {
        self.0.environment.get_or_insert_with(|| environment.to_string());
        self
    }

    /// Says of which machine or scope item; the first one given stays.
    #[must_use]
    pub fn of_machine(mut self, machine: impl fmt::Display) -> Self {
        self.0.machine.get_or_insert_with(|| machine.to_string());
        self
    }

    /// The same with other words: each text that it and its causes say, as `tell` has it. Kinds and names of
    /// providers stay.
    #[must_use]
    pub fn told_otherwise(&self, tell: impl Fn(&str) -> String) -> Self {
        let mut wire = Wire::from(self);
        wire.message = tell(&wire.message);
        let named = [&mut wire.environment, &mut wire.machine, &mut wire.next_step];
        for text in named.into_iter().flatten() {
            *text = tell(text);
        }
        for (_, value) in &mut wire.context {
            *value = tell(value);
        }
        for cause in &mut wire.chain {
            *cause = tell(cause);
        }
        wire.into()
    }

    /// What went wrong.
    pub fn kind(&self) -> ErrorKind {
        self.0.kind
    }

    /// Whether the same call may be made again.
    pub fn retryable(&self) -> Retry {
        self.0.retry
    }

    /// The message of this level.
    pub fn message(&self) -> &str {
        &self.0.message
    }

    /// During which verb.
    pub fn verb(&self) -> Option<Verb> {
        self.0.verb
    }

    /// Of which provider.
    pub fn provider(&self) -> Option<&InstanceName> {
        self.0.provider.as_ref()
    }

    /// Of which environment: its name, else its id.
    pub fn environment(&self) -> Option<&str> {
        self.0.environment.as_deref().or(self.0.environment_id.as_deref())
    }

    /// Of which machine or scope item.
    pub fn machine(&self) -> Option<&str> {
        self.0.machine.as_deref()
    }

    /// The facts, in the order in which they were added.
    pub fn context(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.context.iter().map(|(k, v)| (k.as_ref(), v.as_str()))
    }

    /// What to do next.
    pub fn hint(&self) -> Option<&str> {
        self.0.next_step.as_deref()
    }

    /// Whether the effect may have happened although the call failed.
    pub fn outcome_unknown(&self) -> bool {
        self.0.retry == Retry::Unknown
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.message)
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Inner {
            kind,
            retry,
            message,
            verb,
            provider,
            environment,
            environment_id,
            machine,
            context,
            next_step,
            source,
        } = &*self.0;
        f.debug_struct("Error")
            .field("kind", kind)
            .field("retry", retry)
            .field("message", message)
            .field("verb", verb)
            .field("provider", provider)
            .field("environment", environment)
            .field("environment_id", environment_id)
            .field("machine", machine)
            .field("context", context)
            .field("next_step", next_step)
            .field("source", source)
            .finish()
    }
}

impl StdError for Error {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        self.0
            .source
            .as_deref()
            .map(|source| source as &(dyn StdError + 'static))
    }
}

/// What caused an error, the nearest first.
fn causes<'a>(error: &'a (dyn StdError + 'a)) -> impl Iterator<Item = &'a (dyn StdError + 'static)> {
    std::iter::successors(error.source(), |&cause| cause.source())
}

/// Prints an error and everything that caused it on one line, each level once.
#[derive(Debug)]
pub struct Report<'a>(pub &'a (dyn StdError + 'a));

impl fmt::Display for Report<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut last = self.0.to_string();
        f.write_str(&last)?;
        for cause in causes(self.0) {
            let text = cause.to_string();
            if !last.contains(&text) {
                write!(f, ": {text}")?;
                last = text;
            }
        }
        Ok(())
    }
}

/// A link of a chain that came over a boundary as text.
#[derive(Debug, thiserror::Error)]
#[error("{text}")]
struct Told {
    text: String,
    source: Option<Box<dyn StdError + Send + Sync>>,
}

/// The serialised form: kind and facts as they are, the chain as strings.
#[derive(Serialize, Deserialize, JsonSchema)]
struct Wire {
    kind: ErrorKind,
    retry: Retry,
    message: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    verb: Option<Verb>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    provider: Option<InstanceName>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    environment: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    environment_id: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    machine: Option<String>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    context: Vec<(String, String)>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    next_step: Option<String>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    chain: Vec<String>,
}

impl From<&Error> for Wire {
    fn from(error: &Error) -> Self {
        let Inner {
            kind,
            retry,
            message,
            verb,
            provider,
            environment,
            environment_id,
            machine,
            context,
            next_step,
            source: _,
        } = &*error.0;
        Self {
            kind: *kind,
            retry: *retry,
            message: message.to_string(),
            verb: *verb,
            provider: provider.clone(),
            environment: environment.clone(),
            environment_id: environment_id.clone(),
            machine: machine.clone(),
            context: context.iter().map(|(k, v)| (k.to_string(), v.clone())).collect(),
            next_step: next_step.clone(),
            chain: causes(error).map(ToString::to_string).collect(),
        }
    }
}

impl From<Wire> for Error {
    fn from(wire: Wire) -> Self {
        let source = wire.chain.into_iter().rev().fold(None, |source, text| {
            Some(Box::new(Told { text, source }) as Box<dyn StdError + Send + Sync>)
        });
        Self(Box::new(Inner {
            kind: wire.kind,
            retry: wire.retry,
            message: wire.message.into(),
            verb: wire.verb,
            provider: wire.provider,
            environment: wire.environment,
            environment_id: wire.environment_id,
            machine: wire.machine,
            context: wire.context.into_iter().map(|(k, v)| (k.into(), v)).collect(),
            next_step: wire.next_step,
            source,
        }))
    }
}

impl Serialize for Error {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        Wire::from(self).serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Error {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Wire::deserialize(deserializer).map(Self::from)
    }
}

/// For telling one failure to all who wait for the same thing; the clone carries its chain as text.
impl Clone for Error {
    fn clone(&self) -> Self {
        Wire::from(self).into()
    }
}

impl JsonSchema for Error {
    fn schema_name() -> Cow<'static, str> {
        "Error".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        Wire::json_schema(generator)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_survives_the_wire_with_its_chain() {
        let error = Error::new(ErrorKind::Unavailable, "the daemon does not answer")
            .retry(Retry::Unknown)
            .at(Verb::Create)
            .with("container", "3c1f")
            .next_step("start it")
            .caused_by(std::io::Error::other("connection reset"));
        let text = serde_json::to_string(&error).unwrap();
        let back: Error = serde_json::from_str(&text).unwrap();
        assert_eq!(back.kind(), ErrorKind::Unavailable);
        assert!(back.outcome_unknown());
        assert_eq!(
            Report(&back).to_string(),
            "the daemon does not answer: connection reset"
        );
        assert_eq!(serde_json::to_string(&back).unwrap(), text);
    }

    #[test]
    fn an_error_can_be_told_in_other_words() {
        let error = Error::new(ErrorKind::Conflict, "red one")
            .with("red", "red two")
            .of_machine("red")
            .next_step("red three")
            .caused_by(std::io::Error::other("red four"));
        let told = error.told_otherwise(|text| text.replace("red", "blue"));
        assert_eq!(Report(&told).to_string(), "blue one: blue four");
        assert_eq!(told.kind(), ErrorKind::Conflict);
        assert_eq!((told.machine(), told.hint()), (Some("blue"), Some("blue three")));
        assert_eq!(told.context().collect::<Vec<_>>(), [("red", "blue two")]);
    }

    #[test]
    fn a_kind_of_a_newer_plugin_is_unknown() {
        let error: Error = serde_json::from_str(r#"{"kind":"too_hot","retry":"never","message":"x"}"#).unwrap();
        assert_eq!(error.kind(), ErrorKind::Unknown);
    }

    #[test]
    fn a_report_says_nothing_twice() {
        let inner = std::io::Error::other("refused");
        let error = Error::new(ErrorKind::Internal, "the call was refused").caused_by(inner);
        assert_eq!(Report(&error).to_string(), "the call was refused");
    }
}
