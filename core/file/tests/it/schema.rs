//! The published schema holds what good files say, and refuses what is plainly wrong.
//!
//! The validator here knows the keywords that the schema uses, refuses to run into any other, and shares nothing with
//! the crate. (A whole validator as a dependency would bring second versions of crates that the build has already.)

use std::sync::Arc;

use encamp_core::table::{ByteSize, Span};
use encamp_core::{InstanceName, KindName, Value};
use encamp_file::Kinds;
use regex::Regex;
use serde_json::json;

use crate::fake::{FULL, SHOP, kinds};

struct Validator<'s> {
    root: &'s Value,
}

/// Says what does not fit, with its place.
fn validate(root: &Value, schema: &Value, value: &Value, at: &str) -> Result<(), String> {
    // A part with an identity of its own is what its references begin from.
    let root = if schema.get("$id").is_some() { schema } else { root };
    Validator { root }.all(schema, value, at)
}

impl Validator<'_> {
    fn all(&self, schema: &Value, value: &Value, at: &str) -> Result<(), String> {
        match schema {
            Value::Bool(true) => Ok(()),
            Value::Bool(false) => Err(format!("{at}: nothing may stand here")),
            Value::Object(keywords) => keywords
                .iter()
                .try_for_each(|(keyword, argument)| self.one(keyword, argument, schema, value, at)),
            other => panic!("{other} is no schema"),
        }
    }

    fn inner(&self, schema: &Value, value: &Value, at: &str) -> Result<(), String> {
        validate(self.root, schema, value, at)
    }

    fn one(&self, keyword: &str, argument: &Value, schema: &Value, value: &Value, at: &str) -> Result<(), String> {
        let refuse = |why: String| Err(format!("{at}: {why}: {value}"));
        match keyword {
            "$schema" | "$id" | "$defs" | "title" | "description" | "default" | "examples" | "format" | "x-late"
            | "x-path" | "x-content" => Ok(()),
            "$ref" => {
                let pointer = argument
                    .as_str()
                    .and_then(|r| r.strip_prefix('#'))
                    .expect("a local reference");
                let target = self
                    .root
                    .pointer(pointer)
                    .unwrap_or_else(|| panic!("{pointer} leads nowhere"));
                self.inner(target, value, at)
            }
            "type" => {
                let types = argument.as_array().cloned().unwrap_or_else(|| vec![argument.clone()]);
                let fits = types.iter().any(|it| is_of(it.as_str().expect("a type"), value));
                if fits {
                    Ok(())
                } else {
                    refuse(format!("is not of type {argument}"))
                }
            }
            "enum" if argument.as_array().expect("a list").contains(value) => Ok(()),
            "const" if argument == value => Ok(()),
            "enum" | "const" => refuse(format!("is not {argument}")),
            "pattern" => {
                let pattern = Regex::new(argument.as_str().expect("a pattern")).expect("a pattern");
                let fits = value.as_str().is_none_or(|text| pattern.is_match(text));
                if fits {
                    Ok(())
                } else {
                    refuse(format!("does not match {argument}"))
                }
            }
            "minimum" | "maximum" | "exclusiveMinimum" | "minItems" | "minProperties" | "maxProperties" => {
                if bounded(keyword, argument, value) {
                    Ok(())
                } else {
                    refuse(format!("breaks {keyword} {argument}"))
                }
            }
            "required" => {
                let required = argument.as_array().expect("a list").iter().filter_map(Value::as_str);
                let missing = required
                    .into_iter()
                    .find(|key| value.is_object() && value.get(*key).is_none());
                missing.map_or(Ok(()), |key| refuse(format!("lacks {key}")))
            }
            "properties" => {
                let known = argument.as_object().expect("a table").iter();
                known
                    .filter_map(|(key, inner)| Some((key, inner, value.get(key)?)))
                    .try_for_each(|(key, inner, value)| self.inner(inner, value, &format!("{at}/{key}")))
            }
            "additionalProperties" => {
                let known = |key: &str| schema.get("properties").is_some_and(|known| known.get(key).is_some());
                let rest = value.as_object().into_iter().flatten().filter(|(key, _)| !known(key));
                rest.into_iter()
                    .try_for_each(|(key, value)| self.inner(argument, value, &format!("{at}/{key}")))
            }
            "propertyNames" => {
                let mut keys = value.as_object().into_iter().flatten().map(|(key, _)| key);
                keys.try_for_each(|key| self.inner(argument, &json!(key), at))
            }
            "items" => {
                let mut items = value.as_array().into_iter().flatten().enumerate();
                items.try_for_each(|(index, value)| self.inner(argument, value, &format!("{at}/{index}")))
            }
            "anyOf" | "oneOf" => {
                let branches = argument.as_array().expect("a list").iter();
                let tried: Vec<_> = branches.map(|branch| self.inner(branch, value, at)).collect();
                match (keyword, tried.iter().filter(|it| it.is_ok()).count()) {
                    ("anyOf", 1..) | ("oneOf", 1) => Ok(()),
                    (_, 0) => {
                        let why: Vec<String> = tried.into_iter().filter_map(Result::err).collect();
                        Err(format!("{at}: fits nothing of ({})", why.join("; ")))
                    }
                    (_, several) => refuse(format!("fits {several} at once")),
                }
            }
            other => panic!("the validator does not know `{other}`"),
        }
    }
}

#[expect(clippy::cast_precision_loss, reason = "small numbers")]
fn bounded(keyword: &str, argument: &Value, value: &Value) -> bool {
    let bound = argument.as_f64().expect("a number");
    let items = value.as_array().map(|items| items.len() as f64);
    let keys = value.as_object().map(|keys| keys.len() as f64);
    match keyword {
        "minimum" => value.as_f64().is_none_or(|number| number >= bound),
        "maximum" => value.as_f64().is_none_or(|number| number <= bound),
        "exclusiveMinimum" => value.as_f64().is_none_or(|number| number > bound),
        "minItems" => items.is_none_or(|items| items >= bound),
        "minProperties" => keys.is_none_or(|keys| keys >= bound),
        _ => keys.is_none_or(|keys| keys <= bound),
    }
}

fn is_of(name: &str, value: &Value) -> bool {
    match name {
        "null" => value.is_null(),
        "boolean" => value.is_boolean(),
        "integer" => value.is_i64() || value.is_u64(),
        "number" => value.is_number(),
        "string" => value.is_string(),
        "array" => value.is_array(),
        "object" => value.is_object(),
        other => panic!("no type is called {other}"),
    }
}

fn check(kinds: &Kinds, text: &str) -> Result<(), String> {
    let schema = encamp_file::schema(kinds);
    let value: toml::Value = toml::from_str(text).expect("it is TOML");
    validate(&schema, &schema, &serde_json::to_value(value).expect("it is JSON"), "")
}

#[test]
fn good_files_fit() {
    for text in [SHOP, FULL] {
        check(&kinds(), text).unwrap_or_else(|why| panic!("{why}"));
    }
}

#[test]
fn the_examples_fit() {
    // Their tables are those of real kinds, which are not known here: any will do.
    let mut open = kinds();
    for kind in ["desk", "docker", "local", "nspawn", "yard"] {
        let name = KindName::new(kind).expect("a kind");
        let any = Arc::clone(&open.kinds["ssh"]);
        open.kinds.insert(name.clone(), any);
        let instance = InstanceName::new(kind).expect("an instance");
        open.instances.insert(instance, name);
    }
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples");
    let mut seen = 0;
    let folders = [folder.clone(), folder.join("providers")];
    let examples = folders
        .iter()
        .flat_map(|folder| std::fs::read_dir(folder).expect("the examples"));
    let files = examples.map(|example| example.expect("an example").path().join("encamp.toml"));
    for file in files.filter(|file| file.is_file()) {
        let text = std::fs::read_to_string(&file).expect("a file");
        check(&open, &text).unwrap_or_else(|why| panic!("{}: {why}", file.display()));
        seen += 1;
    }
    assert!(seen >= 9);
}

#[test]
fn every_scalar_may_be_an_expression() {
    let text = "name = 'x'\nttl = '{{ inputs.t }}'\n[machines.a]\nprovider = '{{ inputs.p }}'\ncount = '{{ inputs.n }}'\n\
                serial = '{{ inputs.s }}'\nports = { http = '{{ inputs.port }}' }\nneeds = { cpu = '{{ inputs.c }}', memory = '{{ inputs.m }}GiB' }\n\
                docker = { image = 'a', pids = '{{ inputs.n }}', init = '{{ inputs.i }}', pull = '{{ inputs.p }}', build = '{{ inputs.b }}' }\n\
                ready = [{ http = 'http', status = '{{ inputs.n }}', within = '{{ inputs.n }}s' }]\n";
    check(&kinds(), text).unwrap_or_else(|why| panic!("{why}"));
}

#[test]
fn wrong_files_do_not_fit() {
    let machine = |lines: &str| format!("name = 'x'\n[machines.a]\nprovider = 'docker'\ndocker.image = 'a'\n{lines}\n");
    let task = |lines: &str| format!("name = 'x'\n[[stages]]\nname = 's'\n[[stages.tasks]]\nname = 't'\n{lines}\n");
    let cases = [
        ("ttl = '1h'\n".to_owned(), "lacks name"),
        (
            "name = 'x'\nmachine = {}\n".to_owned(),
            "/machine: nothing may stand here",
        ),
        ("name = 'Shop'\n".to_owned(), "does not match"),
        ("name = 'x'\nttl = 90\n".to_owned(), "/ttl: fits nothing"),
        ("name = 'x'\n[machines.a]\ncount = 2\n".to_owned(), "lacks provider"),
        (machine("count = 0"), "breaks minimum"),
        (
            machine("docker.imag = 'b'"),
            "/machines/a/docker/imag: nothing may stand here",
        ),
        (machine("docker.pids = true"), "/machines/a/docker/pids: fits nothing"),
        (machine("docker.build = { target = 'x' }"), "lacks context"),
        (machine("setup = [{ copy = 'a' }]"), "lacks to"),
        (
            machine("setup = [{ run = 'a', copy = 'b', to = '/c' }]"),
            "fits nothing",
        ),
        (
            machine("setup = [{ fetch = 'https://x', to = '/c', sha256 = 'abc' }]"),
            "does not match",
        ),
        (
            machine("ready = [{ tcp = 'a', path = '/' }]"),
            "/path: nothing may stand here",
        ),
        (
            machine("ready = [{ run = 'a', within = '5' }]"),
            "/within: fits nothing",
        ),
        (
            machine("services.a = { run = 'x', restart = 'always' }"),
            "restart: fits nothing",
        ),
        (machine("ports = { http = 70000 }"), "breaks maximum"),
        (task("run = 'x'"), "lacks on"),
        (task("do = 'sleep'\nmachine = 'a'"), "is not"),
        (task("on = 'a'\nsync = '.'\nto = '/x'"), "/sync: nothing may stand here"),
        (
            "name = 'x'\n[secrets]\na = { variable = 'A', file = 'b' }\n".to_owned(),
            "breaks maxProperties",
        ),
        ("name = 'x'\n[secrets]\na = 'hunter2'\n".to_owned(), "is not of type"),
    ];
    for (text, expected) in cases {
        let why = check(&kinds(), &text).expect_err(&text);
        assert!(why.contains(expected), "{text}\n{why}");
    }
}

#[test]
fn every_key_is_described() {
    fn walk(schema: &Value, at: &str, lacking: &mut Vec<String>) {
        for (key, property) in schema
            .get("properties")
            .and_then(Value::as_object)
            .into_iter()
            .flatten()
        {
            let at = format!("{at}/{key}");
            let described = property.get("description").is_some() || property.get("$ref").is_some();
            // The tables of the fake kinds say nothing of their keys.
            if !described && !at.contains("/docker") && !at.contains("/ssh") && !at.ends_with("/env") {
                lacking.push(at.clone());
            }
            walk(property, &at, lacking);
        }
        for part in ["oneOf", "anyOf", "items", "additionalProperties", "$defs"] {
            match schema.get(part) {
                Some(Value::Array(branches)) => branches.iter().for_each(|branch| walk(branch, at, lacking)),
                Some(Value::Object(inner)) if part == "$defs" => {
                    inner
                        .iter()
                        .for_each(|(key, inner)| walk(inner, &format!("{at}/{key}"), lacking));
                }
                Some(inner @ Value::Object(_)) => walk(inner, at, lacking),
                _ => {}
            }
        }
    }
    let mut lacking = Vec::new();
    walk(&encamp_file::schema(&kinds()), "", &mut lacking);
    assert_eq!(lacking, Vec::<String>::new());
}

/// Whoever follows the schema writes what is read, and the other way round.
#[test]
fn quantities_of_the_schema_are_those_that_are_read() {
    let (size, span) = (ByteSize::pattern(), Span::pattern());
    let (size, span) = (
        Regex::new(&size).expect("a pattern"),
        Regex::new(&span).expect("a pattern"),
    );
    for text in [
        "512MiB", "2 GB", " 1kB ", "7B", "", "5", "MiB", "-1MiB", "1.5GiB", "1gib",
    ] {
        assert_eq!(size.is_match(text), ByteSize::parse(text).is_some(), "{text}");
    }
    let units = ["d", "h", "m", "s", "ms"];
    let pairs = units
        .iter()
        .flat_map(|one| units.map(|other| format!("1{one}2{other}")));
    let others = [
        "500ms",
        "1h 30m",
        " 2d ",
        "1d2h3m4s5ms",
        "",
        "5",
        "s",
        "1x",
        "1.5s",
        "-1s",
        "1 s",
        "1s1s",
        "1m1s1s",
    ];
    for text in pairs.chain(others.map(str::to_owned)) {
        assert_eq!(span.is_match(&text), Span::parse(&text).is_some(), "{text}");
    }
}
