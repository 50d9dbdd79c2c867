//! Where the characters of a string stand in its literal.

use std::ops::Range;

/// The place in the literal `raw` of each of the two ends of `decoded[range]`. `None` where `raw` is
/// not the literal of `decoded` (a computed string, for example).
pub(crate) fn locate(raw: &str, decoded: &str, range: Range<usize>) -> Option<Range<usize>> {
    let mut literal = Literal::new(raw)?;
    let (mut at, mut start, mut end) = (0, None, None);
    loop {
        if at == range.start && start.is_none() {
            start = Some(literal.next_at(raw));
        }
        if at >= range.end && end.is_none() {
            end = Some(literal.at);
        }
        let Next::Char(piece) = literal.next(raw)? else { break };
        if !decoded.get(at..)?.starts_with(piece) {
            return None;
        }
        at += piece.len_utf8();
    }
    (at == decoded.len()).then_some(start?..end.or(start)?)
}

struct Literal {
    /// Where the next piece begins.
    at: usize,
    /// Where the closing quote begins.
    end: usize,
    escapes: bool,
}

impl Literal {
    fn new(raw: &str) -> Option<Self> {
        let (quote, escapes) = match () {
            () if raw.starts_with("\"\"\"") => ("\"\"\"", true),
            () if raw.starts_with("'''") => ("'''", false),
            () if raw.starts_with('"') => ("\"", true),
            () if raw.starts_with('\'') => ("'", false),
            () => return None,
        };
        let body = raw.get(quote.len()..)?.strip_suffix(quote)?;
        let mut at = quote.len();
        if quote.len() == 3 {
            // The newline right after the opening is no part of the string.
            at += match body {
                body if body.starts_with("\r\n") => 2,
                body if body.starts_with('\n') => 1,
                _ => 0,
            };
        }
        Some(Self {
            at,
            end: raw.len() - quote.len(),
            escapes,
        })
    }

    /// Where the next piece begins, after a folded line end.
    fn next_at(&mut self, raw: &str) -> usize {
        self.fold(raw);
        self.at
    }

    /// Skips backslashes at line ends and what they swallow.
    fn fold(&mut self, raw: &str) {
        while self.escapes {
            let rest = &raw[self.at..self.end];
            let Some(after) = rest.strip_prefix('\\') else { return };
            let blank = after.trim_start_matches([' ', '\t']);
            if !blank.starts_with(['\n', '\r']) {
                return;
            }
            let kept = blank.trim_start_matches([' ', '\t', '\n', '\r']);
            self.at = self.end - kept.len();
        }
    }

    /// `None` for what cannot be read.
    fn next(&mut self, raw: &str) -> Option<Next> {
        self.fold(raw);
        let rest = raw.get(self.at..self.end)?;
        let Some(first) = rest.chars().next() else {
            return Some(Next::End);
        };
        if !(self.escapes && first == '\\') {
            self.at += first.len_utf8();
            return Some(Next::Char(first));
        }
        let escape = rest[1..].chars().next()?;
        let (value, length) = match escape {
            'b' => ('\u{8}', 2),
            't' => ('\t', 2),
            'n' => ('\n', 2),
            'f' => ('\u{c}', 2),
            'r' => ('\r', 2),
            'e' => ('\u{1b}', 2),
            '"' | '\\' => (escape, 2),
            'x' => (unicode(rest, 2)?, 4),
            'u' => (unicode(rest, 4)?, 6),
            'U' => (unicode(rest, 8)?, 10),
            _ => return None,
        };
        self.at += length;
        Some(Next::Char(value))
    }
}

/// What comes next in a literal.
enum Next {
    Char(char),
    End,
}

fn unicode(rest: &str, digits: usize) -> Option<char> {
    char::from_u32(u32::from_str_radix(rest.get(2..2 + digits)?, 16).ok()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(raw: &str, decoded: &str, find: &str, wanted: &str) {
        let at = decoded.find(find).unwrap();
        let found = locate(raw, decoded, at..at + find.len()).map(|range| &raw[range]);
        assert_eq!(found, Some(wanted), "{raw}");
    }

    #[test]
    fn pieces_are_found_behind_escapes_and_folded_lines() {
        check("\"a x b\"", "a x b", "x", "x");
        check("'a\\n x'", "a\\n x", "x", "x");
        check("\"\\n\\u00e4 \\\"x\\\" b\"", "\n\u{e4} \"x\" b", "x", "x");
        check("\"\"\"\nab\\\n   x\"\"\"", "abx", "x", "x");
        check("'''\r\nab\nx'''", "ab\nx", "x", "x");
        check("\"\"\"ab\"\"\"\"\"", "ab\"\"", "b\"", "b\"");
    }

    #[test]
    fn another_text_is_nowhere() {
        assert_eq!(locate("\"a\"", "b", 0..1), None);
        assert_eq!(locate("7", "7", 0..1), None);
        assert_eq!(locate("\"\\q\"", "q", 0..1), None);
        assert_eq!(locate("\"", "", 0..0), None);
    }
}
