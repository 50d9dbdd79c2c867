//! How deep a text nests, found without building anything.

use toml_parser::Source;
use toml_parser::lexer::TokenKind;

/// Where `text` begins to nest deeper than `limit`. Counts too much rather than too little.
pub(crate) fn too_deep(text: &str, limit: usize) -> Option<usize> {
    let mut depth = Depth::default();
    for token in Source::new(text).lex() {
        depth.take(token.kind());
        if depth.total() > limit {
            return Some(token.span().start());
        }
    }
    None
}

#[derive(Default)]
struct Depth {
    /// Parts of the current table's header.
    header: usize,
    /// The current line is a header.
    in_header: bool,
    /// Something of a statement has been seen on this line.
    begun: bool,
    /// Open brackets, and how deep each leads.
    open: Vec<(TokenKind, usize)>,
    /// The sum of those.
    opened: usize,
    /// Dots in the current key.
    dots: usize,
    /// Parts of the key whose value comes next.
    key: usize,
}

impl Depth {
    fn total(&self) -> usize {
        self.header + self.opened + self.key.max(self.dots)
    }

    fn take(&mut self, kind: TokenKind) {
        match kind {
            TokenKind::Newline if self.open.is_empty() => {
                if self.in_header {
                    self.header = self.dots + 1;
                }
                (self.in_header, self.begun, self.dots, self.key) = (false, false, 0, 0);
            }
            TokenKind::Whitespace | TokenKind::Comment | TokenKind::Newline | TokenKind::Eof => {}
            TokenKind::LeftSquareBracket if self.open.is_empty() && (!self.begun || self.in_header) => {
                if !self.in_header {
                    self.header = 0;
                }
                (self.in_header, self.begun) = (true, true);
            }
            TokenKind::RightSquareBracket if self.in_header => {}
            TokenKind::LeftSquareBracket | TokenKind::LeftCurlyBracket => {
                let leads = self.key.max(1);
                self.open.push((kind, leads));
                self.opened += leads;
                (self.dots, self.key, self.begun) = (0, 0, true);
            }
            TokenKind::RightSquareBracket => self.close(TokenKind::LeftSquareBracket),
            TokenKind::RightCurlyBracket => self.close(TokenKind::LeftCurlyBracket),
            TokenKind::Comma => (self.dots, self.key) = (0, 0),
            TokenKind::Equals => (self.key, self.dots) = (self.dots + 1, 0),
            TokenKind::Dot => self.dots += 1,
            _ => self.begun = true,
        }
    }

    fn close(&mut self, opening: TokenKind) {
        if let Some((kind, leads)) = self.open.last()
            && *kind == opening
        {
            self.opened -= leads;
            self.open.pop();
        }
        (self.dots, self.key) = (0, 0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn depth_is_that_of_keys_headers_and_brackets() {
        for fine in [
            "a.b = 1.5\nc = \"......................................................................\"",
            "x = '''\n.....................................................................\n'''",
            "[a.b]\nc.d = { e.f = [1, 2] }",
            "x = [\n1,\n2\n]\ny = 1",
        ] {
            assert_eq!(too_deep(fine, 10), None, "{fine}");
        }
        let dotted = format!("{} = 1", vec!["a"; 100].join("."));
        let header = format!("[{}]", vec!["a"; 100].join("."));
        for deep in [
            dotted,
            header,
            "a = ".to_owned() + &"[".repeat(100),
            "[[[[".repeat(30) + "\na=" + &"{a=".repeat(80),
        ] {
            assert!(too_deep(&deep, 64).is_some(), "{deep}");
        }
    }
}
