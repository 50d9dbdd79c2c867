//! A machine's table, against what the manifest says of it.

use encamp_core::{Problem, Value, late_pointers};

/// What does not fit. A word that is known only later fits everywhere.
pub(crate) fn problems(schema: &Value, table: &Value) -> Vec<Problem> {
    let Some(keys) = table.as_object() else {
        return vec![Problem::new("", "it must be a table")];
    };
    let late = late_pointers(table);
    let properties = schema["properties"].as_object();
    let mut problems = Vec::new();
    for (key, value) in keys {
        let pointer = format!("/{}", key.replace('~', "~0").replace('/', "~1"));
        if late.contains(&pointer) {
            continue;
        }
        match properties.and_then(|properties| properties.get(key)) {
            Some(property) => problems.extend(mistyped(&pointer, property, value)),
            None if schema["additionalProperties"] == false => {
                let known: Vec<&str> = properties.into_iter().flatten().map(|(key, _)| key.as_str()).collect();
                let problem = Problem::new(pointer, format!("there is no `{key}`"));
                problems.push(problem.help(format!("there is: {}", known.join(", "))));
            }
            None => {}
        }
    }
    let required = schema["required"]
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(Value::as_str);
    let missing = required.filter(|key| !keys.contains_key(*key));
    problems.extend(missing.map(|key| Problem::new("", format!("`{key}` is missing"))));
    problems
}

fn mistyped(pointer: &str, property: &Value, value: &Value) -> Option<Problem> {
    let wanted = property["type"].as_str()?;
    let fits = match wanted {
        "string" => value.is_string(),
        "integer" => value.is_i64() || value.is_u64(),
        "number" => value.is_number(),
        "boolean" => value.is_boolean(),
        "array" => value.is_array(),
        "object" => value.is_object(),
        _ => true,
    };
    (!fits).then(|| Problem::new(pointer, format!("it must be of type {wanted}")))
}

#[cfg(test)]
mod tests {
    use encamp_core::late_marker;
    use serde_json::json;

    use super::*;

    #[test]
    fn a_table_fits_what_the_manifest_says() {
        let schema = json!({
            "properties": { "image": { "type": "string" }, "size": { "type": "integer" } },
            "required": ["image"],
            "additionalProperties": false,
        });
        let found = |table: Value| {
            let problems = problems(&schema, &table).into_iter();
            problems.map(|problem| problem.pointer).collect::<Vec<_>>()
        };
        assert!(found(json!({ "image": "base", "size": 3 })).is_empty());
        assert!(found(json!({ "image": late_marker("x"), "size": late_marker("y") })).is_empty());
        assert_eq!(found(json!({ "image": 1, "imgae": "x" })), ["/image", "/imgae"]);
        assert_eq!(found(json!({ "size": "big" })), ["/size", ""]);
        assert_eq!(found(json!([])), [""]);
    }
}
