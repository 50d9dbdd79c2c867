//! What a table does not fit its schema by, and how it is said.

use encamp_core::Value as Json;

use crate::built::{Built, Field, Leaf, join};
use crate::codes::{self, Code};
use crate::nearest;
use crate::source::Span;

/// Something that the schema does not allow.
#[derive(Debug, Clone)]
pub(crate) struct Misfit {
    pub(crate) code: Code,
    pub(crate) span: Span,
    pub(crate) message: String,
    pub(crate) help: Option<String>,
    pub(crate) note: Option<String>,
    /// The known key that an unknown one is most like.
    pub(crate) meant: Option<String>,
    /// How far inside: the deepest misfit of a union is the one that was meant.
    pub(crate) depth: u32,
}

/// What a check found.
#[derive(Debug, Default)]
pub(crate) struct Outcome {
    pub(crate) misfits: Vec<Misfit>,
    /// Pointers of computed numbers and booleans that have to become strings.
    pub(crate) to_strings: Vec<String>,
    /// Pointers below which values may be known later.
    pub(crate) late: Vec<String>,
    /// Pointers of folders whose content makes the machine, and the file in each that says what of it does not.
    pub(crate) contents: Vec<(String, String)>,
}

impl Outcome {
    pub(crate) fn fits(&self) -> bool {
        self.misfits.is_empty()
    }

    pub(crate) fn add(&mut self, other: Self) {
        self.misfits.extend(other.misfits);
        self.to_strings.extend(other.to_strings);
        self.late.extend(other.late);
        self.contents.extend(other.contents);
    }

    pub(crate) fn depth(&self) -> u32 {
        self.misfits.iter().map(|misfit| misfit.depth).max().unwrap_or(0)
    }
}

/// Where the check stands.
#[derive(Debug, Clone)]
pub(crate) struct At {
    pub(crate) pointer: String,
    pub(crate) title: String,
    pub(crate) depth: u32,
    /// Steps through references and unions without going inside.
    pub(crate) turns: u32,
}

impl At {
    pub(crate) fn top(title: &str) -> Self {
        Self {
            pointer: String::new(),
            title: title.to_owned(),
            depth: 0,
            turns: 0,
        }
    }

    pub(crate) fn inside(&self, key: &str) -> Self {
        Self {
            pointer: join(&self.pointer, key),
            title: format!("{}.{key}]", self.title.trim_end_matches(']')),
            depth: self.depth + 1,
            turns: 0,
        }
    }

    pub(crate) fn turned(&self) -> Self {
        Self {
            turns: self.turns + 1,
            ..self.clone()
        }
    }

    pub(crate) fn misfit(&self, code: Code, span: Span, message: String) -> Misfit {
        Misfit {
            code,
            span,
            message,
            help: None,
            note: None,
            meant: None,
            depth: self.depth,
        }
    }
}

pub(crate) fn late(pointer: &str, value: &Built, source: &str, title: &str) -> Misfit {
    let mut keys = pointer
        .split('/')
        .filter(|part| !part.is_empty() && part.parse::<usize>().is_err());
    let message = match keys.next_back() {
        Some(key) => format!("`{key}` of {title} has to be known before anything is created"),
        None => format!("{title} has to be known before anything is created"),
    };
    Misfit {
        code: codes::LATE,
        span: value.span,
        message,
        help: Some(
            "names, `port('…')` and, inside the environment, `endpoint('…')` are known from the start".to_owned(),
        ),
        note: Some(format!(
            "`{}` is known only once another machine runs",
            crate::typed::shortened(source)
        )),
        meant: None,
        depth: 0,
    }
}

pub(crate) fn unknown(field: &Field, known: &[&str], at: &At) -> Misfit {
    let mut misfit = at.misfit(
        codes::UNKNOWN_KEY,
        field.key_span,
        format!("unknown key `{}`", field.key),
    );
    let near = nearest::nearest(&field.key, known.iter().copied());
    misfit.meant = near.map(str::to_owned);
    misfit.help = near.map(|near| format!("a key with a similar name: `{near}`"));
    misfit.note = Some(format!(
        "keys of {}: {}",
        at.title,
        nearest::keys(known.iter().copied())
    ));
    misfit.depth += 1;
    misfit
}

pub(crate) fn named(name: &str) -> String {
    match name {
        "string" => "a string",
        "integer" => "a whole number",
        "number" => "a number",
        "boolean" => "a boolean",
        "array" => "a list",
        "object" => "a table",
        other => other,
    }
    .to_owned()
}

pub(crate) fn or(words: impl Iterator<Item = String>) -> String {
    let words: Vec<String> = words.collect();
    match words.as_slice() {
        [] => "something else".to_owned(),
        [one] => one.clone(),
        [first @ .., last] => format!("{} or {last}", first.join(", ")),
    }
}

/// What was probably meant. A text that is an example of the schema shows what a number lacks: `512MiB`.
pub(crate) fn mend(types: &[&str], value: &Built, schema: &Json) -> Option<String> {
    match &value.value {
        Leaf::Scalar(Json::String(text)) if types.contains(&"array") => Some(format!("[\"{text}\"]")),
        Leaf::Scalar(number @ (Json::Number(_) | Json::Bool(_))) if types.contains(&"string") => {
            let example = schema.pointer("/examples/0").and_then(Json::as_str);
            let unit = example.map(|example| example.trim_start_matches(|c: char| c.is_ascii_digit()));
            Some(format!(
                "\"{number}{}\"",
                unit.filter(|_| number.is_number()).unwrap_or_default()
            ))
        }
        Leaf::Scalar(Json::String(text))
            if (types.contains(&"integer") && text.parse::<i64>().is_ok())
                || (types.contains(&"boolean") && (text == "true" || text == "false")) =>
        {
            Some(text.clone())
        }
        _ => None,
    }
}
