//! Where the expressions of a string stand, and what each speaks of.

use std::ops::Range;

use encamp_core::Name;

/// A piece of a string.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Piece {
    /// Text as it is.
    Literal(Range<usize>),
    /// What stands between `{{` and `}}`.
    Expr(Range<usize>),
}

/// Why a string cannot be cut into pieces.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Unclosed {
    pub(crate) at: Range<usize>,
    pub(crate) message: &'static str,
}

/// Cuts a string at its expressions; blocks and comments are ordinary text.
pub(crate) fn split(source: &str) -> Result<Vec<Piece>, Unclosed> {
    let mut pieces = Vec::new();
    let mut from = 0;
    while let Some(open) = source[from..].find("{{").map(|at| from + at) {
        if open > from {
            pieces.push(Piece::Literal(from..open));
        }
        let close = end_of_expression(source, open + 2)?;
        pieces.push(Piece::Expr(open + 2..close));
        from = close + 2;
    }
    if from < source.len() {
        pieces.push(Piece::Literal(from..source.len()));
    }
    Ok(pieces)
}

fn end_of_expression(source: &str, from: usize) -> Result<usize, Unclosed> {
    let mut braces = 0_usize;
    let mut at = from;
    while let Some(token) = token(source, at) {
        match token.kind {
            Kind::Unclosed => {
                return Err(Unclosed {
                    at: token.range,
                    message: "this string in an expression is not closed",
                });
            }
            Kind::Sign(b'{') => braces += 1,
            Kind::Sign(b'}') if braces == 0 && source[token.range.start..].starts_with("}}") => {
                return Ok(token.range.start);
            }
            Kind::Sign(b'}') => braces = braces.saturating_sub(1),
            _ => {}
        }
        at = token.range.end;
    }
    Err(Unclosed {
        at: from - 2..from,
        message: "this expression is not closed by `}}`",
    })
}

/// Where `close` ends what begins at `from`, outside of strings; the end of the text where nothing does.
pub(crate) fn end(source: &str, from: usize, close: &str) -> usize {
    let mut at = from;
    let mut braces = 0_usize;
    while let Some(token) = token(source, at) {
        let start = token.range.start;
        match token.kind {
            Kind::Sign(_) if braces == 0 && source[start..].starts_with(close) => return start,
            Kind::Sign(b'{') => braces += 1,
            Kind::Sign(b'}') => braces = braces.saturating_sub(1),
            _ => {}
        }
        at = token.range.end;
    }
    source.len()
}

/// The most tokens of an expression: a long one becomes a deep one, and depth is walked by recursion.
const MAX_TOKENS: usize = 500;
/// How deep brackets, prefixes and alternatives may nest.
const MAX_NESTING: usize = 24;

/// Whether an expression is too long or too deep to be handed to a parser that recurs.
pub(crate) fn is_too_deep(source: &str) -> bool {
    let (mut at, mut tokens, mut open, mut prefixes, mut alternatives) = (0, 0, 0_usize, 0_usize, 0_usize);
    while let Some(next) = token(source, at) {
        at = next.range.end;
        tokens += 1;
        let is_prefix = match &next.kind {
            Kind::Sign(b'(' | b'[' | b'{') => {
                open += 1;
                false
            }
            Kind::Sign(b')' | b']' | b'}') => {
                open = open.saturating_sub(1);
                false
            }
            Kind::Sign(b'-' | b'+' | b'*' | b'~') => true,
            Kind::Word => {
                let word = &source[next.range.clone()];
                alternatives += usize::from(word == "if");
                word == "not"
            }
            _ => false,
        };
        prefixes = if is_prefix { prefixes + 1 } else { 0 };
        if tokens > MAX_TOKENS || open + prefixes + alternatives > MAX_NESTING {
            return true;
        }
    }
    false
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Kind {
    Word,
    Text(String),
    Number,
    Sign(u8),
    Unclosed,
}

#[derive(Debug, Clone)]
struct Token {
    kind: Kind,
    range: Range<usize>,
}

fn token(source: &str, from: usize) -> Option<Token> {
    let rest = source.get(from..)?;
    let start = from + (rest.len() - rest.trim_start().len());
    let rest = &source[start..];
    let first = rest.chars().next()?;
    let length = |fits: fn(char) -> bool| rest.find(|c| !fits(c)).unwrap_or(rest.len());
    let (kind, len) = match first {
        '"' | '\'' => text(rest, first),
        c if c.is_alphabetic() || c == '_' => (Kind::Word, length(|c| c.is_alphanumeric() || c == '_')),
        c if c.is_ascii_digit() => (Kind::Number, length(|c| c.is_ascii_digit())),
        c if c.is_ascii() => (Kind::Sign(rest.as_bytes()[0]), 1),
        c => (Kind::Sign(0), c.len_utf8()),
    };
    Some(Token {
        kind,
        range: start..start + len,
    })
}

fn text(rest: &str, quote: char) -> (Kind, usize) {
    let mut value = String::new();
    let mut escaped = false;
    for (at, c) in rest.char_indices().skip(1) {
        match c {
            c if escaped => {
                value.push(c);
                escaped = false;
            }
            '\\' => escaped = true,
            c if c == quote => return (Kind::Text(value), at + 1),
            c => value.push(c),
        }
    }
    (Kind::Unclosed, rest.len())
}

/// A name and what is looked up in it: `machines.web[0].endpoint('http')`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Chain {
    pub(crate) root: Word,
    pub(crate) steps: Vec<Step>,
    /// A call ends the chain.
    pub(crate) call: Option<Call>,
}

impl Chain {
    /// The same further on in a text.
    pub(crate) fn moved(mut self, by: usize) -> Self {
        let shift = |range: &mut Range<usize>| *range = range.start + by..range.end + by;
        shift(&mut self.root.range);
        for step in &mut self.steps {
            match step {
                Step::Name(word) => shift(&mut word.range),
                Step::Index(_, range) => shift(range),
                Step::Open => {}
            }
        }
        if let Some(word) = self.call.as_mut().and_then(|call| call.first.as_mut()) {
            shift(&mut word.range);
        }
        self
    }

    /// The name in `secret('name')`.
    pub(crate) fn secret(&self) -> Option<Name> {
        let name = self
            .call
            .as_ref()
            .filter(|_| self.root.text == "secret" && self.steps.is_empty())?;
        Name::new(name.first.as_ref()?.text.as_str()).ok()
    }
}

/// A piece of an expression.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Word {
    pub(crate) text: String,
    pub(crate) range: Range<usize>,
}

/// One look-up.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Step {
    /// `.name` or `['name']`.
    Name(Word),
    /// `[0]`, `[-1]`.
    Index(i64, Range<usize>),
    /// `[…]` with anything else.
    Open,
}

/// A call and its first argument, if that is a text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Call {
    pub(crate) first: Option<Word>,
}

/// Words that are no names.
const KEYWORDS: [&str; 14] = [
    "and",
    "or",
    "not",
    "in",
    "is",
    "if",
    "else",
    "true",
    "false",
    "none",
    "True",
    "False",
    "None",
    "undefined",
];

/// What the user's own names are looked up in.
const NAMED: [&str; 2] = ["machines", "inputs"];

/// All chains of an expression, in order.
pub(crate) fn chains(source: &str) -> Vec<Chain> {
    let mut tokens = Vec::new();
    let mut at = 0;
    while let Some(next) = token(source, at) {
        at = next.range.end;
        tokens.push(next);
    }
    let scanner = Scanner { source, tokens };
    (0..scanner.tokens.len()).filter_map(|at| scanner.chain(at)).collect()
}

struct Scanner<'a> {
    source: &'a str,
    tokens: Vec<Token>,
}

impl Scanner<'_> {
    fn kind(&self, at: usize) -> Option<&Kind> {
        self.tokens.get(at).map(|token| &token.kind)
    }

    fn is_sign(&self, at: usize, sign: u8) -> bool {
        self.kind(at) == Some(&Kind::Sign(sign))
    }

    fn word(&self, at: usize) -> Option<Word> {
        let token = self.tokens.get(at).filter(|token| token.kind == Kind::Word)?;
        Some(Word {
            text: self.source[token.range.clone()].to_owned(),
            range: token.range.clone(),
        })
    }

    fn text(&self, at: usize) -> Option<Word> {
        let token = self.tokens.get(at)?;
        let Kind::Text(text) = &token.kind else { return None };
        Some(Word {
            text: text.clone(),
            range: token.range.clone(),
        })
    }

    fn chain(&self, at: usize) -> Option<Chain> {
        let root = self.word(at)?;
        if KEYWORDS.contains(&root.text.as_str()) || self.names_no_value(at) {
            return None;
        }
        let mut steps = Vec::new();
        let mut next = at + 1;
        loop {
            if self.is_sign(next, b'.') {
                let Some(word) = self.word(next + 1) else { break };
                let named = steps.is_empty() && NAMED.contains(&root.text.as_str());
                let (word, last) = if named {
                    self.with_dashes(word, next + 1)
                } else {
                    (word, next + 1)
                };
                steps.push(Step::Name(word));
                next = last + 1;
            } else if self.is_sign(next, b'[') {
                let (step, after) = self.subscript(next);
                steps.push(step);
                next = after;
            } else {
                break;
            }
        }
        let call = self.is_sign(next, b'(').then(|| Call {
            first: self.text(next + 1),
        });
        Some(Chain { root, steps, call })
    }

    /// A filter, a test, an attribute of something else, or the name of an argument.
    fn names_no_value(&self, at: usize) -> bool {
        let before = at.checked_sub(1);
        let after_is = |at: usize| self.word(at).is_some_and(|word| word.text == "is");
        let named = self.is_sign(at + 1, b'=') && !self.is_sign(at + 2, b'=');
        named
            || before.is_some_and(|before| {
                self.is_sign(before, b'|')
                    || self.is_sign(before, b'.')
                    || after_is(before)
                    || (self.word(before).is_some_and(|word| word.text == "not")
                        && before.checked_sub(1).is_some_and(after_is))
                    || self.is_part_of_dashed(at)
            })
    }

    /// `db` in `machines.my-db`: a minus by grammar, a dash by intention.
    fn is_part_of_dashed(&self, at: usize) -> bool {
        let mut at = at;
        while at >= 2 && self.is_sign(at - 1, b'-') && self.touch(at - 1, at) && self.touch(at - 2, at - 1) {
            at -= 2;
        }
        at >= 2
            && self.is_sign(at - 1, b'.')
            && self
                .word(at - 2)
                .is_some_and(|word| NAMED.contains(&word.text.as_str()))
    }

    fn touch(&self, left: usize, right: usize) -> bool {
        match (self.tokens.get(left), self.tokens.get(right)) {
            (Some(left), Some(right)) => left.range.end == right.range.start,
            _ => false,
        }
    }

    /// Takes `my-db` as one word, so that a message can say how to write it; and its last token.
    fn with_dashes(&self, mut word: Word, mut at: usize) -> (Word, usize) {
        while self.is_sign(at + 1, b'-')
            && self.touch(at, at + 1)
            && self.touch(at + 1, at + 2)
            && matches!(self.kind(at + 2), Some(Kind::Word | Kind::Number))
        {
            at += 2;
            let end = self.tokens.get(at).map_or(word.range.end, |token| token.range.end);
            word.range.end = end;
            self.source[word.range.clone()].clone_into(&mut word.text);
        }
        (word, at)
    }

    fn subscript(&self, open: usize) -> (Step, usize) {
        if self.is_sign(open + 2, b']') {
            if let Some(name) = self.text(open + 1) {
                return (Step::Name(name), open + 3);
            }
            if let Some(index) = self.number(open + 1) {
                let range = self.tokens[open + 1].range.clone();
                return (Step::Index(index, range), open + 3);
            }
        }
        if self.is_sign(open + 1, b'-')
            && self.is_sign(open + 3, b']')
            && let Some(index) = self.number(open + 2)
        {
            let range = self.tokens[open + 1].range.start..self.tokens[open + 2].range.end;
            return (Step::Index(-index, range), open + 4);
        }
        let mut depth = 0_usize;
        for at in open..self.tokens.len() {
            match self.kind(at) {
                Some(Kind::Sign(b'[')) => depth += 1,
                Some(Kind::Sign(b']')) => depth -= 1,
                _ => {}
            }
            if depth == 0 {
                return (Step::Open, at + 1);
            }
        }
        (Step::Open, self.tokens.len())
    }

    fn number(&self, at: usize) -> Option<i64> {
        let token = self.tokens.get(at).filter(|token| token.kind == Kind::Number)?;
        self.source[token.range.clone()].parse().ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn expressions(source: &str) -> Vec<&str> {
        split(source)
            .unwrap()
            .into_iter()
            .filter_map(|piece| match piece {
                Piece::Expr(range) => Some(&source[range]),
                Piece::Literal(_) => None,
            })
            .collect()
    }

    #[test]
    fn only_double_braces_are_alive() {
        assert_eq!(expressions("${#x} {% y %} {# z #} { {"), Vec::<&str>::new());
        assert_eq!(expressions("a{{ b }}c{{d}}"), [" b ", "d"]);
        assert_eq!(
            expressions("{{ '}}' }}{{ {'a': {'b': 1}}}}"),
            [" '}}' ", " {'a': {'b': 1}}"]
        );
        assert_eq!(expressions(r"{{ '\'}}' }}"), [r" '\'}}' "]);
        assert!(split("a {{ b").is_err());
        assert!(split("a {{ 'b }}").is_err());
    }

    fn step(step: &Step) -> String {
        match step {
            Step::Name(word) => format!(".{}", word.text),
            Step::Index(index, _) => format!("[{index}]"),
            Step::Open => "[?]".to_owned(),
        }
    }

    fn names(source: &str) -> Vec<String> {
        chains(source)
            .into_iter()
            .map(|chain| {
                let steps: Vec<String> = chain.steps.iter().map(step).collect();
                let call = chain
                    .call
                    .map(|call| format!("({})", call.first.map_or(String::new(), |word| word.text)));
                chain.root.text + &steps.concat() + &call.unwrap_or_default()
            })
            .collect()
    }

    #[test]
    fn chains_are_what_an_expression_reads() {
        assert_eq!(
            names("machines.web[0].endpoint('http')"),
            ["machines.web[0].endpoint(http)"]
        );
        assert_eq!(names("a.b | join(',') is not defined and c is d"), ["a.b", "c"]);
        assert_eq!(names("machines['x'].p(q=1, r==2)"), ["machines.x.p()", "r"]);
        assert_eq!(
            names("machines.my-db.endpoint('pg') - x-y"),
            ["machines.my-db.endpoint(pg)", "x", "y"]
        );
        assert_eq!(
            names("m[i + n[0]].a[-1] if true else 'machines.no'"),
            ["m[?].a[-1]", "i", "n[0]"]
        );
    }
}
