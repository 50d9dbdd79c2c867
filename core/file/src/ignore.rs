//! What of a folder does not count, as `.dockerignore` says it.

use std::path::Path;

use globset::{GlobBuilder, GlobMatcher};

/// Patterns: the last that matches a path or one of its parents decides.
#[derive(Debug, Default)]
pub(crate) struct Ignored {
    patterns: Vec<(bool, GlobMatcher)>,
}

impl Ignored {
    /// Reads one pattern a line. One that cannot be read matches nothing here; whoever uses the folder says so.
    pub(crate) fn parse(text: &str) -> Self {
        let lines = text.lines().map(str::trim);
        let patterns = lines.filter(|line| !line.is_empty() && !line.starts_with('#'));
        Self {
            patterns: patterns.filter_map(pattern).collect(),
        }
    }

    /// Whether something inside an ignored folder may count after all.
    pub(crate) fn has_exceptions(&self) -> bool {
        self.patterns.iter().any(|(exception, _)| *exception)
    }

    /// Whether a path within the folder does not count.
    pub(crate) fn matches(&self, path: &Path) -> bool {
        let on_it = |glob: &GlobMatcher| {
            path.ancestors()
                .any(|part| part != Path::new("") && glob.is_match(part))
        };
        let last = self.patterns.iter().rev().find(|(_, glob)| on_it(glob));
        last.is_some_and(|(exception, _)| !exception)
    }
}

fn pattern(line: &str) -> Option<(bool, GlobMatcher)> {
    let (exception, pattern) = match line.strip_prefix('!') {
        Some(pattern) => (true, pattern.trim()),
        None => (false, line),
    };
    let pattern = pattern.trim_start_matches("./").trim_matches('/');
    let glob = GlobBuilder::new(pattern).literal_separator(true).build().ok()?;
    Some((exception, glob.compile_matcher()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_pattern_that_matches_decides() {
        let ignored = Ignored::parse("# comment\n\nartifacts\n*.log\n!keep.log\n/deep/**/x\n");
        for out in ["artifacts", "artifacts/a/b", "a.log", "deep/a/x", "deep/a/b/x"] {
            assert!(ignored.matches(Path::new(out)), "{out}");
        }
        for kept in ["keep.log", "a/b.log", "deep/y", "artifact"] {
            assert!(!ignored.matches(Path::new(kept)), "{kept}");
        }
        assert!(ignored.has_exceptions());
    }
}
