//! `[outputs]`: what an environment tells the outside.

use std::collections::BTreeMap;

use crate::codes;
use crate::cx::{Cx, Scope};
use crate::diagnose::Diagnostic;
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
        raw: false,
    };
    for entry in table.into_iter().flat_map(|table| &table.entries) {
        if !inputs::is_variable(&entry.key) {
            cx.add(inputs::bad_variable(entry, "an output"));
        }
        if let Some(text) = cx.text(&entry.node, scope, true, "\"http://…\"") {
            if text.is_secret() {
                let message = format!(
                    "the output `{}` is shown to everybody, and it holds a secret",
                    entry.key
                );
                let at = entry.node.span;
                let help = "who needs it reads it where it comes from".to_owned();
                cx.add(Diagnostic::error(codes::VISIBLE, at, message).help(help));
            }
            outputs.insert(entry.key.clone(), text);
        }
    }
    outputs
}
