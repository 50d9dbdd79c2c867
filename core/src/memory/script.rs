//! The small shell's grammar: lists, `&&`, `||`, `;`, `&`, pipes, redirections, quotes and variables.

/// Pipelines in order.
pub(super) type List = Vec<Step>;

/// One pipeline of a list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Step {
    /// What of the status before it lets it run.
    pub(super) when: When,
    pub(super) pipeline: Vec<Command>,
    /// `! …`
    pub(super) negated: bool,
    pub(super) background: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum When {
    Always,
    Succeeded,
    Failed,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Command {
    pub(super) body: Body,
    pub(super) redirections: Vec<Redirection>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Body {
    Words(Vec<Word>),
    /// `( … )`, and `{ …; }`, which is taken for the same.
    Group(List),
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Redirection {
    /// `2>&1` is `(2, 1)`.
    Duplicate(u8, u8),
    To {
        stream: u8,
        path: Word,
        append: bool,
    },
    From(Word),
}

/// Text and variables that make one word.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Word {
    pub(super) parts: Vec<Part>,
    /// A quoted word stays a word when it is empty.
    pub(super) quoted: bool,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Part {
    Text(String),
    Variable(String),
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Token {
    Word(Word),
    Operator(&'static str),
    /// Which stream, and `>`, `>>`, `<` or `>&`.
    Redirect(u8, &'static str),
}

/// Reads a script; the error is what a shell would print.
pub(super) fn parse(script: &str) -> Result<List, String> {
    let tokens = tokens(script)?;
    let mut at = Parser { tokens: &tokens };
    let list = at.list()?;
    match at.tokens.first() {
        None => Ok(list),
        Some(token) => Err(format!("syntax error at {token:?}")),
    }
}

const OPERATORS: [&str; 8] = ["&&", "||", ";", "&", "|", "(", ")", "\n"];

fn tokens(script: &str) -> Result<Vec<Token>, String> {
    let mut tokens = Vec::new();
    let mut rest = script;
    loop {
        rest = rest.trim_start_matches([' ', '\t']).trim_start_matches("\\\n");
        if rest.is_empty() {
            return Ok(tokens);
        }
        if rest.starts_with('#') {
            rest = rest.find('\n').map_or("", |end| &rest[end..]);
        } else if let Some((stream, operator, after)) = redirect(rest) {
            tokens.push(Token::Redirect(stream, operator));
            rest = after;
        } else if let Some(operator) = OPERATORS.into_iter().find(|operator| rest.starts_with(operator)) {
            tokens.push(Token::Operator(if operator == "\n" { ";" } else { operator }));
            rest = &rest[operator.len()..];
        } else {
            let (word, after) = word(rest)?;
            tokens.push(Token::Word(word));
            rest = after;
        }
    }
}

fn redirect(rest: &str) -> Option<(u8, &'static str, &str)> {
    let digit = rest.bytes().next().filter(|byte| (b'0'..=b'2').contains(byte));
    let after = if digit.is_some() { &rest[1..] } else { rest };
    let operator = [">&", ">>", ">", "<"]
        .into_iter()
        .find(|operator| after.starts_with(operator))?;
    let stream = digit.map_or(u8::from(operator != "<"), |digit| digit - b'0');
    Some((stream, operator, &after[operator.len()..]))
}

fn word(rest: &str) -> Result<(Word, &str), String> {
    let mut word = Word::default();
    let mut text = String::new();
    let mut quote = None;
    let mut at = 0;
    while let Some(c) = rest[at..].chars().next() {
        let after = at + c.len_utf8();
        match (c, quote) {
            (c, Some(open)) if c == open => quote = None,
            ('\'' | '"', None) => {
                quote = Some(c);
                word.quoted = true;
            }
            ('\\', None | Some('"')) => {
                let escaped = rest[after..].chars().next().ok_or("a backslash at the end")?;
                if quote.is_some() && !matches!(escaped, '"' | '\\' | '$' | '\n') {
                    text.push('\\');
                }
                text.push(escaped);
                at = after + escaped.len_utf8();
                continue;
            }
            ('$', None | Some('"')) => {
                if let Some((name, length)) = variable(&rest[after..]) {
                    word.parts.push(Part::Text(std::mem::take(&mut text)));
                    word.parts.push(Part::Variable(name));
                    at = after + length;
                    continue;
                }
                text.push('$');
            }
            (' ' | '\t' | '\n' | ';' | '&' | '|' | '(' | ')' | '<' | '>', None) => break,
            (c, _) => text.push(c),
        }
        at = after;
    }
    if quote.is_some() {
        return Err("a quote that is not closed".into());
    }
    word.parts.push(Part::Text(text));
    Ok((word, &rest[at..]))
}

/// The name of a variable at the beginning of a text after `$`, and how long it is there.
fn variable(rest: &str) -> Option<(String, usize)> {
    if let Some(braced) = rest.strip_prefix('{') {
        let end = braced.find('}')?;
        return Some((braced[..end].to_owned(), end + 2));
    }
    if rest.starts_with(['$', '!', '?']) {
        return Some((rest[..1].to_owned(), 1));
    }
    let end = rest
        .find(|c: char| !c.is_ascii_alphanumeric() && c != '_')
        .unwrap_or(rest.len());
    (end > 0).then(|| (rest[..end].to_owned(), end))
}

struct Parser<'t> {
    tokens: &'t [Token],
}

impl Parser<'_> {
    fn take(&mut self, operator: &str) -> bool {
        let there = matches!(self.tokens.first(), Some(Token::Operator(other)) if *other == operator);
        if there {
            self.tokens = &self.tokens[1..];
        }
        there
    }

    fn at_word(&self, text: &str) -> bool {
        matches!(self.tokens.first(), Some(Token::Word(word))
            if !word.quoted && word.parts == [Part::Text(text.to_owned())])
    }

    fn list(&mut self) -> Result<List, String> {
        let mut list = Vec::new();
        let mut when = When::Always;
        loop {
            while self.take(";") {}
            let ended = matches!(self.tokens.first(), None | Some(Token::Operator(")"))) || self.at_word("}");
            if ended && when == When::Always {
                return Ok(list);
            }
            let negated = self.at_word("!");
            if negated {
                self.tokens = &self.tokens[1..];
            }
            let mut pipeline = vec![self.command()?];
            while self.take("|") {
                pipeline.push(self.command()?);
            }
            let background = self.take("&");
            list.push(Step {
                when,
                pipeline,
                negated,
                background,
            });
            when = if self.take("&&") {
                When::Succeeded
            } else if self.take("||") {
                When::Failed
            } else {
                When::Always
            };
        }
    }

    fn command(&mut self) -> Result<Command, String> {
        let group = if self.take("(") {
            let list = self.list()?;
            if !self.take(")") {
                return Err("`(` without `)`".into());
            }
            Some(list)
        } else if self.at_word("{") {
            self.tokens = &self.tokens[1..];
            let list = self.list()?;
            if !self.at_word("}") {
                return Err("`{` without `}`".into());
            }
            self.tokens = &self.tokens[1..];
            Some(list)
        } else {
            None
        };
        let (mut words, mut redirections) = (Vec::new(), Vec::new());
        loop {
            match self.tokens {
                [Token::Word(word), rest @ ..] if group.is_none() => {
                    words.push(word.clone());
                    self.tokens = rest;
                }
                [Token::Redirect(stream, operator), Token::Word(target), rest @ ..] => {
                    redirections.push(redirection(*stream, operator, target)?);
                    self.tokens = rest;
                }
                _ => break,
            }
        }
        match group {
            Some(list) => Ok(Command {
                body: Body::Group(list),
                redirections,
            }),
            None if words.is_empty() && redirections.is_empty() => Err(match self.tokens.first() {
                Some(token) => format!("syntax error at {token:?}"),
                None => "syntax error at the end".into(),
            }),
            None => Ok(Command {
                body: Body::Words(words),
                redirections,
            }),
        }
    }
}

fn redirection(stream: u8, operator: &str, target: &Word) -> Result<Redirection, String> {
    match operator {
        ">&" => match target.parts.as_slice() {
            [Part::Text(to)] if to == "1" || to == "2" => {
                Ok(Redirection::Duplicate(stream, if to == "1" { 1 } else { 2 }))
            }
            _ => Err("`>&` leads to 1 or 2".into()),
        },
        "<" => Ok(Redirection::From(target.clone())),
        operator => Ok(Redirection::To {
            stream,
            path: target.clone(),
            append: operator == ">>",
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scripts_are_read() {
        for good in [
            "",
            "true",
            "echo a; echo b >&2\n",
            "test -e /x && echo \"it's $HOME\" || exit 3",
            "sleep 5 & echo $!; wait",
            "# a comment\n( echo a; echo b ) > /tmp/x 2>&1",
            "{ echo a; } | cat",
            "! false && echo yes",
            "A=b echo ${A}c 'x;y' \\;",
        ] {
            parse(good).unwrap_or_else(|error| panic!("{good}: {error}"));
        }
        for bad in ["echo 'a", "a &&", "(a", "| a", "a )", ">&3"] {
            assert!(parse(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn words_keep_their_variables() {
        let list = parse("echo a\"$X\"'$Y'").unwrap();
        let Body::Words(words) = &list[0].pipeline[0].body else {
            panic!("no words")
        };
        let parts: Vec<_> = words[1]
            .parts
            .iter()
            .filter(|part| **part != Part::Text(String::new()))
            .collect();
        assert_eq!(
            parts,
            [
                &Part::Text("a".into()),
                &Part::Variable("X".into()),
                &Part::Text("$Y".into())
            ]
        );
    }
}
