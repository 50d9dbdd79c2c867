//! The names and ids that appear in keys, labels and messages, each checked once.

use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Lower-case base32 without the look-alikes `i`, `l`, `o` and `u`.
pub const ID_ALPHABET: &str = "0123456789abcdefghjkmnpqrstvwxyz";

/// Says why a text is no name or id.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` is no {what}: {rule}")]
pub struct NameError {
    /// What was expected, `machine name` for example.
    pub what: &'static str,
    /// The text that was given.
    pub text: String,
    /// The rule that it breaks.
    pub rule: &'static str,
}

macro_rules! checked_text {
    ($(#[$doc:meta])* $type:ident, $what:literal, $rule:literal, $check:expr) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
        #[serde(try_from = "String", into = "String")]
        #[schemars(with = "String")]
        pub struct $type(String);

        impl $type {
            /// Checks a text and makes it a value of this type.
            pub fn new(text: impl Into<String>) -> Result<Self, NameError> {
                let text = text.into();
                let check: fn(&str) -> bool = $check;
                if check(&text) {
                    Ok(Self(text))
                } else {
                    Err(NameError { what: $what, text, rule: $rule })
                }
            }

            /// The text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl TryFrom<String> for $type {
            type Error = NameError;
            fn try_from(text: String) -> Result<Self, NameError> {
                Self::new(text)
            }
        }

        impl std::str::FromStr for $type {
            type Err = NameError;
            fn from_str(text: &str) -> Result<Self, NameError> {
                Self::new(text)
            }
        }

        impl From<$type> for String {
            fn from(name: $type) -> Self {
                name.0
            }
        }

        impl AsRef<str> for $type {
            fn as_ref(&self) -> &str {
                &self.0
            }
        }

        impl std::borrow::Borrow<str> for $type {
            fn borrow(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
    };
}

/// `[a-z][a-z0-9-]*`, at most `longest` bytes.
fn is_dns_label(text: &str, longest: usize) -> bool {
    text.len() <= longest
        && text.starts_with(|c: char| c.is_ascii_lowercase())
        && text
            .bytes()
            .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
}

fn is_id(text: &str, length: usize) -> bool {
    text.len() == length && text.chars().all(|c| ID_ALPHABET.contains(c))
}

checked_text!(
    /// The name of a machine, group, port, scope item, stage or environment: `[a-z][a-z0-9-]*`, at most 63.
    Name, "name", "it must begin with a-z, go on with a-z, 0-9 and -, and have at most 63 characters",
    |text| is_dns_label(text, 63)
);

checked_text!(
    /// The name of a configured provider, `aws-eu` for example.
    InstanceName, "provider name", "it must begin with a-z, go on with a-z, 0-9 and -, and have at most 40 characters",
    |text| is_dns_label(text, 40)
);

checked_text!(
    /// The name of an implementation, `docker` for example.
    KindName, "kind", "it must begin with a-z, go on with a-z, 0-9 and -, and have at most 40 characters",
    |text| is_dns_label(text, 40)
);

checked_text!(
    /// Identifies one installation: 6 characters of [`ID_ALPHABET`].
    ControllerId, "controller id", "it must be 6 characters of lower-case base32",
    |text| is_id(text, 6)
);

checked_text!(
    /// Identifies one environment: 10 characters of [`ID_ALPHABET`].
    EnvId, "environment id", "it must be 10 characters of lower-case base32",
    |text| is_id(text, 10)
);

/// What the key of everything that a controller made begins with: `ec-<controller>-`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(transparent)]
pub struct ControllerPrefix(String);

impl ControllerPrefix {
    /// The prefix of a controller.
    pub fn new(controller: &ControllerId) -> Self {
        Self(format!("ec-{controller}-"))
    }

    /// The prefix of one environment of that controller.
    pub fn of_environment(&self, environment: &EnvId) -> String {
        format!("{}{environment}-", self.0)
    }

    /// The text, `ec-4n8tqz-`.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The controller's id.
    pub fn controller(&self) -> &str {
        self.0.trim_start_matches("ec-").trim_end_matches('-')
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_dns_labels() {
        for good in ["a", "web-0", "x9"] {
            assert!(Name::new(good).is_ok(), "{good}");
        }
        for bad in ["", "0a", "-a", "A", "a_b", "a.b", "ä", &"a".repeat(64)] {
            assert!(Name::new(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn ids_have_their_length_and_alphabet() {
        assert!(EnvId::new("0123456789").is_ok());
        assert!(EnvId::new("012345678o").is_err());
        assert!(ControllerId::new("abcdef").is_ok());
        assert!(ControllerId::new("abcde").is_err());
    }
}
