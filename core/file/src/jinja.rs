//! The engine of template files: the whole of Jinja, but nothing from outside the environment file.

use std::fmt;
use std::path::Path;
use std::sync::{Arc, LazyLock, Mutex};

use encamp_core::{Value as Json, fill_late};
use minijinja::syntax::SyntaxConfig;
use minijinja::value::Object;
use minijinja::{AutoEscape, Environment, Error, ErrorKind, UndefinedBehavior, Value};

use crate::expr;
use crate::members;
use crate::objects::{Ctx, Fault, Record, Root};
use crate::source::SourceFile;
use crate::spec::Place;
use crate::template_file::Inner;
use crate::text::{self, Facts, RenderError, Viewer};

/// The work and the bytes that one template may cost: a list of 10,000 machines, a few values of each.
const FUEL: u64 = 1_000_000;

/// No loader, no file, no variable of the process: only what the root object knows. `include`, `import` and `extends`
/// are not compiled in at all.
static ENGINE: LazyLock<Environment<'static>> = LazyLock::new(|| {
    let mut engine = Environment::new();
    engine.set_undefined_behavior(UndefinedBehavior::Strict);
    engine.set_fuel(Some(FUEL));
    if let Ok(syntax) = SyntaxConfig::builder().keep_trailing_newline(true).build() {
        engine.set_syntax(syntax);
    }
    // A `.html` is a file like any other.
    engine.set_auto_escape_callback(|_| AutoEscape::None);
    for name in ["debug", "lipsum"] {
        engine.remove_global(name);
    }
    engine.add_filter("each", |machines: Value, format: String| {
        members::each(&machines, &format)
    });
    engine
});

/// What a template sees: the variables of its step, and what expressions know.
#[derive(Debug)]
struct Page {
    root: Arc<Root>,
    vars: Value,
}

impl Object for Page {
    fn get_value(self: &Arc<Self>, key: &Value) -> Option<Value> {
        let var = self.vars.get_item(key).ok().filter(|var| !var.is_undefined());
        var.or_else(|| self.root.get_value(key))
    }
}

/// What came of a template.
#[derive(Debug)]
pub(crate) struct Rendered {
    pub(crate) text: Result<String, Error>,
    /// The work that it took.
    pub(crate) fuel: u64,
    pub(crate) record: Record,
}

/// A template that has been read.
pub(crate) struct Compiled {
    pub(crate) source: String,
    /// With this one template in it.
    engine: Environment<'static>,
}

impl fmt::Debug for Compiled {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Compiled").field(&self.source.len()).finish()
    }
}

impl Compiled {
    const NAME: &str = "template";

    pub(crate) fn new(source: &str) -> Result<Self, Error> {
        let mut engine = ENGINE.clone();
        engine.add_template_owned(Self::NAME, source.to_owned())?;
        let source = source.to_owned();
        Ok(Self { source, engine })
    }

    /// Renders it with its variables.
    pub(crate) fn evaluate(&self, vars: &Json, ctx: Ctx) -> Rendered {
        let ctx = Arc::new(ctx);
        let root = Arc::new(Root(Arc::clone(&ctx)));
        let vars = expr::from_json(vars);
        let page = Value::from_object(Page { root, vars });
        let captured = self.engine.get_template(Self::NAME);
        let captured = captured.and_then(|template| template.render_captured(page));
        let levels = captured
            .as_ref()
            .ok()
            .and_then(|captured| captured.state().fuel_levels());
        Rendered {
            fuel: levels.map_or(FUEL, |(consumed, _)| consumed),
            text: captured.map(minijinja::Captured::into_output),
            record: std::mem::take(&mut *ctx.record()),
        }
    }
}

/// The file's content as `viewer` sees it.
pub(crate) fn render(template: &Inner, facts: &Facts, viewer: &Viewer) -> Result<String, RenderError> {
    let unplaced = |kind, message| RenderError::new(kind, Some(start(&template.file)), message);
    let view = text::view(viewer, &template.world).map_err(|fault| unplaced(fault.kind, fault.message))?;
    let mut vars = template.vars.skeleton();
    let late = template.vars.render_late(facts, viewer)?;
    fill_late(&mut vars, &late);
    let ctx = Ctx {
        world: Arc::clone(&template.world),
        view,
        stage: template.stage.clone(),
        facts: Some(facts.declared(&template.needs, viewer)),
        record: Mutex::default(),
    };
    let Rendered { text, record, .. } = template.page.evaluate(&vars, ctx);
    text.map_err(|error| {
        let fault = record.fault.unwrap_or_else(|| Fault::of_engine(&error));
        let fault = fault.without_secrets(!template.secrets.is_empty());
        let file = SourceFile::new(template.file.clone(), template.page.source.clone());
        let (line, column) = match range(&error, &template.page.source) {
            Some(range) => file.position(range.start),
            None => (u32::try_from(error.line().unwrap_or(1)).unwrap_or(1), 1),
        };
        let place = Place {
            line,
            column,
            ..start(&template.file)
        };
        RenderError::new(fault.kind, Some(place), fault.message)
    })
}

fn start(file: &Path) -> Place {
    Place {
        file: file.to_owned(),
        line: 1,
        column: 1,
    }
}

/// Where an error stands in the template: of a look-up with all that it is looked up in.
pub(crate) fn range(error: &Error, source: &str) -> Option<std::ops::Range<usize>> {
    let range = error.range().filter(|range| !range.is_empty())?;
    let before = source.get(..range.start)?;
    let looked_up = source.get(range.clone())?.starts_with(['.', '[', '(']);
    let is_part = |c: char| c.is_alphanumeric() || matches!(c, '_' | '.' | '[' | ']' | '\'' | '"');
    let start = if looked_up {
        before.trim_end_matches(is_part).len()
    } else {
        range.start
    };
    Some(start..range.end)
}

/// Whether no later value can mend an error.
pub(crate) fn is_certain(error: &Error) -> bool {
    matches!(
        error.kind(),
        ErrorKind::SyntaxError
            | ErrorKind::UnknownFilter
            | ErrorKind::UnknownTest
            | ErrorKind::UnknownFunction
            | ErrorKind::UnknownMethod
            | ErrorKind::OutOfFuel
    )
}
