//! One load: what is known, what was found, and the evaluation of expressions while loading.

use std::collections::{BTreeSet, HashMap};
use std::path::Path;
use std::sync::{Arc, Mutex};

use encamp_core::Value as Json;
use minijinja::ErrorKind;

use crate::codes;
use crate::diagnose::{Diagnostic, Findings};
use crate::expr::{Evaluated, Expr, Trouble};
use crate::files::Files;
use crate::kinds::Kinds;
use crate::load::Load;
use crate::nearest;
use crate::objects::{Ctx, Fault, Record};
use crate::page::Pages;
use crate::refs::{self, Here};
use crate::scan::{self, Chain};
use crate::source::{SourceMap, Sources, Span};
use crate::template::Template;
use crate::text::Text;
use crate::world::{Target, View, World};

/// All rendered text of one load together.
const MAX_RENDERED: usize = 64 * 1024 * 1024;

/// One load.
pub(crate) struct Cx<'a> {
    pub(crate) sources: SourceMap,
    pub(crate) kinds: &'a Kinds,
    /// Where files are read from.
    pub(crate) disk: &'a dyn Sources,
    /// The folder that relative paths start from.
    pub(crate) folder: &'a Path,
    /// Lets a secret stand where it can be seen.
    pub(crate) allow_visible: bool,
    pub(crate) findings: Findings,
    pub(crate) world: Arc<World>,
    /// What the machine at hand waits for, and where it says so.
    pub(crate) awaits: Vec<(Target, Span)>,
    /// The machine at hand differs from its siblings.
    pub(crate) used_me: bool,
    pub(crate) texts: HashMap<Span, Text>,
    templates: HashMap<Span, Option<Arc<Template>>>,
    checked: HashMap<Key, bool>,
    known: HashMap<Key, Known>,
    pub(crate) files: Files,
    pub(crate) pages: Pages,
    /// Inputs that have no value, which is reported: what speaks of them would only say it again.
    pub(crate) broken_inputs: BTreeSet<String>,
    rendered: usize,
    pub(crate) exhausted: bool,
}

/// An expression: its string and where in that it begins.
type Key = (Span, usize);

#[derive(Debug, Clone)]
struct Known {
    value: Json,
    awaits: BTreeSet<Target>,
}

/// Where a value stands and who reads it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Scope<'a> {
    pub(crate) view: View,
    /// The name of the stage, in a task.
    pub(crate) stage: Option<&'a str>,
    /// The machine's own facts exist when this is read: in a task.
    pub(crate) runs: bool,
    /// Its strings are taken as they are.
    pub(crate) raw: bool,
}

impl Scope<'_> {
    /// Where it is decided which machines there are.
    pub(crate) const EARLY: Self = Scope {
        view: View::Early,
        stage: None,
        runs: false,
        raw: false,
    };

    /// In the table of a machine.
    pub(crate) fn of_machine(target: Target) -> Self {
        Scope {
            view: View::Member(target),
            stage: None,
            runs: false,
            raw: false,
        }
    }
}

/// What is known of an expression's value while loading.
#[derive(Debug, Clone)]
pub(crate) enum Step {
    Known(Json),
    /// Known once these run.
    Late(BTreeSet<Target>),
    /// Known before anything is made, but not while loading: another for each member of the group, or a number that a
    /// port is given.
    Differs,
    /// Known, but never while loading.
    Secret,
}

impl<'a> Cx<'a> {
    pub(crate) fn new(sources: SourceMap, load: &Load<'a>, findings: Findings) -> Self {
        Self {
            sources,
            kinds: load.kinds,
            disk: load.sources,
            folder: load.folder(),
            allow_visible: load.allow_visible,
            findings,
            world: Arc::default(),
            awaits: Vec::new(),
            used_me: false,
            texts: HashMap::new(),
            templates: HashMap::new(),
            checked: HashMap::new(),
            known: HashMap::new(),
            files: Files::default(),
            pages: Pages::default(),
            broken_inputs: BTreeSet::new(),
            rendered: 0,
            exhausted: false,
        }
    }

    pub(crate) fn add(&mut self, diagnostic: Diagnostic) {
        self.findings.add(diagnostic);
    }

    /// The compiled form of a string; none if it cannot be read.
    pub(crate) fn template(&mut self, span: Span, source: &str) -> Option<Arc<Template>> {
        if let Some(template) = self.templates.get(&span) {
            return template.clone();
        }
        let template = Template::compile(span, source, &self.sources, &mut self.findings).map(Arc::new);
        self.templates.insert(span, template.clone());
        template
    }

    /// The value of an expression, as far as it is known; none if it is wrong.
    pub(crate) fn step(&mut self, template: &Template, expr: &Expr, scope: Scope<'_>) -> Option<Step> {
        let key = (template.span, expr.range.start);
        if !self.refs_hold(key, template, expr, scope) || self.exhausted || self.speaks_of_broken(expr) {
            return None;
        }
        self.used_me |= expr.uses_me;
        if let Some(known) = self.known.get(&key) {
            let known = known.clone();
            self.note_awaits_of(&known.awaits, template, expr);
            return self.spend(Step::Known(known.value), template);
        }
        let (view, differs) = match scope.view {
            View::Member(target) => {
                let member = refs::some_member(target, &self.world);
                (View::Member(member), member != target && expr.uses_me)
            }
            other => (other, false),
        };
        let Evaluated { value, record } = expr.evaluate(Ctx {
            world: Arc::clone(&self.world),
            view,
            stage: scope.stage.map(str::to_owned),
            facts: None,
            record: Mutex::default(),
        });
        let Record {
            mut late,
            awaits,
            allotted,
            fault,
        } = record;
        if let Some(fault) = fault {
            self.fault(template, expr, &fault);
            return None;
        }
        let hidden = expr.is_secret() && !is_certain(&value);
        if !late.is_empty() && !is_certain(&value) {
            late.extend(awaits);
            late.extend(refs::may_read(&expr.chains, self.here(scope)));
            return self.late(late, template, expr, scope);
        }
        self.note_awaits_of(&awaits, template, expr);
        if hidden {
            return Some(Step::Secret);
        }
        let value = self.value(value, template, expr)?;
        if differs || allotted {
            return Some(Step::Differs);
        }
        if !expr.uses_me {
            let value = value.clone();
            self.known.insert(key, Known { value, awaits });
        }
        self.spend(Step::Known(value), template)
    }

    fn speaks_of_broken(&self, expr: &Expr) -> bool {
        let input = |chain: &Chain| match chain.steps.first() {
            Some(scan::Step::Name(word)) if chain.root.text == "inputs" => self.broken_inputs.contains(&word.text),
            _ => false,
        };
        !self.broken_inputs.is_empty() && expr.chains.iter().any(input)
    }

    pub(crate) fn here(&self, scope: Scope<'_>) -> Here<'_> {
        Here {
            world: &self.world,
            view: scope.view,
            has_stage: scope.stage.is_some(),
        }
    }

    fn refs_hold(&mut self, key: Key, template: &Template, expr: &Expr, scope: Scope<'_>) -> bool {
        if let Some(hold) = self.checked.get(&key) {
            return *hold;
        }
        let misfits: Vec<_> = {
            let here = self.here(scope);
            expr.chains
                .iter()
                .filter_map(|chain| refs::check(chain, here).err())
                .collect()
        };
        self.checked.insert(key, misfits.is_empty());
        for (range, fault) in &misfits {
            let at = template.at_in(expr, range, &self.sources);
            self.add(Diagnostic::error(fault.code, at, fault.message.clone()).help(fault.help.clone()));
        }
        misfits.is_empty()
    }

    fn late(&mut self, late: BTreeSet<Target>, template: &Template, expr: &Expr, scope: Scope<'_>) -> Option<Step> {
        if let View::Member(me) = scope.view
            && !scope.runs
        {
            if late.iter().any(|target| target.decl == me.decl) {
                let at = self.span_of(template, expr);
                self.refuse_own(me, at);
                return None;
            }
            self.note_awaits_of(&late, template, expr);
        }
        Some(Step::Late(late))
    }

    /// Refuses what a machine's own description says of it running.
    pub(crate) fn refuse_own(&mut self, me: Target, at: Span) {
        let name = &self.world.decl(me).name;
        let message = format!("`{name}` would have to run before it is made: this is known only then");
        let help = "names, `index`, `port('…')` and, within its own group, `endpoint('…')` are known from the start";
        self.add(Diagnostic::error(codes::CYCLE, at, message).help(help.to_owned()));
    }

    fn note_awaits_of(&mut self, awaits: &BTreeSet<Target>, template: &Template, expr: &Expr) {
        if awaits.is_empty() {
            return;
        }
        let at = self.span_of(template, expr);
        self.note_awaits(awaits, at);
    }

    pub(crate) fn note_awaits(&mut self, awaits: &BTreeSet<Target>, at: Span) {
        self.awaits.extend(awaits.iter().map(|target| (*target, at)));
    }

    /// Where an expression stands, without the spaces around it.
    pub(crate) fn span_of(&self, template: &Template, expr: &Expr) -> Span {
        let start = expr.text.len() - expr.text.trim_start().len();
        template.at_in(expr, &(start..start + expr.text.trim().len()), &self.sources)
    }

    fn fault(&mut self, template: &Template, expr: &Expr, fault: &Fault) {
        let at = self.span_of(template, expr);
        self.add(Diagnostic::error(fault.code, at, fault.message.clone()).help(fault.help.clone()));
    }

    fn value(&mut self, value: Result<Json, Trouble>, template: &Template, expr: &Expr) -> Option<Json> {
        let error = match value {
            Ok(value) => return Some(value),
            Err(Trouble::Value(fault)) => {
                self.fault(template, expr, &fault);
                return None;
            }
            Err(Trouble::Engine(error)) => error,
        };
        let detail = error.detail().map_or_else(|| error.kind().to_string(), str::to_owned);
        let (code, message) = match error.kind() {
            ErrorKind::OutOfFuel => {
                // Each further one would take as long again.
                self.exhausted = true;
                (
                    codes::COSTLY_EXPRESSION,
                    "this expression takes too much work".to_owned(),
                )
            }
            ErrorKind::UnknownFilter => (
                codes::UNKNOWN_ATTRIBUTE,
                unknown_filter(&expr.text, error.range(), &detail),
            ),
            ErrorKind::UnknownTest | ErrorKind::UnknownFunction | ErrorKind::UnknownMethod => {
                (codes::UNKNOWN_ATTRIBUTE, detail)
            }
            ErrorKind::UndefinedError => (
                codes::UNKNOWN_VARIABLE,
                format!("something here is not defined: {detail}"),
            ),
            _ => (
                codes::FAILED_EXPRESSION,
                format!("this expression has no value: {detail}"),
            ),
        };
        let at = match error.range() {
            Some(range) if !range.is_empty() && range.end <= expr.text.len() => {
                template.at_in(expr, &range, &self.sources)
            }
            _ => self.span_of(template, expr),
        };
        self.add(Diagnostic::error(code, at, message));
        None
    }

    fn spend(&mut self, step: Step, template: &Template) -> Option<Step> {
        let weight = match &step {
            Step::Known(value) => weight(value),
            Step::Late(_) | Step::Differs | Step::Secret => 0,
        };
        self.spend_bytes(weight, template.span).then_some(step)
    }

    /// Whether so much more may be rendered.
    pub(crate) fn spend_bytes(&mut self, bytes: usize, at: Span) -> bool {
        self.rendered = self.rendered.saturating_add(bytes);
        if self.rendered <= MAX_RENDERED {
            return true;
        }
        self.exhausted = true;
        let message = format!(
            "the rendered texts of this file have more than {} MiB",
            MAX_RENDERED >> 20
        );
        self.add(Diagnostic::error(codes::TOO_LARGE, at, message));
        false
    }
}

/// Filters that are worth being offered.
const FILTERS: [&str; 26] = [
    "each", "join", "default", "upper", "lower", "replace", "trim", "split", "length", "first", "last", "list", "map",
    "select", "reject", "sort", "unique", "reverse", "int", "float", "string", "bool", "min", "max", "sum", "tojson",
];

pub(crate) fn unknown_filter(text: &str, range: Option<std::ops::Range<usize>>, detail: &str) -> String {
    let Some(name) = range.and_then(|range| text.get(range)) else {
        return detail.to_owned();
    };
    match nearest::did_you_mean(name, FILTERS) {
        Some(help) => format!("there is no filter `{name}`: {help}"),
        None => format!("there is no filter `{name}`"),
    }
}

/// Whether an evaluation failed for a reason that no later value can mend.
fn is_certain(value: &Result<Json, Trouble>) -> bool {
    matches!(value, Err(Trouble::Engine(error)) if matches!(
        error.kind(),
        ErrorKind::UnknownFilter | ErrorKind::UnknownTest | ErrorKind::UnknownFunction
            | ErrorKind::UnknownMethod | ErrorKind::OutOfFuel
    ))
}

fn weight(value: &Json) -> usize {
    match value {
        Json::String(text) => text.len() + 16,
        Json::Array(items) => items.iter().map(weight).sum::<usize>() + 16,
        Json::Object(object) => object.values().map(weight).sum::<usize>() + 16,
        _ => 16,
    }
}
