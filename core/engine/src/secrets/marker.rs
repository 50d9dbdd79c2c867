//! What stands for a secret in a request that the journal keeps.
//!
//! A marker is made so that whatever a filter does to it shows: it holds what URL, JSON, HTML and shell quoting would
//! change, and a word that stays recognisable. What no trace of a marker would show (a length, a part), [`check`] sees.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use data_encoding::HEXLOWER;
use encamp_core::{Create, Error, ErrorKind, Name, Result, Secret, Value};
use sha2::{Digest, Sha256};

use super::Redactor;

/// Nobody writes this by chance.
const WORD: &str = "ecsecret5tq9xw2c";

/// Finds what filters made of the word.
static TRACES: LazyLock<Redactor> = LazyLock::new(|| {
    let words = [WORD.to_owned(), WORD.to_ascii_uppercase()].map(Secret::new);
    Redactor::of(&words)
});

/// A marker for each name: what is rendered with these can be kept, and filled in when it is sent.
pub fn mark<'n>(names: impl IntoIterator<Item = &'n Name>) -> BTreeMap<Name, Secret> {
    names
        .into_iter()
        .map(|name| (name.clone(), Secret::new(marker(name.as_str()))))
        .collect()
}

/// `<WORD "NAME" CHECK>`
fn marker(name: &str) -> String {
    let sum = HEXLOWER.encode(&Sha256::digest(format!("{WORD} {name}"))[..4]);
    format!("<{WORD} \"{name}\" {sum}>")
}

/// Puts values where markers stand. A marker that was changed, or whose secret is not there, is an error.
pub fn fill(text: &str, values: &BTreeMap<Name, Secret>) -> Result<String> {
    let begin = format!("<{WORD} \"");
    let mut filled = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find(&begin) {
        let (before, from) = rest.split_at(at);
        let name = from[begin.len()..].split('"').next().unwrap_or_default();
        let whole = marker(name);
        if !from.starts_with(&whole) {
            return Err(broken());
        }
        let Some(value) = Name::new(name).ok().and_then(|name| values.get(&name)) else {
            return Err(Error::new(
                ErrorKind::NotFound,
                format!("the secret `{name}` is part of what is to be sent, and is not in hand here"),
            )
            .next_step("repeat the command that made it: encamp up"));
        };
        refuse_traces(before)?;
        filled.push_str(before);
        filled.push_str(value.reveal());
        rest = &from[whole.len()..];
    }
    refuse_traces(rest)?;
    filled.push_str(rest);
    Ok(filled)
}

fn refuse_traces(text: &str) -> Result<()> {
    if TRACES.finds(text) { Err(broken()) } else { Ok(()) }
}

fn broken() -> Error {
    Error::new(
        ErrorKind::Invalid,
        "a secret passes through a filter where it can only stand as it is",
    )
    .next_step("hand it over as a file: `secrets` of the machine, which may use filters")
}

/// Whether what was rendered with markers becomes what was rendered with the values; if not, a filter saw the secret,
/// and what would be kept is wrong.
pub fn check(marked: &str, rendered: &str, values: &BTreeMap<Name, Secret>) -> Result<()> {
    if fill(marked, values)? == rendered {
        Ok(())
    } else {
        Err(broken())
    }
}

/// Fills in what of a request may hold secrets: its environment and its late leaves.
pub fn fill_create(mut request: Create, values: &BTreeMap<Name, Secret>) -> Result<Create> {
    for (name, value) in &mut request.env {
        *value = fill(value, values).map_err(|error| error.with("in", format!("env {name}")))?;
    }
    for (pointer, value) in &mut request.late {
        fill_value(value, values).map_err(|error| error.with("in", pointer))?;
    }
    Ok(request)
}

fn fill_value(value: &mut Value, values: &BTreeMap<Name, Secret>) -> Result<()> {
    match value {
        Value::String(text) => *text = fill(text, values)?,
        Value::Array(items) => {
            for item in items {
                fill_value(item, values)?;
            }
        }
        Value::Object(table) => {
            for item in table.values_mut() {
                fill_value(item, values)?;
            }
        }
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use encamp_core::{Key, Labels, Site, Stamp, Token};
    use serde_json::json;

    use super::*;

    fn values() -> BTreeMap<Name, Secret> {
        [("token", "p\"ss/w0rd"), ("other", "<ecsecret5tq9xw2c")]
            .map(|(name, value)| (Name::new(name).unwrap(), Secret::new(value.to_owned())))
            .into()
    }

    fn marked(name: &str) -> String {
        mark(values().keys())[name].reveal().clone()
    }

    #[test]
    fn values_stand_where_markers_stood() {
        let text = format!("a {}{} z", marked("token"), marked("other"));
        assert_eq!(fill(&text, &values()).unwrap(), "a p\"ss/w0rd<ecsecret5tq9xw2c z");
        assert_eq!(fill("nothing here", &values()).unwrap(), "nothing here");
    }

    #[test]
    fn what_a_filter_made_of_a_marker_is_refused() {
        let marker = marked("token");
        let spoilt = [
            marker.to_uppercase(),
            marker.replace('"', "\\\""),
            marker.replace('"', "&quot;"),
            "%3Cecsecret5tq9xw2c%20%22token%22%20".to_owned(),
            marker[..30].to_owned(),
            marker.replace("token", "tokem"),
            marker[1..].to_owned(),
            data_encoding::BASE64.encode(format!("x{marker}").as_bytes()),
        ];
        for text in spoilt {
            let error = fill(&text, &values()).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Invalid, "{text}");
        }
    }

    #[test]
    fn a_filter_that_leaves_no_trace_is_seen_beside_the_value() {
        let (length, of_marker) = ("9".to_owned(), marked("token").len().to_string());
        assert!(fill(&of_marker, &values()).is_ok(), "nothing shows it by itself");
        assert_eq!(
            check(&of_marker, &length, &values()).unwrap_err().kind(),
            ErrorKind::Invalid
        );
        assert!(check(&marked("token"), "p\"ss/w0rd", &values()).is_ok());
    }

    #[test]
    fn a_secret_that_is_not_in_hand_is_named() {
        let error = fill(&marked("token"), &BTreeMap::new()).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::NotFound);
        assert!(error.message().contains("`token`"), "{error}");
    }

    #[test]
    fn a_frozen_request_holds_markers_and_is_sent_with_values() {
        let stamp = Stamp::new(Key::new("k"), Token::new("t"), Labels::new());
        let name = Name::new("web").unwrap();
        let mut request = Create::new(stamp, Site::new("s"), json!({ "image": "any" }), name);
        request.env.insert("TOKEN".into(), format!("x{}", marked("token")));
        request.env.insert("PLAIN".into(), "1".into());
        request
            .late
            .insert("/says".into(), json!([marked("token"), 1, { "a": marked("token") }]));
        let frozen = serde_json::to_string(&request).unwrap();
        assert!(!frozen.contains("w0rd"), "{frozen}");
        let sent = fill_create(serde_json::from_str(&frozen).unwrap(), &values()).unwrap();
        assert_eq!(sent.env["TOKEN"], "xp\"ss/w0rd");
        assert_eq!(sent.env["PLAIN"], "1");
        assert_eq!(sent.late["/says"], json!(["p\"ss/w0rd", 1, { "a": "p\"ss/w0rd" }]));
        let error = fill_create(request, &BTreeMap::new()).unwrap_err();
        assert!(error.context().any(|fact| fact == ("in", "env TOKEN")), "{error:?}");
    }
}
