//! What of a file only TOML 1.1 allows. encamp reads it; another tool may not.

use toml_parser::Source;
use toml_parser::lexer::TokenKind;

use crate::codes;
use crate::diagnose::{Diagnostic, Findings};
use crate::source::Span;

/// Notes, once for each, what needs TOML 1.1.
pub(crate) fn note(text: &str, file: u32, findings: &mut Findings) {
    for (range, what) in newer(text) {
        let message = format!("{what} needs TOML 1.1");
        findings.add(
            Diagnostic::warning(codes::NEWER_TOML, Span::new(file, range), message)
                .note("encamp reads it; other tools may know TOML 1.0 alone"),
        );
    }
}

const OVER_LINES: &str = "a table in braces over several lines";
const LAST_COMMA: &str = "a comma behind the last key of a table in braces";
const ESCAPE: &str = "this escape";
const SHORT_TIME: &str = "a time without seconds";

/// The first place of each.
fn newer(text: &str) -> Vec<(std::ops::Range<usize>, &'static str)> {
    let mut found: Vec<(std::ops::Range<usize>, &'static str)> = Vec::new();
    let mut first = |range: std::ops::Range<usize>, what: &'static str| {
        if !found.iter().any(|(_, known)| *known == what) {
            found.push((range, what));
        }
    };
    let mut open: Vec<(TokenKind, std::ops::Range<usize>)> = Vec::new();
    let mut comma = None;
    for token in Source::new(text).lex() {
        let range = token.span().start()..token.span().end();
        let in_braces = matches!(open.last(), Some((TokenKind::LeftCurlyBracket, _)));
        match token.kind() {
            TokenKind::Whitespace | TokenKind::Comment => continue,
            TokenKind::Newline => {
                if let Some((TokenKind::LeftCurlyBracket, brace)) = open.last() {
                    first(brace.clone(), OVER_LINES);
                }
                continue;
            }
            kind @ (TokenKind::LeftCurlyBracket | TokenKind::LeftSquareBracket) => open.push((kind, range.clone())),
            TokenKind::RightCurlyBracket => {
                if let Some(comma) = comma.take().filter(|_| in_braces) {
                    first(comma, LAST_COMMA);
                }
                open.pop();
            }
            TokenKind::RightSquareBracket => {
                open.pop();
            }
            TokenKind::BasicString | TokenKind::MlBasicString => {
                if let Some(at) = new_escape(&text[range.clone()]) {
                    first(range.start + at..range.start + at + 2, ESCAPE);
                }
            }
            TokenKind::Atom if is_short_time(&text[range.clone()]) => first(range.clone(), SHORT_TIME),
            _ => {}
        }
        comma = (token.kind() == TokenKind::Comma).then_some(range);
    }
    found
}

/// `\e` or `\x41`.
fn new_escape(text: &str) -> Option<usize> {
    let mut escaped = None;
    for (at, byte) in text.bytes().enumerate() {
        match (escaped, byte) {
            (Some(start), b'e' | b'x') => return Some(start),
            (Some(_), _) => escaped = None,
            (None, b'\\') => escaped = Some(at),
            (None, _) => {}
        }
    }
    None
}

/// `07:32`, alone or behind a date.
fn is_short_time(text: &str) -> bool {
    let time = text.rsplit(['T', 't', ' ']).next().unwrap_or(text);
    let bytes = time.as_bytes();
    let digits =
        |range: std::ops::Range<usize>| bytes.get(range).is_some_and(|part| part.iter().all(u8::is_ascii_digit));
    bytes.len() >= 5
        && digits(0..2)
        && bytes[2] == b':'
        && digits(3..5)
        && matches!(bytes.get(5), None | Some(b'Z' | b'z' | b'+' | b'-'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_only_the_newer_version_allows() {
        let found = |text: &str| {
            newer(text)
                .into_iter()
                .map(|(range, what)| (range.start, what))
                .collect::<Vec<_>>()
        };
        for old in [
            "a = { b = 1, c = [1,\n2,\n] }\n",
            "a = [\n{ b = 1 },\n{ c = 2 },\n]\n",
            "a = 'not \\e'\nb = \"\\\\e \\u0041\"\nc = 07:32:00\nd = \"07:32\"",
            "[a]\nb.c = 1\n",
        ] {
            assert_eq!(found(old), [], "{old}");
        }
        assert_eq!(found("a = {\n b = 1 }\nc = {\n}\n"), [(4, OVER_LINES)]);
        assert_eq!(found("a = { b = 1, }\n"), [(11, LAST_COMMA)]);
        assert_eq!(found("a = \"x\\e\"\nb = \"\\x41\""), [(6, ESCAPE)]);
        assert_eq!(found("a = 1979-05-27T07:32\n"), [(4, SHORT_TIME)]);
    }
}
