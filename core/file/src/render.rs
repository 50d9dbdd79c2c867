//! Diagnostics as text, in the manner of rustc, and as JSON.

use annotate_snippets::{AnnotationKind, Group, Level, Renderer, Snippet};
use encamp_core::Value;
use serde_json::json;

use crate::diagnose::{Diagnostic, Severity};
use crate::source::{SourceFile, SourceMap, Span};

/// A longer help goes below the excerpt.
const INLINE_HELP: usize = 60;
/// A longer line is cut around what is marked.
const MAX_LINE: usize = 2000;
/// How far a marked piece is shown.
const MAX_LINES: usize = 6;

pub(crate) fn text(diagnostics: &[Diagnostic], sources: &SourceMap, color: bool) -> String {
    let renderer = if color { Renderer::styled() } else { Renderer::plain() };
    let mut out = String::new();
    for diagnostic in diagnostics {
        out.push_str(&renderer.render(&[group(diagnostic, sources)]));
        out.push('\n');
    }
    out
}

fn group<'a>(diagnostic: &'a Diagnostic, sources: &'a SourceMap) -> Group<'a> {
    let level = match diagnostic.severity {
        Severity::Error => Level::ERROR,
        Severity::Warning => Level::WARNING,
    };
    let title = level
        .primary_title(diagnostic.message.as_str())
        .id(diagnostic.code.as_str());
    let mut group = Group::with_title(title);
    let mut help = diagnostic.help.as_deref();
    if let Some((at, file)) = diagnostic.at.and_then(|at| Some((at, sources.file(at.file)?))) {
        let inline = help
            .filter(|help| diagnostic.label.is_none() && help.chars().count() <= INLINE_HELP && !help.contains('\n'));
        let label = match inline {
            Some(help) => Some(format!("help: {help}")),
            None => diagnostic.label.clone(),
        };
        if inline.is_some() {
            help = None;
        }
        for excerpt in excerpts(diagnostic, at, label, file) {
            group = group.element(excerpt);
        }
    }
    for note in &diagnostic.notes {
        group = group.element(Level::NOTE.message(note.as_str()));
    }
    if let Some(help) = help {
        group = group.element(Level::HELP.message(help));
    }
    group
}

type Excerpt<'a> = Snippet<'a, annotate_snippets::Annotation<'a>>;

/// The lines of the primary span and of each secondary one; those that are near each other together.
fn excerpts<'a>(diagnostic: &'a Diagnostic, at: Span, label: Option<String>, file: &'a SourceFile) -> Vec<Excerpt<'a>> {
    let mut marks = vec![(at, label, AnnotationKind::Primary)];
    for secondary in diagnostic.secondary.iter().filter(|s| s.at.file == at.file) {
        marks.push((secondary.at, Some(secondary.label.clone()), AnnotationKind::Context));
    }
    marks.sort_by_key(|(span, ..)| *span);
    let mut windows: Vec<(Window, Vec<_>)> = Vec::new();
    for mark in marks {
        let window = Window::around(file, mark.0);
        match windows.last_mut() {
            Some((last, marks)) if last.joins(&window) => {
                last.last = last.last.max(window.last);
                marks.push(mark);
            }
            _ => windows.push((window, vec![mark])),
        }
    }
    windows
        .into_iter()
        .map(|(window, marks)| {
            let text = window.range(file);
            let mut snippet = Snippet::source(&file.text[text.clone()])
                .line_start(window.first + 1)
                .path(file.path.display().to_string());
            for (span, label, kind) in marks {
                let range = file.settle(span.range());
                let start = range.start.clamp(text.start, text.end);
                let end = range.end.clamp(start, text.end);
                snippet = snippet.annotation(kind.span(start - text.start..end - text.start).label(label));
            }
            snippet
        })
        .collect()
}

/// Lines of a text, the first of them cut if it is very long.
struct Window {
    first: usize,
    last: usize,
    cut: Option<(usize, usize)>,
}

impl Window {
    fn around(file: &SourceFile, span: Span) -> Self {
        let range = file.settle(span.range());
        let first = file.line_of(range.start);
        let last = file
            .line_of(range.end.saturating_sub(1).max(range.start))
            .min(first + MAX_LINES);
        let too_long = (first..=last).any(|line| file.line(line).len() > MAX_LINE);
        let cut = too_long.then(|| {
            let from = range.start.saturating_sub(MAX_LINE / 20).max(file.line_start(first));
            let line_end = file.line_start(first) + file.line(first).len();
            let to = (range.start + MAX_LINE).min(line_end);
            let settled = file.settle(from..to);
            (settled.start, settled.end)
        });
        Self {
            first,
            last: if too_long { first } else { last },
            cut,
        }
    }

    fn joins(&self, next: &Self) -> bool {
        self.cut.is_none() && next.cut.is_none() && next.first <= self.last + MAX_LINES
    }

    fn range(&self, file: &SourceFile) -> std::ops::Range<usize> {
        match self.cut {
            Some((from, to)) => from..to,
            None => file.line_start(self.first)..file.line_start(self.last) + file.line(self.last).len(),
        }
    }
}

pub(crate) fn json(diagnostics: &[Diagnostic], sources: &SourceMap) -> Value {
    diagnostics.iter().map(|diagnostic| one(diagnostic, sources)).collect()
}

fn one(diagnostic: &Diagnostic, sources: &SourceMap) -> Value {
    json!({
        "code": diagnostic.code,
        "severity": diagnostic.severity.as_str(),
        "message": diagnostic.message,
        "place": diagnostic.at.map(|at| place(at, sources)),
        "label": diagnostic.label,
        "help": diagnostic.help,
        "notes": diagnostic.notes,
        "secondary": diagnostic.secondary.iter().map(|secondary| json!({
            "place": place(secondary.at, sources),
            "label": secondary.label,
        })).collect::<Vec<_>>(),
    })
}

fn place(at: Span, sources: &SourceMap) -> Value {
    let Some(file) = sources.file(at.file) else {
        return Value::Null;
    };
    let range = file.settle(at.range());
    let (line, column) = file.position(range.start);
    let (end_line, end_column) = file.position(range.end);
    json!({
        "file": file.path.display().to_string(),
        "line": line, "column": column,
        "end_line": end_line, "end_column": end_column,
        "start": range.start, "end": range.end,
    })
}
