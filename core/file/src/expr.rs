//! One expression: compiled, evaluated, and its value as JSON.

use std::fmt;
use std::ops::Range;
use std::sync::{Arc, LazyLock};

use encamp_core::{Name, Value as Json};
use minijinja::value::ValueKind;
use minijinja::{Environment, Error, Expression, UndefinedBehavior, Value};

use crate::members::{self, Group};
use crate::objects::{Ctx, Fault, Machine, Record, Root};
use crate::scan::{self, Chain};

/// The work that one expression may cause: enough for lists of 10,000 machines.
const FUEL: u64 = 400_000;
/// The longest expression.
pub(crate) const MAX_EXPRESSION: usize = 4096;

/// No loader, no file, no variable of the process: only what the root object knows.
static ENGINE: LazyLock<Environment<'static>> = LazyLock::new(|| {
    let mut engine = Environment::new();
    engine.set_undefined_behavior(UndefinedBehavior::Strict);
    engine.set_fuel(Some(FUEL));
    for name in ["debug", "namespace", "lipsum", "cycler", "joiner"] {
        engine.remove_global(name);
    }
    engine.add_filter("each", |machines: Value, format: String| {
        members::each(&machines, &format)
    });
    engine
});

/// Functions that expressions may call.
pub(crate) const FUNCTIONS: [&str; 2] = ["range", "dict"];

/// A compiled expression.
pub(crate) struct Expr {
    /// As it stands between the braces.
    pub(crate) text: String,
    /// Where that stands in the string.
    pub(crate) range: Range<usize>,
    pub(crate) chains: Vec<Chain>,
    pub(crate) uses_me: bool,
    compiled: Expression<'static, 'static>,
}

impl fmt::Debug for Expr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Expr").field(&self.text).finish()
    }
}

impl Expr {
    pub(crate) fn compile(text: &str, range: Range<usize>) -> Result<Self, Error> {
        let chains = scan::chains(text);
        Ok(Self {
            text: text.to_owned(),
            range,
            uses_me: chains.iter().any(|chain| chain.root.text == "me"),
            chains,
            compiled: ENGINE.compile_expression_owned(text.to_owned())?,
        })
    }

    /// The secrets that it names.
    pub(crate) fn secrets(&self) -> impl Iterator<Item = Name> {
        self.chains.iter().filter_map(scan::Chain::secret)
    }

    /// Whether its value may hold a secret.
    pub(crate) fn is_secret(&self) -> bool {
        self.chains.iter().any(|chain| chain.root.text == "secret")
    }

    pub(crate) fn evaluate(&self, ctx: Ctx) -> Evaluated {
        let ctx = Arc::new(ctx);
        let value = self.compiled.eval(Value::from_object(Root(Arc::clone(&ctx))));
        let value = value.map_err(Trouble::Engine).and_then(|value| to_json(&value, 0));
        let record = std::mem::take(&mut *ctx.record());
        Evaluated { value, record }
    }
}

/// What came of an evaluation.
#[derive(Debug)]
pub(crate) struct Evaluated {
    pub(crate) value: Result<Json, Trouble>,
    pub(crate) record: Record,
}

/// Why there is no value.
#[derive(Debug)]
pub(crate) enum Trouble {
    /// The engine says so.
    Engine(Error),
    /// The value cannot leave an expression.
    Value(Fault),
}

impl Trouble {
    fn value(message: impl Into<String>, help: impl Into<Option<String>>) -> Self {
        Self::Value(Fault::new(crate::codes::FAILED_EXPRESSION, message, help))
    }
}

fn to_json(value: &Value, depth: usize) -> Result<Json, Trouble> {
    if depth > crate::toml::MAX_DEPTH {
        return Err(Trouble::value("the value nests too deeply", None));
    }
    if value.downcast_object_ref::<Machine>().is_some() {
        let help = "say what of it: `.name`, `.endpoint('…')`, `.address`".to_owned();
        return Err(Trouble::value("the value is a machine, not a text", help));
    }
    if value.downcast_object_ref::<Group>().is_some() {
        let help = "say what of it: `.names`, `.endpoints('…')`, or one member, `[0].name`".to_owned();
        return Err(Trouble::value("the value is a group of machines, not a text", help));
    }
    match value.kind() {
        ValueKind::None => Ok(Json::Null),
        ValueKind::Bool => Ok(value.is_true().into()),
        ValueKind::Number => number(value),
        ValueKind::String => Ok(value.as_str().unwrap_or_default().into()),
        ValueKind::Seq | ValueKind::Iterable => items(value, depth),
        ValueKind::Map => {
            let mut object = serde_json::Map::new();
            for key in value.try_iter().map_err(Trouble::Engine)? {
                let item = value.get_item(&key).map_err(Trouble::Engine)?;
                object.insert(key.to_string(), to_json(&item, depth + 1)?);
            }
            Ok(object.into())
        }
        ValueKind::Undefined if is_nothing(value) => Ok(Json::Null),
        ValueKind::Undefined => Err(Trouble::value("the value is not defined", None)),
        kind => Err(Trouble::value(
            format!("the value is a {kind}, which has no text"),
            None,
        )),
    }
}

/// What `x if y` without `else` gives: on purpose nothing, unlike a name that does not exist. The
/// engine tells them apart only when they are printed.
fn is_nothing(value: &Value) -> bool {
    let printed = ENGINE.render_str("{{ it }}", Value::from_pairs([("it", value.clone())]));
    printed.is_ok_and(|text| text.is_empty())
}

fn items(value: &Value, depth: usize) -> Result<Json, Trouble> {
    let mut list = Vec::new();
    for item in value.try_iter().map_err(Trouble::Engine)? {
        if list.len() >= 100_000 {
            return Err(Trouble::value("the list is too long", None));
        }
        list.push(to_json(&item, depth + 1)?);
    }
    Ok(list.into())
}

fn number(value: &Value) -> Result<Json, Trouble> {
    if value.is_integer() {
        return match i64::try_from(value.clone()) {
            Ok(whole) => Ok(whole.into()),
            Err(_) => Err(Trouble::value("the number is too large", None)),
        };
    }
    let float = f64::try_from(value.clone()).map_err(Trouble::Engine)?;
    serde_json::Number::from_f64(float)
        .map(Json::Number)
        .ok_or_else(|| Trouble::value("the value is no number", None))
}

/// A JSON value as expressions see it.
pub(crate) fn from_json(value: &Json) -> Value {
    match value {
        Json::Null => Value::from(()),
        Json::Bool(flag) => (*flag).into(),
        Json::Number(number) => match number.as_i64() {
            Some(whole) => whole.into(),
            None => number.as_f64().unwrap_or(f64::NAN).into(),
        },
        Json::String(text) => text.as_str().into(),
        Json::Array(items) => items.iter().map(from_json).collect(),
        Json::Object(object) => Value::from_pairs(object.iter().map(|(key, inner)| (key.as_str(), from_json(inner)))),
    }
}

/// What an inserted value looks like in a text; none for what has no text of its own.
pub(crate) fn to_text(value: &Json) -> Option<String> {
    match value {
        Json::String(text) => Some(text.clone()),
        Json::Bool(flag) => Some(flag.to_string()),
        Json::Number(number) => Some(number.to_string()),
        Json::Null | Json::Array(_) | Json::Object(_) => None,
    }
}
