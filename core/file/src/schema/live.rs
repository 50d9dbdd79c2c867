//! Kinds' own tables, where every value may be an expression.

use encamp_core::Value;
use serde_json::{Map, json};

/// A string that an expression stands in.
pub(super) fn expression() -> Value {
    json!({ "type": "string", "pattern": r"\{\{", "description": "An expression, `\"{{ inputs.x }}\"`, that gives such a value." })
}

/// The schema that a kind publishes for its table, as a resource of its own with this identity: what it refers to stays
/// within it.
pub(super) fn table(kind: &str, schema: &Value) -> Value {
    let mut table = inside(schema);
    if let Some(object) = table.as_object_mut() {
        object.remove("$schema");
        object.insert("$id".to_owned(), format!("urn:encamp:kind:{kind}").into());
    }
    table
}

/// The same schema, with expressions wherever a value stands in a table or a list.
fn inside(schema: &Value) -> Value {
    let Some(object) = schema.as_object() else {
        return schema.clone();
    };
    let changed = object.iter().map(|(key, value)| {
        let value = match key.as_str() {
            "properties" | "patternProperties" => each(value, |property| or_expression(&inside(property))),
            "$defs" | "definitions" => each(value, inside),
            "items" | "additionalProperties" => or_expression(&inside(value)),
            "prefixItems" => all(value, |item| or_expression(&inside(item))),
            "anyOf" | "oneOf" | "allOf" => all(value, inside),
            _ => value.clone(),
        };
        (key.clone(), value)
    });
    Value::Object(changed.collect())
}

fn each(value: &Value, change: impl Fn(&Value) -> Value) -> Value {
    match value.as_object() {
        Some(object) => object
            .iter()
            .map(|(key, inner)| (key.clone(), change(inner)))
            .collect::<Map<_, _>>()
            .into(),
        None => value.clone(),
    }
}

fn all(value: &Value, change: impl Fn(&Value) -> Value) -> Value {
    match value.as_array() {
        Some(items) => items.iter().map(change).collect(),
        None => value.clone(),
    }
}

/// What a value is for stays outside, where editors look for it.
fn or_expression(schema: &Value) -> Value {
    let Some(object) = schema.as_object() else {
        // `true` takes expressions already, and `false` takes nothing.
        return schema.clone();
    };
    let mut inner = object.clone();
    let mut outer = Map::new();
    for key in ["title", "description", "default"] {
        if let Some(value) = inner.remove(key) {
            outer.insert(key.to_owned(), value);
        }
    }
    outer.insert("anyOf".to_owned(), json!([inner, expression()]));
    outer.into()
}
