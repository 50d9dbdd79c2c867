//! What is wrong with a file, where, and how to mend it.

use std::collections::HashSet;
use std::fmt;
use std::ops::Range;
use std::sync::Arc;

use crate::codes::Code;
use crate::render;
use crate::source::{SourceMap, Span};
use crate::spec::Place;

/// How bad a diagnostic is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Severity {
    /// The file is refused.
    Error,
    /// The file is taken; it may not do what was meant.
    Warning,
}

impl Severity {
    /// `error` or `warning`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Error => "error",
            Self::Warning => "warning",
        }
    }
}

/// One thing that is wrong with a file.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct Diagnostic {
    /// To search for and to explain.
    pub code: Code,
    /// How bad.
    pub severity: Severity,
    /// What is wrong, in one line.
    pub message: String,
    /// Where it begins; none where it stands in no file (`--set`).
    pub place: Option<Place>,
    /// Which bytes of that file.
    pub span: Option<Range<usize>>,
    /// What stands beside the marked piece.
    pub label: Option<String>,
    /// What to write instead.
    pub help: Option<String>,
    /// What else is good to know.
    pub notes: Vec<String>,
    /// Other places that belong to it.
    pub secondary: Vec<Secondary>,
    pub(crate) at: Option<Span>,
}

/// Another place that belongs to a diagnostic.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct Secondary {
    /// Where it begins.
    pub place: Option<Place>,
    /// Which bytes of that file.
    pub span: Range<usize>,
    /// What it is.
    pub label: String,
    pub(crate) at: Span,
}

impl Diagnostic {
    fn new(code: Code, severity: Severity, at: Option<Span>, message: impl Into<String>) -> Self {
        Self {
            code,
            severity,
            message: message.into(),
            place: None,
            span: None,
            label: None,
            help: None,
            notes: Vec::new(),
            secondary: Vec::new(),
            at,
        }
    }

    pub(crate) fn error(code: Code, at: impl Into<Option<Span>>, message: impl Into<String>) -> Self {
        Self::new(code, Severity::Error, at.into(), message)
    }

    pub(crate) fn warning(code: Code, at: impl Into<Option<Span>>, message: impl Into<String>) -> Self {
        Self::new(code, Severity::Warning, at.into(), message)
    }

    #[must_use]
    pub(crate) fn label(mut self, label: impl Into<String>) -> Self {
        self.label = Some(label.into());
        self
    }

    #[must_use]
    pub(crate) fn help(mut self, help: impl Into<Option<String>>) -> Self {
        self.help = help.into().or(self.help);
        self
    }

    #[must_use]
    pub(crate) fn note(mut self, note: impl Into<String>) -> Self {
        self.notes.push(note.into());
        self
    }

    #[must_use]
    pub(crate) fn secondary(mut self, at: Span, label: impl Into<String>) -> Self {
        self.secondary.push(Secondary {
            place: None,
            span: at.range(),
            label: label.into(),
            at,
        });
        self
    }

    fn settle(&mut self, sources: &SourceMap) {
        if let Some(at) = self.at {
            self.place = sources.place(at);
            self.span = sources.file(at.file).map(|file| file.settle(at.range()));
        }
        for secondary in &mut self.secondary {
            secondary.place = sources.place(secondary.at);
        }
    }
}

/// More would help nobody.
const MAX_DIAGNOSTICS: usize = 200;

/// What has been found so far.
#[derive(Debug, Default)]
pub(crate) struct Findings {
    list: Vec<Diagnostic>,
    seen: HashSet<(Code, Option<Span>, Option<String>)>,
    errors: usize,
}

impl Findings {
    /// Keeps a diagnostic; the same code at the same place once (the members of a group share their text).
    pub(crate) fn add(&mut self, diagnostic: Diagnostic) {
        let message = diagnostic.at.is_none().then(|| diagnostic.message.clone());
        if !self.seen.insert((diagnostic.code, diagnostic.at, message)) {
            return;
        }
        let is_error = diagnostic.severity == Severity::Error;
        self.errors += usize::from(is_error);
        if self.list.len() < MAX_DIAGNOSTICS || (is_error && self.errors == 1) {
            self.list.push(diagnostic);
        }
    }

    pub(crate) fn errors(&self) -> usize {
        self.errors
    }

    /// Places filled in, in the order of the file.
    pub(crate) fn settle(mut self, sources: &SourceMap) -> Vec<Diagnostic> {
        for diagnostic in &mut self.list {
            diagnostic.settle(sources);
        }
        self.list
            .sort_by_key(|diagnostic| (diagnostic.at.is_some(), diagnostic.at, diagnostic.code));
        self.list
    }
}

/// A file that is refused: everything that is wrong with it.
#[derive(Debug)]
pub struct Failure {
    pub(crate) diagnostics: Vec<Diagnostic>,
    pub(crate) sources: Arc<SourceMap>,
}

impl Failure {
    /// Errors and warnings, in the order of the file; at least one error.
    pub fn diagnostics(&self) -> &[Diagnostic] {
        &self.diagnostics
    }

    /// All of them with their excerpts.
    pub fn render(&self, color: bool) -> String {
        render::text(&self.diagnostics, &self.sources, color)
    }

    /// All of them as a JSON list.
    pub fn to_json(&self) -> encamp_core::Value {
        render::json(&self.diagnostics, &self.sources)
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut errors = self.diagnostics.iter().filter(|d| d.severity == Severity::Error);
        let Some(first) = errors.next() else {
            return f.write_str("the environment file is refused");
        };
        if let Some(place) = &first.place {
            write!(f, "{place}: ")?;
        }
        write!(f, "{} [{}]", first.message, first.code)?;
        match errors.count() {
            0 => Ok(()),
            more => write!(f, " (and {more} more)"),
        }
    }
}

impl std::error::Error for Failure {}
