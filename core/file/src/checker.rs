//! A kind's table against the JSON Schema that the kind publishes.
//!
//! An own checker of the part of draft 2020-12 that schemars writes, because its messages have to
//! name keys, types and late values as the file has them: `$ref` into the schema itself, `type`,
//! `enum`, `const`, `properties`, `required`, `additionalProperties`, `items`, `prefixItems`,
//! `allOf`, `anyOf`, `oneOf`, and the bounds of numbers and lengths. What it does not know it
//! leaves to the kind's own `examine`.

use encamp_core::Value as Json;

use crate::built::{Built, Field, Leaf};
use crate::codes;
use crate::misfit::{At, Misfit, Outcome, late, mend, named, or, unknown};
use crate::nearest;

/// How deep references may lead.
const MAX_DEPTH: u32 = 128;

/// Checks a table; `title` is what messages call it, `[machines.web.docker]`.
pub(crate) fn check(schema: &Json, table: &Built, title: &str) -> Outcome {
    let mut outcome = Checker { root: schema }.check(schema, table, &At::top(title));
    let mut found = Vec::new();
    table.late_leaves("", &mut found);
    for (pointer, value, source) in found {
        let below = |allowed: &String| {
            pointer
                .strip_prefix(allowed.as_str())
                .is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
        };
        if !outcome.late.iter().any(below) {
            outcome.misfits.push(late(&pointer, value, source, title));
        }
    }
    outcome
}

/// The keys that a table of this schema may have.
pub(crate) fn keys(schema: &Json) -> Vec<&str> {
    let checker = Checker { root: schema };
    let mut keys = Vec::new();
    checker.keys(schema, 0, &mut keys);
    keys
}

/// The keys that a table of this schema must have.
pub(crate) fn required(schema: &Json) -> Vec<&str> {
    let schema = Checker { root: schema }.target(schema);
    strings(schema.get("required")).collect()
}

fn strings(value: Option<&Json>) -> impl Iterator<Item = &str> {
    value
        .and_then(Json::as_array)
        .into_iter()
        .flatten()
        .filter_map(Json::as_str)
}

fn list<'s>(schema: &'s Json, key: &str) -> Option<&'s Vec<Json>> {
    schema.get(key)?.as_array()
}

struct Checker<'s> {
    root: &'s Json,
}

impl<'s> Checker<'s> {
    /// What a reference refers to; itself if it is none.
    fn target(&self, schema: &'s Json) -> &'s Json {
        let mut schema = schema;
        for _ in 0..16 {
            let Some(pointer) = schema
                .get("$ref")
                .and_then(Json::as_str)
                .and_then(|r| r.strip_prefix('#'))
            else {
                break;
            };
            match self.root.pointer(pointer) {
                Some(target) => schema = target,
                None => break,
            }
        }
        schema
    }

    fn check(&self, schema: &'s Json, value: &Built, at: &At) -> Outcome {
        let mut outcome = Outcome::default();
        if at.turns > 16 || at.depth > MAX_DEPTH {
            return outcome;
        }
        if self.may_be_late(schema, 0) {
            outcome.late.push(at.pointer.clone());
        }
        if matches!(value.value, Leaf::Late(_)) {
            return outcome;
        }
        if let (Some(ignore), Leaf::Scalar(Json::String(_))) = (schema.get("x-content"), &value.value) {
            let ignore = ignore.as_str().unwrap_or_default().to_owned();
            outcome.contents.push((at.pointer.clone(), ignore));
        }
        if schema.as_bool() == Some(false) {
            let message = "this is not allowed here".to_owned();
            outcome.misfits.push(at.misfit(codes::WRONG_TYPE, value.span, message));
            return outcome;
        }
        let target = self.target(schema);
        if !std::ptr::eq(target, schema) {
            outcome.add(self.check(target, value, &at.turned()));
        }
        if outcome.fits() && schema.get("type").is_some() {
            outcome.add(Self::of_type(schema, value, at));
        }
        if outcome.fits() {
            outcome.add(Self::of_set(schema, value, at));
            outcome.add(Self::bounded(schema, value, at));
        }
        for part in list(schema, "allOf").into_iter().flatten() {
            outcome.add(self.check(part, value, &at.turned()));
        }
        for union in ["anyOf", "oneOf"] {
            if let Some(branches) = list(schema, union).filter(|_| outcome.fits()) {
                outcome.add(self.any(branches, value, at));
            }
        }
        match &value.value {
            Leaf::Table(fields) => outcome.add(self.table(schema, value, fields, at)),
            Leaf::List(items) => outcome.add(self.items(schema, items, at)),
            Leaf::Scalar(_) | Leaf::Late(_) => {}
        }
        outcome
    }

    /// Whether the schema, or a branch of it, lets the leaf be known later.
    fn may_be_late(&self, schema: &'s Json, turns: u32) -> bool {
        if turns > 16 {
            return false;
        }
        let says = |schema: &Json| schema.get("x-late").and_then(Json::as_bool) == Some(true);
        says(schema)
            || says(self.target(schema))
            || ["anyOf", "oneOf", "allOf"]
                .iter()
                .flat_map(|union| list(schema, union).into_iter().flatten())
                .any(|branch| self.may_be_late(branch, turns + 1))
    }

    fn of_type(schema: &Json, value: &Built, at: &At) -> Outcome {
        let types: Vec<&str> = match schema.get("type") {
            Some(Json::String(one)) => vec![one],
            several => strings(several).collect(),
        };
        let mut outcome = Outcome::default();
        let fits = types.iter().any(|name| is_of_type(value, name));
        if fits || types.is_empty() {
            return outcome;
        }
        let scalar = matches!(&value.value, Leaf::Scalar(Json::Number(_) | Json::Bool(_)));
        if value.computed && scalar && types.contains(&"string") {
            outcome.to_strings.push(at.pointer.clone());
            return outcome;
        }
        let expected = or(types.iter().filter(|name| **name != "null").map(|name| named(name)));
        let mut misfit = at.misfit(
            codes::WRONG_TYPE,
            value.span,
            format!("expected {expected}, found {}", value.describe()),
        );
        misfit.help = mend(&types, value, schema);
        outcome.misfits.push(misfit);
        outcome
    }

    fn of_set(schema: &Json, value: &Built, at: &At) -> Outcome {
        let mut outcome = Outcome::default();
        let allowed: Vec<&Json> = match (list(schema, "enum"), schema.get("const")) {
            (Some(several), _) => several.iter().collect(),
            (None, Some(one)) => vec![one],
            (None, None) => return outcome,
        };
        let found = value.skeleton();
        if allowed.contains(&&found) {
            return outcome;
        }
        let texts: Vec<&str> = allowed.iter().filter_map(|value| value.as_str()).collect();
        let shown = or(allowed
            .iter()
            .filter(|value| !value.is_null())
            .map(|value| match value.as_str() {
                Some(text) => format!("`{text}`"),
                None => value.to_string(),
            }));
        let mut misfit = if let Some(text) = found.as_str() {
            let message = format!("expected {shown}, found `{}`", crate::typed::shortened(text));
            let mut misfit = at.misfit(codes::OUT_OF_RANGE, value.span, message);
            misfit.help = nearest::did_you_mean(text, texts.iter().copied());
            misfit
        } else {
            let message = format!("expected {shown}, found {}", value.describe());
            at.misfit(codes::WRONG_TYPE, value.span, message)
        };
        misfit.depth += 1;
        outcome.misfits.push(misfit);
        outcome
    }

    fn bounded(schema: &Json, value: &Built, at: &At) -> Outcome {
        let mut outcome = Outcome::default();
        let bound = |key: &str| schema.get(key).and_then(Json::as_f64);
        let (size, what) = match &value.value {
            Leaf::Scalar(Json::Number(number)) => (number.as_f64().unwrap_or(f64::NAN), ""),
            Leaf::Scalar(Json::String(text)) => (count(text.chars().count()), "Length"),
            Leaf::List(items) => (count(items.len()), "Items"),
            Leaf::Table(fields) => (count(fields.len()), "Properties"),
            Leaf::Scalar(_) | Leaf::Late(_) => return outcome,
        };
        let (least, most) = match what {
            "" => (bound("minimum"), bound("maximum")),
            what => (bound(&format!("min{what}")), bound(&format!("max{what}"))),
        };
        let unit = match what {
            "Length" => " characters",
            "Items" => " elements",
            "Properties" => " keys",
            _ => "",
        };
        let trouble = if least.is_some_and(|least| size < least) {
            Some(format!("at least {}{unit}", least.unwrap_or_default()))
        } else if most.is_some_and(|most| size > most) {
            Some(format!("at most {}{unit}", most.unwrap_or_default()))
        } else if what.is_empty() && bound("exclusiveMinimum").is_some_and(|bound| size <= bound) {
            Some(format!("more than {}", bound("exclusiveMinimum").unwrap_or_default()))
        } else if what.is_empty() && bound("exclusiveMaximum").is_some_and(|bound| size >= bound) {
            Some(format!("less than {}", bound("exclusiveMaximum").unwrap_or_default()))
        } else {
            None
        };
        if let Some(trouble) = trouble {
            let message = format!("expected {trouble}, found {size}{unit}");
            outcome
                .misfits
                .push(at.misfit(codes::OUT_OF_RANGE, value.span, message));
        }
        outcome
    }

    /// One branch of a union has to fit; of those that do not, the one that was meant speaks.
    fn any(&self, branches: &'s [Json], value: &Built, at: &At) -> Outcome {
        let mut closest: Option<Outcome> = None;
        let mut coerced: Option<Outcome> = None;
        let mut of_that_type = 0;
        for branch in branches {
            let outcome = self.check(branch, value, &at.turned());
            if outcome.fits() && outcome.to_strings.is_empty() {
                return outcome;
            }
            if outcome.fits() {
                coerced.get_or_insert(outcome);
                continue;
            }
            let wrong_type_here = outcome
                .misfits
                .iter()
                .all(|misfit| misfit.depth == at.depth && misfit.code == codes::WRONG_TYPE);
            of_that_type += usize::from(!wrong_type_here);
            let better = closest.as_ref().is_none_or(|best| {
                (outcome.depth(), std::cmp::Reverse(outcome.misfits.len()))
                    > (best.depth(), std::cmp::Reverse(best.misfits.len()))
            });
            if !wrong_type_here && (of_that_type == 1 || better) {
                closest = Some(outcome);
            }
        }
        if let Some(coerced) = coerced {
            return coerced;
        }
        if of_that_type > 0 {
            return closest.unwrap_or_default();
        }
        let mut expected: Vec<String> = Vec::new();
        for branch in branches {
            self.describe(branch, 0, &mut expected);
        }
        let mut seen = std::collections::BTreeSet::new();
        expected.retain(|text| seen.insert(text.clone()));
        let message = format!("expected {}, found {}", or(expected.into_iter()), value.describe());
        Outcome {
            misfits: vec![at.misfit(codes::WRONG_TYPE, value.span, message)],
            ..Outcome::default()
        }
    }

    /// What a schema wants, in words.
    fn describe(&self, schema: &'s Json, turns: u32, words: &mut Vec<String>) {
        let schema = self.target(schema);
        match schema.get("type") {
            Some(Json::String(one)) if one == "null" => {}
            Some(Json::String(one)) => words.push(named(one)),
            Some(several) => words.extend(strings(Some(several)).filter(|name| *name != "null").map(named)),
            None if turns < 8 => {
                for union in ["anyOf", "oneOf", "allOf"] {
                    for branch in list(schema, union).into_iter().flatten() {
                        self.describe(branch, turns + 1, words);
                    }
                }
            }
            None => {}
        }
    }

    fn table(&self, schema: &'s Json, value: &Built, fields: &[Field], at: &At) -> Outcome {
        let mut outcome = Outcome::default();
        let properties = schema.get("properties").and_then(Json::as_object);
        let rest = schema.get("additionalProperties");
        let patterns = schema.get("patternProperties").is_some();
        let closed = rest.and_then(Json::as_bool) == Some(false)
            || schema.get("unevaluatedProperties").and_then(Json::as_bool) == Some(false);
        for field in fields {
            let inside = at.inside(&field.key);
            match properties.and_then(|properties| properties.get(&field.key)) {
                Some(property) => outcome.add(self.check(property, &field.value, &inside)),
                None if closed && !patterns => {
                    let mut known = Vec::new();
                    self.keys(schema, 0, &mut known);
                    if !known.contains(&field.key.as_str()) {
                        outcome.misfits.push(unknown(field, &known, at));
                    }
                }
                None => match rest {
                    Some(rest) if rest.is_object() => outcome.add(self.check(rest, &field.value, &inside)),
                    _ => {}
                },
            }
        }
        for key in strings(schema.get("required")) {
            let misspelt = |misfit: &Misfit| misfit.code == codes::UNKNOWN_KEY && misfit.meant.as_deref() == Some(key);
            if !fields.iter().any(|field| field.key == key) && !outcome.misfits.iter().any(misspelt) {
                let message = format!("{} has no `{key}`", at.title);
                let mut misfit = at.misfit(codes::MISSING_KEY, value.span, message);
                misfit.help = Some(format!("add `{key} = …`"));
                outcome.misfits.push(misfit);
            }
        }
        outcome
    }

    fn items(&self, schema: &'s Json, items: &[Built], at: &At) -> Outcome {
        let mut outcome = Outcome::default();
        let first = list(schema, "prefixItems").map_or(&[][..], Vec::as_slice);
        for (index, item) in items.iter().enumerate() {
            if let Some(schema) = first.get(index).or_else(|| schema.get("items")) {
                outcome.add(self.check(schema, item, &at.inside(&index.to_string())));
            }
        }
        outcome
    }

    fn keys(&self, schema: &'s Json, turns: u32, keys: &mut Vec<&'s str>) {
        let target = self.target(schema);
        for schema in [Some(schema), (!std::ptr::eq(target, schema)).then_some(target)]
            .into_iter()
            .flatten()
        {
            if let Some(properties) = schema.get("properties").and_then(Json::as_object) {
                keys.extend(properties.keys().map(String::as_str));
            }
            for union in ["allOf", "anyOf", "oneOf"] {
                for branch in list(schema, union).into_iter().flatten().filter(|_| turns < 8) {
                    self.keys(branch, turns + 1, keys);
                }
            }
        }
    }
}

#[expect(clippy::cast_precision_loss, reason = "a file has at most a million of anything")]
fn count(n: usize) -> f64 {
    n as f64
}

fn is_of_type(value: &Built, name: &str) -> bool {
    match &value.value {
        Leaf::Scalar(Json::String(_)) => name == "string",
        Leaf::Scalar(Json::Bool(_)) => name == "boolean",
        Leaf::Scalar(Json::Number(number)) => name == "number" || (name == "integer" && !number.is_f64()),
        Leaf::Scalar(_) => name == "null",
        Leaf::List(_) => name == "array",
        Leaf::Table(_) => name == "object",
        Leaf::Late(_) => true,
    }
}
