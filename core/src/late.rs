//! Leaves of a kind's table that are known only once other machines are ready.

use std::collections::BTreeMap;

use crate::Value;

/// The one key of a marker object.
const MARKER: &str = "$late";

/// What stands in a table for a leaf that is rendered later; `text` is its expression, for messages.
pub fn late_marker(text: &str) -> Value {
    serde_json::json!({ MARKER: text })
}

fn is_marker(value: &Value) -> bool {
    value
        .as_object()
        .is_some_and(|object| object.len() == 1 && object.contains_key(MARKER))
}

/// The JSON pointers of all markers in `value`.
pub fn late_pointers(value: &Value) -> Vec<String> {
    fn walk(value: &Value, at: &str, found: &mut Vec<String>) {
        if is_marker(value) {
            found.push(at.to_owned());
            return;
        }
        match value {
            Value::Object(object) => {
                for (key, inner) in object {
                    let key = key.replace('~', "~0").replace('/', "~1");
                    walk(inner, &format!("{at}/{key}"), found);
                }
            }
            Value::Array(items) => {
                for (index, inner) in items.iter().enumerate() {
                    walk(inner, &format!("{at}/{index}"), found);
                }
            }
            _ => {}
        }
    }
    let mut found = Vec::new();
    walk(value, "", &mut found);
    found
}

/// Puts rendered leaves in the place of their markers. Gives the pointers of markers that stayed.
pub fn fill_late(value: &mut Value, rendered: &BTreeMap<String, Value>) -> Vec<String> {
    for (pointer, leaf) in rendered {
        if let Some(place) = value.pointer_mut(pointer)
            && is_marker(place)
        {
            *place = leaf.clone();
        }
    }
    late_pointers(value)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn markers_are_found_and_filled() {
        let mut table = json!({ "image": "x", "command": ["a", late_marker("m.b")], "a/b": late_marker("c") });
        assert_eq!(late_pointers(&table), ["/a~1b", "/command/1"]);
        let rendered = BTreeMap::from([("/command/1".to_owned(), json!("b"))]);
        assert_eq!(fill_late(&mut table, &rendered), ["/a~1b"]);
        assert_eq!(table["command"], json!(["a", "b"]));
    }

    #[test]
    fn a_leaf_that_is_no_marker_is_left_alone() {
        let mut table = json!({ "image": "x" });
        let rendered = BTreeMap::from([("/image".to_owned(), json!("y"))]);
        assert!(fill_late(&mut table, &rendered).is_empty());
        assert_eq!(table["image"], json!("x"));
    }
}
