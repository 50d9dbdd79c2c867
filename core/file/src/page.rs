//! Template files while loading: read once, checked by their text, and rendered once with what is known.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::ops::Range;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};

use encamp_core::{Name, Value as Json, fill_late};
use minijinja::ErrorKind;
use sha2::{Digest as _, Sha256};

use crate::built::Built;
use crate::codes;
use crate::cx::{Cx, Scope, unknown_filter};
use crate::diagnose::Diagnostic;
use crate::files::Referred;
use crate::hash;
use crate::jinja::{self, Compiled, Rendered};
use crate::nearest;
use crate::objects::Ctx;
use crate::refs;
use crate::scan::{self, Chain};
use crate::source::{MAX_BYTES, Span};
use crate::template_file::{Inner, Template};
use crate::world::{Target, View};

/// What every template knows.
pub(crate) const KNOWN: [&str; 5] = ["inputs", "machines", "me", "secret", "stage"];
/// The work that all templates of a file may cost together.
const MAX_FUEL: u64 = 10_000_000;
/// The longest line of a template; the engine counts columns no further.
const MAX_LINE: usize = 65_000;
/// What would take in other files.
const OTHER_FILES: [&str; 4] = ["include", "import", "from", "extends"];
/// What stands for a variable that is not known yet.
const NOT_YET: &str = "192.0.2.1";

/// The template files of one load.
#[derive(Debug, Default)]
pub(crate) struct Pages {
    read: HashMap<PathBuf, Option<Arc<Page>>>,
    checked: HashSet<(u32, Option<usize>)>,
    /// The work that all templates together took.
    fuel: u64,
}

/// A template file.
#[derive(Debug)]
struct Page {
    file: u32,
    compiled: Arc<Compiled>,
    /// What its expressions and blocks speak of, by place in the file.
    chains: Vec<Chain>,
}

impl Page {
    fn source(&self) -> &str {
        &self.compiled.source
    }

    fn at(&self, range: Range<usize>) -> Span {
        Span::new(self.file, range)
    }

    fn speaks_of(&self, root: &str) -> bool {
        self.chains.iter().any(|chain| chain.root.text == root)
    }
}

impl Cx<'_> {
    /// A template file with the variables of its step.
    pub(crate) fn template_file(
        &mut self,
        referred: &Referred,
        step: Span,
        vars: &Built,
        scope: Scope<'_>,
    ) -> Option<Template> {
        let page = self.page(referred, step)?;
        let noted = self.awaits.len();
        if !self.names_hold(&page, scope) || self.exhausted {
            return None;
        }
        self.used_me |= page.speaks_of("me");
        let tree = vars.tree();
        let texts: Vec<_> = tree.late().map(|(_, text)| text.clone()).collect();
        let mut secrets: BTreeSet<Name> = page.chains.iter().filter_map(Chain::secret).collect();
        secrets.extend(texts.iter().flat_map(|text| text.secrets().iter().cloned()));
        let mut late: BTreeSet<Target> = BTreeSet::new();
        let is_open = !texts.is_empty() || page.speaks_of("secret");
        let Rendered { text, fuel, record } = page.compiled.evaluate(&known_now(&tree), self.ctx(scope));
        if let Some(fault) = record.fault {
            let at = text
                .as_ref()
                .err()
                .and_then(|error| jinja::range(error, page.source()))
                .unwrap_or(0..0);
            self.add(Diagnostic::error(fault.code, page.at(at), fault.message).help(fault.help));
            return None;
        }
        let may_mend = is_open || !record.late.is_empty();
        let rendered = match text {
            Ok(text) => text,
            Err(error) if may_mend && !jinja::is_certain(&error) => String::new(),
            Err(error) => {
                let skeleton = tree.skeleton();
                let names = skeleton.as_object().into_iter().flat_map(serde_json::Map::keys);
                let names: Vec<&str> = names.map(String::as_str).collect();
                self.cannot_be_rendered((page.file, page.source()), &error, step, &names);
                return None;
            }
        };
        if !self.spend_bytes(rendered.len(), step) || !self.spend_fuel(fuel, step) {
            return None;
        }
        if !record.late.is_empty() {
            self.own_is_refused(&page, &record.late, scope)?;
            late.extend(record.late.iter().chain(&record.awaits));
            late.extend(self.may_read(&page, scope));
        }
        let mut needs: BTreeSet<Name> = texts.iter().flat_map(|text| text.needs().iter().cloned()).collect();
        if !scope.runs {
            let awaits = record.awaits.union(&late).copied().collect();
            self.note_awaits(&awaits, step);
        }
        let world = Arc::clone(&self.world);
        let noted = self.awaits[noted..].iter().map(|(target, _)| *target);
        let targets: BTreeSet<Target> = late.iter().copied().chain(noted).chain(record.awaits).collect();
        needs.extend(targets.iter().flat_map(|target| world.machines(*target)).cloned());
        Some(Template::new(Inner {
            file: referred.path.clone(),
            digest: digest(page.source(), &rendered, &tree.skeleton()),
            page: Arc::clone(&page.compiled),
            late: !late.is_empty() || texts.iter().any(crate::text::Text::is_late),
            vars: tree,
            needs,
            secrets,
            world,
            stage: scope.stage.map(str::to_owned),
        }))
    }

    /// Whether so much more work may be done.
    fn spend_fuel(&mut self, fuel: u64, at: Span) -> bool {
        self.pages.fuel = self.pages.fuel.saturating_add(fuel);
        if self.pages.fuel > MAX_FUEL && !self.exhausted {
            self.exhausted = true;
            let message = "the templates of this file take too much work together";
            let help = "most of it is done once for each member of a group whose templates speak of `me`".to_owned();
            self.add(Diagnostic::error(codes::COSTLY_EXPRESSION, at, message).help(help));
        }
        self.pages.fuel <= MAX_FUEL
    }

    fn ctx(&self, scope: Scope<'_>) -> Ctx {
        let view = match scope.view {
            View::Member(target) => View::Member(refs::some_member(target, &self.world)),
            other => other,
        };
        Ctx {
            world: Arc::clone(&self.world),
            view,
            stage: scope.stage.map(str::to_owned),
            facts: None,
            record: Mutex::default(),
        }
    }

    fn page(&mut self, referred: &Referred, step: Span) -> Option<Arc<Page>> {
        if let Some(known) = self.pages.read.get(&referred.path) {
            return known.clone();
        }
        let page = self.read_page(referred, step).map(Arc::new);
        self.pages.read.insert(referred.path.clone(), page.clone());
        page
    }

    fn read_page(&mut self, referred: &Referred, step: Span) -> Option<Page> {
        let shown = referred.path.display();
        let source = match self.disk.read(&referred.path) {
            Ok(source) if source.len() <= MAX_BYTES => source,
            Ok(_) => {
                let message = format!("the template `{shown}` has more than {} MiB", MAX_BYTES >> 20);
                self.add(Diagnostic::error(codes::TOO_LARGE, step, message));
                return None;
            }
            Err(error) => {
                let message = format!("the template `{shown}` cannot be read: {error}");
                self.add(Diagnostic::error(codes::NO_FILE, step, message));
                return None;
            }
        };
        let file = self.sources.add(referred.path.clone(), source.clone());
        let alive = alive(&source);
        if source.lines().any(|line| line.len() > MAX_LINE) {
            let message = format!("a line of the template `{shown}` has more than {MAX_LINE} bytes");
            self.add(Diagnostic::error(codes::TOO_LARGE, step, message));
            return None;
        }
        let depth = blocks_deep(&source, &alive);
        let too_deep = |range: &Range<usize>| scan::is_too_deep(&source[range.clone()]);
        let deep = alive.iter().map(|(range, _)| range.clone()).find(too_deep);
        if let Some(at) = deep.or(depth) {
            let message = "this is too long or nests too deeply";
            self.add(Diagnostic::error(codes::TOO_LARGE, Span::new(file, at), message));
            return None;
        }
        let compiled = match Compiled::new(&source) {
            Ok(compiled) => Arc::new(compiled),
            Err(error) => {
                self.cannot_be_rendered((file, &source), &error, step, &[]);
                return None;
            }
        };
        let mut chains = Vec::new();
        for (range, _) in alive {
            let found = scan::chains(&source[range.clone()]);
            let known = found
                .into_iter()
                .filter(|chain| KNOWN.contains(&chain.root.text.as_str()));
            chains.extend(known.map(|chain| chain.moved(range.start)));
        }
        Some(Page { file, compiled, chains })
    }

    /// Whether what its text speaks of is there; once for all who see the same.
    fn names_hold(&mut self, page: &Page, scope: Scope<'_>) -> bool {
        let view = match scope.view {
            View::Member(target) => Some(target.decl),
            View::Early | View::Controller => None,
        };
        let misfits: Vec<_> = {
            let here = self.here(scope);
            page.chains
                .iter()
                .filter_map(|chain| refs::check(chain, here).err())
                .collect()
        };
        let first = self.pages.checked.insert((page.file, view));
        for (range, fault) in misfits.iter().filter(|_| first) {
            let at = page.at(range.clone());
            self.add(Diagnostic::error(fault.code, at, fault.message.clone()).help(fault.help.clone()));
        }
        misfits.is_empty()
    }

    /// What a branch that was not taken reads, by its text. A list that is merely walked is none: what it reads of each
    /// member was seen, and to wait for all of it would make circles of what is none.
    fn may_read(&self, page: &Page, scope: Scope<'_>) -> BTreeSet<Target> {
        let named = |chain: &&Chain| {
            let mut fields = chain.steps.iter().skip(1);
            fields.any(|step| matches!(step, scan::Step::Name(_)))
        };
        let chains: Vec<Chain> = page.chains.iter().filter(named).cloned().collect();
        let mut targets = refs::may_read(&chains, self.here(scope));
        if let View::Member(me) = scope.view {
            targets.retain(|target| target.decl != me.decl);
        }
        targets
    }

    /// A machine's description cannot hold what is known only once it runs.
    fn own_is_refused(&mut self, page: &Page, late: &BTreeSet<Target>, scope: Scope<'_>) -> Option<()> {
        let View::Member(me) = scope.view else { return Some(()) };
        if scope.runs || !late.iter().any(|target| target.decl == me.decl) {
            return Some(());
        }
        let own = &self.world.decl(me).name;
        let speaks = |chain: &&Chain| match chain.root.text.as_str() {
            "me" => true,
            _ => matches!(chain.steps.first(), Some(scan::Step::Name(word)) if word.text == own.as_str()),
        };
        let chain = page.chains.iter().find(speaks);
        let at = page.at(chain.map_or(0..0, |chain| chain.root.range.clone()));
        self.refuse_own(me, at);
        None
    }

    fn cannot_be_rendered(&mut self, (file, source): (u32, &str), error: &minijinja::Error, step: Span, vars: &[&str]) {
        let range = jinja::range(error, source).unwrap_or_else(|| self.line(file, error.line()));
        let marked = source.get(range.clone()).unwrap_or_default().trim();
        let detail = error.detail().map_or_else(|| error.kind().to_string(), str::to_owned);
        let (code, message) = match error.kind() {
            ErrorKind::OutOfFuel => {
                self.exhausted = true;
                (codes::COSTLY_EXPRESSION, "this template takes too much work".to_owned())
            }
            ErrorKind::SyntaxError => (codes::BAD_TEMPLATE, format!("this template cannot be read: {detail}")),
            ErrorKind::UndefinedError => {
                let what = match error.detail() {
                    Some(detail) => detail.to_owned(),
                    None if marked.is_empty() || marked.len() > 60 => "something here is not defined".to_owned(),
                    None => format!("`{marked}` is not defined"),
                };
                (codes::UNKNOWN_VARIABLE, what)
            }
            ErrorKind::UnknownFilter => {
                let message = unknown_filter(source, Some(range.clone()), &detail);
                (codes::UNKNOWN_ATTRIBUTE, message)
            }
            ErrorKind::UnknownTest | ErrorKind::UnknownFunction | ErrorKind::UnknownMethod => {
                (codes::UNKNOWN_ATTRIBUTE, detail)
            }
            _ => (codes::BAD_TEMPLATE, format!("this has no value: {detail}")),
        };
        let help = match code {
            codes::UNKNOWN_VARIABLE => nearest::did_you_mean(marked, KNOWN.into_iter().chain(vars.iter().copied()))
                .or_else(|| {
                    Some(format!(
                        "a template knows {}, and the `vars` of its step",
                        nearest::listed(KNOWN)
                    ))
                }),
            _ if OTHER_FILES.contains(&marked) => {
                Some("a template is one file, which no other is taken into".to_owned())
            }
            _ => None,
        };
        let mut diagnostic = Diagnostic::error(code, Span::new(file, range), message).help(help);
        if let Some(place) = self.sources.place(step) {
            diagnostic = diagnostic.note(format!("the step that renders it stands at {place}"));
        }
        self.add(diagnostic);
    }

    /// A whole line, where nothing more exact is known.
    fn line(&self, file: u32, line: Option<usize>) -> Range<usize> {
        let line = line.unwrap_or(1).saturating_sub(1);
        self.sources.file(file).map_or(0..0, |file| {
            let start = file.line_start(line);
            start..start + file.line(line).len()
        })
    }
}

/// The variables, with something in the place of what is late.
fn known_now(tree: &crate::tree::Tree) -> Json {
    let mut vars = tree.skeleton();
    let late = tree.late().map(|(pointer, _)| (pointer, Json::from(NOT_YET)));
    fill_late(&mut vars, &late.collect());
    vars
}

/// Of the template, of what it gives with what is known now, and of its variables.
fn digest(source: &str, rendered: &str, vars: &Json) -> String {
    let mut hasher = Sha256::new();
    for piece in [source, rendered, &vars.to_string()] {
        hasher.update(piece.len().to_le_bytes());
        hasher.update(piece);
    }
    hash::hex(&hasher.finalize())
}

/// What stands between the braces of a template, and whether it is a block; raw text and comments are none.
fn alive(source: &str) -> Vec<(Range<usize>, bool)> {
    let mut found = Vec::new();
    let mut from = 0;
    while let Some(open) = source[from..].find('{').map(|at| from + at) {
        let rest = &source[open..];
        from = if rest.starts_with("{#") {
            rest.find("#}").map_or(source.len(), |end| open + end + 2)
        } else if rest.starts_with("{{") || rest.starts_with("{%") {
            let block = rest.starts_with("{%");
            let close = scan::end(source, open + 2, if block { "%}" } else { "}}" });
            let inside = &source[open + 2..close];
            found.push((open + 2..close, block));
            let after = (close + 2).min(source.len());
            if block && word(inside) == "raw" {
                end_of_raw(source, after)
            } else {
                after
            }
        } else {
            open + 1
        };
    }
    found
}

/// The first word of a block.
fn word(inside: &str) -> &str {
    let inside = inside.trim_start_matches(['-', '+']).trim_start();
    let end = inside.find(|c: char| !c.is_ascii_alphabetic()).unwrap_or(inside.len());
    &inside[..end]
}

fn end_of_raw(source: &str, from: usize) -> usize {
    let mut at = from;
    while let Some(open) = source[at..].find("{%").map(|found| at + found) {
        at = open + 2;
        if word(&source[at..]) == "endraw" {
            return open;
        }
    }
    source.len()
}

/// How deep blocks may lie in each other.
const MAX_BLOCKS: usize = 48;

/// Where blocks lie too deep in each other for a parser that recurs; each `elif` lies in the one before it.
fn blocks_deep(source: &str, alive: &[(Range<usize>, bool)]) -> Option<Range<usize>> {
    let mut open: Vec<usize> = Vec::new();
    let mut depth = 0_usize;
    for (range, _) in alive.iter().filter(|(_, block)| *block) {
        let inside = &source[range.clone()];
        match word(inside) {
            // With a value it has no end.
            "set" if inside.contains('=') => {}
            "for" | "if" | "macro" | "call" | "filter" | "with" | "set" | "autoescape" | "block" => {
                open.push(1);
                depth += 1;
            }
            "elif" => {
                if let Some(last) = open.last_mut() {
                    *last += 1;
                    depth += 1;
                }
            }
            name if name.starts_with("end") => depth -= open.pop().unwrap_or(0),
            _ => {}
        }
        if depth > MAX_BLOCKS {
            return Some(range.clone());
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_alive_in_a_template() {
        let source =
            "a {{ b }} {# {{ c }} #} {%- raw -%} {{ d }} {% endraw %} {% if '%}' %}{{ '}}' }}{% endif %} { e }";
        let found: Vec<&str> = alive(source)
            .into_iter()
            .map(|(range, _)| source[range].trim())
            .collect();
        assert_eq!(found, ["b", "- raw -", "endraw", "if '%}'", "'}}'", "endif"]);
    }
}
