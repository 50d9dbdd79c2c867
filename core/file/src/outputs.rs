//! `[outputs]`: what an environment tells the outside.

use std::collections::BTreeMap;

use crate::cx::{Cx, Scope};
use crate::inputs;
use crate::node::Table;
use crate::text::Text;
use crate::world::View;

pub(crate) fn read(root: &Table, cx: &mut Cx<'_>) -> BTreeMap<String, Text> {
    const EXAMPLE: &str = "[outputs]";
    let mut outputs = BTreeMap::new();
    let table = root.node("outputs").and_then(|node| cx.table(node, EXAMPLE));
    let scope = Scope {
        view: View::Controller,
        stage: None,
        runs: true,
    };
    for entry in table.into_iter().flat_map(|table| &table.entries) {
        if !inputs::is_variable(&entry.key) {
            cx.add(inputs::bad_variable(entry, "an output"));
        }
        if let Some(text) = cx.text(&entry.node, scope, true, "\"http://…\"") {
            outputs.insert(entry.key.clone(), text);
        }
    }
    outputs
}
