//! A string of the file, cut at its expressions and compiled.

use std::ops::Range;
use std::sync::Arc;

use crate::codes;
use crate::diagnose::{Diagnostic, Findings};
use crate::expr::{Expr, MAX_EXPRESSION};
use crate::literal;
use crate::scan::{self, Piece};
use crate::source::{SourceMap, Span};

/// A string and its expressions.
#[derive(Debug)]
pub(crate) struct Template {
    /// The string's literal in the file.
    pub(crate) span: Span,
    pub(crate) source: String,
    pub(crate) parts: Vec<Part>,
}

/// A piece of a string.
#[derive(Debug)]
pub(crate) enum Part {
    Literal(Range<usize>),
    Expr(Arc<Expr>),
}

impl Template {
    /// Adds what is wrong with it to the findings.
    pub(crate) fn compile(span: Span, source: &str, sources: &SourceMap, findings: &mut Findings) -> Option<Self> {
        let mut template = Self {
            span,
            source: source.to_owned(),
            parts: Vec::new(),
        };
        let pieces = match scan::split(source) {
            Ok(pieces) => pieces,
            Err(unclosed) => {
                let at = template.at(unclosed.at, sources);
                let help = "for the braces themselves write `{{ '{{' }}`".to_owned();
                findings.add(Diagnostic::error(codes::BAD_EXPRESSION, at, unclosed.message).help(help));
                return None;
            }
        };
        let mut whole = true;
        for piece in pieces {
            match piece {
                Piece::Literal(range) => template.parts.push(Part::Literal(range)),
                Piece::Expr(range) => match template.expression(range, sources) {
                    Ok(expr) => template.parts.push(Part::Expr(Arc::new(expr))),
                    Err(diagnostic) => {
                        findings.add(*diagnostic);
                        whole = false;
                    }
                },
            }
        }
        whole.then_some(template)
    }

    fn expression(&self, range: Range<usize>, sources: &SourceMap) -> Result<Expr, Box<Diagnostic>> {
        let text = &self.source[range.clone()];
        let around = range.start - 2..range.end + 2;
        if text.trim().is_empty() {
            let at = self.at(around, sources);
            return Err(Box::new(Diagnostic::error(
                codes::BAD_EXPRESSION,
                at,
                "this expression is empty",
            )));
        }
        if text.len() > MAX_EXPRESSION {
            let at = self.at(around, sources);
            let message = format!("this expression has more than {MAX_EXPRESSION} bytes");
            return Err(Box::new(Diagnostic::error(codes::TOO_LARGE, at, message)));
        }
        if scan::is_too_deep(text) {
            let at = self.at(around, sources);
            let message = "this expression is too long or nests too deeply";
            return Err(Box::new(Diagnostic::error(codes::TOO_LARGE, at, message)));
        }
        Expr::compile(text, range.clone()).map_err(|error| {
            let at = match error.range() {
                Some(inner) if !inner.is_empty() && inner.end <= text.len() => {
                    range.start + inner.start..range.start + inner.end
                }
                _ => around,
            };
            let detail = error.detail().unwrap_or("it cannot be read").to_owned();
            let message = format!("this expression cannot be read: {detail}");
            Box::new(Diagnostic::error(codes::BAD_EXPRESSION, self.at(at, sources), message))
        })
    }

    /// Where a piece of the string stands in the file.
    pub(crate) fn at(&self, range: Range<usize>, sources: &SourceMap) -> Span {
        match literal::locate(sources.text(self.span), &self.source, range) {
            Some(inner) => {
                let start = self.span.start as usize;
                Span::new(self.span.file, start + inner.start..start + inner.end)
            }
            None => self.span,
        }
    }

    /// Where a piece of one of its expressions stands in the file.
    pub(crate) fn at_in(&self, expr: &Expr, range: &Range<usize>, sources: &SourceMap) -> Span {
        self.at(expr.range.start + range.start..expr.range.start + range.end, sources)
    }

    pub(crate) fn exprs(&self) -> impl Iterator<Item = &Arc<Expr>> {
        self.parts.iter().filter_map(|part| match part {
            Part::Expr(expr) => Some(expr),
            Part::Literal(_) => None,
        })
    }

    /// The expression that the string is, if it is exactly one.
    pub(crate) fn whole(&self) -> Option<&Arc<Expr>> {
        match self.parts.as_slice() {
            [Part::Expr(expr)] => Some(expr),
            _ => None,
        }
    }

    pub(crate) fn uses_me(&self) -> bool {
        self.exprs().any(|expr| expr.uses_me)
    }
}
