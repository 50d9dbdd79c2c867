//! Sizes and durations with their units.

use std::borrow::Cow;
use std::fmt;
use std::time::Duration;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::Value;

/// A size, `512MiB`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct ByteSize(pub u64);

/// A duration, `90s` or `1h30m`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Span(pub Duration);

const SIZE_UNITS: [(&str, u64); 10] = [
    ("KiB", 1 << 10),
    ("MiB", 1 << 20),
    ("GiB", 1 << 30),
    ("TiB", 1 << 40),
    ("kB", 1_000),
    ("KB", 1_000),
    ("MB", 1_000_000),
    ("GB", 1_000_000_000),
    ("TB", 1_000_000_000_000),
    ("B", 1),
];

/// In the order in which they may follow each other.
const SPAN_UNITS_MS: [(&str, u64); 5] = [
    ("d", 86_400_000),
    ("h", 3_600_000),
    ("m", 60_000),
    ("s", 1_000),
    ("ms", 1),
];

impl ByteSize {
    /// Reads `512MiB`, `2GiB`, `10GB`, `100B`.
    pub fn parse(text: &str) -> Option<Self> {
        let (number, unit) = leading_number(text.trim())?;
        let (_, factor) = SIZE_UNITS.iter().find(|(known, _)| *known == unit.trim())?;
        number.checked_mul(*factor).map(Self)
    }

    /// The regular expression of what is read, as a JSON Schema has it.
    pub fn pattern() -> String {
        let units = SIZE_UNITS.map(|(unit, _)| unit).join("|");
        format!(r"^\s*[0-9]+\s*({units})\s*$")
    }
}

impl Span {
    /// So many milliseconds.
    pub fn from_millis(millis: u64) -> Self {
        Self(Duration::from_millis(millis))
    }

    /// Reads `500ms`, `90s`, `1h30m`, `2d`: units in descending order, each once.
    pub fn parse(text: &str) -> Option<Self> {
        let mut rest = text.trim();
        let mut millis: u64 = 0;
        let mut units = SPAN_UNITS_MS.iter();
        if rest.is_empty() {
            return None;
        }
        while !rest.is_empty() {
            let (number, after) = leading_number(rest)?;
            let letters = after.find(|c: char| !c.is_ascii_alphabetic()).unwrap_or(after.len());
            let (_, each) = units.find(|(unit, _)| *unit == &after[..letters])?;
            millis = millis.checked_add(number.checked_mul(*each)?)?;
            rest = after[letters..].trim_start();
        }
        Some(Self::from_millis(millis))
    }

    /// The regular expression of what is read, as a JSON Schema has it.
    pub fn pattern() -> String {
        // Each unit may be the first; those below it may follow.
        let mut forms = Vec::new();
        let mut below = String::new();
        for (unit, _) in SPAN_UNITS_MS.iter().rev() {
            let part = format!(r"[0-9]+{unit}\s*");
            forms.push(format!("{part}{below}"));
            below = format!("({part})?{below}");
        }
        format!(r"^\s*({})$", forms.join("|"))
    }

    /// Whole seconds, rounded up: for carriers that count nothing finer.
    pub fn seconds_up(self) -> u64 {
        self.0.as_secs() + u64::from(self.0.subsec_nanos() > 0)
    }
}

fn leading_number(text: &str) -> Option<(u64, &str)> {
    let digits = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    Some((text[..digits].parse().ok()?, &text[digits..]))
}

impl fmt::Display for ByteSize {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let binary = SIZE_UNITS.iter().take(4).rev();
        match binary
            .into_iter()
            .find(|(_, factor)| self.0 > 0 && self.0.is_multiple_of(*factor))
        {
            Some((unit, factor)) => write!(f, "{}{unit}", self.0 / factor),
            None => write!(f, "{}B", self.0),
        }
    }
}

impl fmt::Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let millis = self.0.as_millis();
        if millis > 0 && millis.is_multiple_of(1000) {
            write!(f, "{}s", millis / 1000)
        } else {
            write!(f, "{millis}ms")
        }
    }
}

/// Text, or an error that names the mend; a bare number has no unit.
fn text_of<'de, D: Deserializer<'de>>(deserializer: D, example: &str) -> Result<String, D::Error> {
    match Value::deserialize(deserializer)? {
        Value::String(text) => Ok(text),
        Value::Number(number) => Err(D::Error::custom(format!(
            "{number} has no unit; write it as text with one, \"{example}\""
        ))),
        other => Err(D::Error::custom(format!(
            "expected text such as \"{example}\", found {other}"
        ))),
    }
}

impl<'de> Deserialize<'de> for ByteSize {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = text_of(deserializer, "512MiB")?;
        Self::parse(&text).ok_or_else(|| D::Error::custom(format!("`{text}` is no size; write \"512MiB\" or \"2GiB\"")))
    }
}

impl<'de> Deserialize<'de> for Span {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = text_of(deserializer, "90s")?;
        Self::parse(&text)
            .ok_or_else(|| D::Error::custom(format!("`{text}` is no duration; write \"90s\" or \"1h30m\"")))
    }
}

impl Serialize for ByteSize {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl Serialize for Span {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl JsonSchema for ByteSize {
    fn schema_name() -> Cow<'static, str> {
        "ByteSize".into()
    }

    fn inline_schema() -> bool {
        true
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "string", "pattern": Self::pattern(), "examples": ["512MiB"] })
    }
}

impl JsonSchema for Span {
    fn schema_name() -> Cow<'static, str> {
        "Span".into()
    }

    fn inline_schema() -> bool {
        true
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "string", "pattern": Self::pattern(), "examples": ["90s"] })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_read_and_written() {
        for (text, bytes, shown) in [
            ("512MiB", 512 << 20, "512MiB"),
            ("2GiB", 2 << 30, "2GiB"),
            ("2 GB", 2_000_000_000, "1953125KiB"),
            ("1kB", 1000, "1000B"),
            ("0B", 0, "0B"),
        ] {
            assert_eq!(ByteSize::parse(text), Some(ByteSize(bytes)), "{text}");
            assert_eq!(ByteSize(bytes).to_string(), shown);
        }
        for bad in [
            "",
            "5",
            "512",
            "MiB",
            "-1MiB",
            "1.5GiB",
            "1gib",
            "99999999TiB",
            "99999999999TiB",
        ] {
            assert_eq!(ByteSize::parse(bad), None, "{bad}");
        }
    }

    #[test]
    fn durations_are_read_and_written() {
        for (text, millis, shown) in [
            ("500ms", 500, "500ms"),
            ("90s", 90_000, "90s"),
            ("1h30m", 5_400_000, "5400s"),
            ("1h 30m", 5_400_000, "5400s"),
            ("2d", 172_800_000, "172800s"),
            ("1m500ms", 60_500, "60500ms"),
        ] {
            let span = Span::from_millis(millis);
            assert_eq!(Span::parse(text), Some(span), "{text}");
            assert_eq!(span.to_string(), shown);
            assert_eq!(Span::parse(shown), Some(span));
        }
        for bad in [
            "",
            "5",
            "90",
            "s",
            "1x",
            "1m1h",
            "1s1s",
            "1.5s",
            "-1s",
            "99999999999999999999s",
            "18446744073709551615d",
            "1ü",
        ] {
            assert_eq!(Span::parse(bad), None, "{bad}");
        }
    }

    #[test]
    fn a_bare_number_is_refused_with_the_mend() {
        let error = serde_json::from_str::<ByteSize>("512").unwrap_err().to_string();
        assert!(error.contains("\"512MiB\""), "{error}");
        let error = serde_json::from_str::<Span>("10").unwrap_err().to_string();
        assert!(error.contains("\"90s\""), "{error}");
    }
}
