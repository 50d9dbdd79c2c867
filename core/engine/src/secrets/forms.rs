//! The forms in which a secret may stand in a text.

use std::collections::BTreeSet;

use data_encoding::{BASE64, BASE64_NOPAD, BASE64URL, BASE64URL_NOPAD, Encoding};
use encamp_core::Secret;

/// Characters of the shortest secret that is redacted.
pub const SHORTEST: usize = 4;
/// Where `base64`, PEM and MIME break lines.
const WIDTHS: [usize; 2] = [76, 64];

/// All forms of a secret that are redacted; none where it is too short.
pub(super) fn forms(secret: &Secret) -> BTreeSet<String> {
    let value = secret.reveal().as_str();
    let mut forms = BTreeSet::new();
    if !is_long_enough(value) {
        return forms;
    }
    // A line by itself: logs are told line by line, and what quotes a key may indent it.
    let lines = value.lines().map(str::trim).filter(|line| is_long_enough(line));
    for piece in lines.chain([value]) {
        forms.insert(piece.to_owned());
        base64(piece.as_bytes(), &mut forms);
        percent(piece, &mut forms);
        json(piece, &mut forms);
        xml(piece, &mut forms);
    }
    // A form of one character of a piece would be a hole in every text.
    forms.retain(|form| is_long_enough(form));
    forms
}

/// Whether a text is long enough to be redacted.
pub(super) fn is_long_enough(text: &str) -> bool {
    text.chars().nth(SHORTEST - 1).is_some()
}

/// At each of three alignments what does not depend on neighbours, and what stands at the end of the data.
fn base64(value: &[u8], forms: &mut BTreeSet<String>) {
    for (bare, padded) in [(&BASE64_NOPAD, &BASE64), (&BASE64URL_NOPAD, &BASE64URL)] {
        for shift in 0..3 {
            let whole = encoded(bare, shift, value, 2);
            // A character is 6 bits; one that holds bits of a neighbour is nobody's.
            let first = (8 * shift).div_ceil(6);
            let core = &whole[first..8 * (shift + value.len()) / 6];
            forms.insert(core.to_owned());
            for encoding in [bare, padded] {
                forms.insert(encoded(encoding, shift, value, 0)[first..].to_owned());
            }
            for width in WIDTHS.into_iter().filter(|width| shift == 0 && core.len() > *width) {
                let lines = core.as_bytes().chunks(width);
                forms.extend(lines.map(|line| String::from_utf8_lossy(line).into_owned()));
            }
        }
    }
}

fn encoded(encoding: &Encoding, before: usize, value: &[u8], after: usize) -> String {
    encoding.encode(&[&[0; 2][..before], value, &[0; 2][..after]].concat())
}

/// As encoders differ: in what they leave as it is, in the case of digits, in what a space becomes.
fn percent(value: &str, forms: &mut BTreeSet<String>) {
    let unreserved = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~".contains(&byte);
    let component = |byte: u8| unreserved(byte) || b"!*'()".contains(&byte);
    let path = |byte: u8| unreserved(byte) || byte == b'/';
    let form = |byte: u8| byte.is_ascii_alphanumeric() || b"-._*".contains(&byte);
    let uri = |byte: u8| component(byte) || b";/?:@&=+$,#".contains(&byte);
    let kept: [&dyn Fn(u8) -> bool; 5] = [&unreserved, &component, &path, &form, &uri];
    for keeps in kept {
        let escape = |digits: fn(u8) -> String| -> String {
            value
                .bytes()
                .map(|byte| {
                    if keeps(byte) {
                        char::from(byte).to_string()
                    } else {
                        digits(byte)
                    }
                })
                .collect()
        };
        for text in [
            escape(|byte| format!("%{byte:02X}")),
            escape(|byte| format!("%{byte:02x}")),
        ] {
            forms.insert(text.replace("%20", "+"));
            forms.insert(text);
        }
    }
}

/// As encoders differ: in what they escape beyond what they must.
fn json(value: &str, forms: &mut BTreeSet<String>) {
    let quoted = serde_json::Value::from(value).to_string();
    let bare = &quoted[1..quoted.len() - 1];
    let digits: [fn(u16) -> String; 2] = [|unit| format!("\\u{unit:04x}"), |unit| format!("\\u{unit:04X}")];
    for digits in digits {
        let escape = |escapes: fn(char) -> bool| -> String {
            let mut units = [0; 2];
            bare.chars()
                .map(|c| match c {
                    c if escapes(c) => c.encode_utf16(&mut units).iter().map(|unit| digits(*unit)).collect(),
                    c => c.to_string(),
                })
                .collect()
        };
        let html = |c| matches!(c, '<' | '>' | '&' | '\'' | '\u{2028}' | '\u{2029}');
        let go = |c| matches!(c, '<' | '>' | '&' | '\u{2028}' | '\u{2029}');
        for text in [bare.to_owned(), escape(|c| !c.is_ascii()), escape(html), escape(go)] {
            forms.insert(text.replace('/', "\\/"));
            forms.insert(text);
        }
    }
}

/// For reports that tasks write.
fn xml(value: &str, forms: &mut BTreeSet<String>) {
    let text = value.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;");
    let attribute = text.replace('"', "&quot;");
    forms.insert(attribute.replace('\'', "&apos;"));
    forms.insert(attribute.replace('\'', "&#39;"));
    forms.insert(attribute.replace('\'', "&#x27;"));
    forms.insert(attribute);
    forms.insert(text);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(value: &str) -> BTreeSet<String> {
        forms(&Secret::new(value.to_owned()))
    }

    #[test]
    fn each_form_is_there() {
        let value = "a+b/c d\"é<";
        let known = of(value);
        for form in [
            value,
            "a%2Bb%2Fc%20d%22%C3%A9%3C",
            "a%2bb%2fc%20d%22%c3%a9%3c",
            "a%2Bb%2Fc+d%22%C3%A9%3C",
            "a%2Bb/c%20d%22%C3%A9%3C",
            "a+b/c d\\\"é<",
            "a+b/c d\\\"\\u00e9<",
            "a+b/c d\\\"\\u00E9<",
            "a+b\\/c d\\\"é<",
            "a+b/c d\\\"é\\u003c",
            "a+b/c d&quot;é&lt;",
            "YStiL2MgZCLDqTw=",
            "YStiL2MgZCLDqTw",
        ] {
            assert!(known.contains(form), "{form} of {known:?}");
        }
    }

    #[test]
    fn what_is_too_short_has_no_form() {
        assert!(of("abc").is_empty() && of("äöü").is_empty() && of("").is_empty());
        assert!(of("abcd").iter().all(|form| form.len() >= SHORTEST));
        assert!(!of("ab\ncd\nefgh").contains("ab"));
        assert!(of("ab\ncd\n  efgh").contains("efgh"));
    }

    #[test]
    fn a_long_value_is_known_where_base64_breaks_its_lines() {
        let value = "0123456789".repeat(12);
        let whole = BASE64.encode(format!("{value}\n").as_bytes());
        let known = of(&value);
        for width in WIDTHS {
            let lines: Vec<&str> = (0..whole.len())
                .step_by(width)
                .map(|at| &whole[at..whole.len().min(at + width)])
                .collect();
            assert!(lines[..lines.len() - 1].iter().all(|line| known.contains(*line)));
        }
    }
}
