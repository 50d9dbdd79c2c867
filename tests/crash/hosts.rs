//! Hosts of a lab, for the program's settings.

use std::fmt::Write as _;

use encamp_core::Value;
use serde_json::json;

#[path = "../../providers/ssh/tests/it/lab.rs"]
mod lab;

pub(crate) use lab::Lab;

/// Without which there is no lab.
pub(crate) const MISSING: &str = "apt-get install openssh-server openssh-client";

/// Settings with the hosts of a lab, as the provider `lab`.
pub(crate) fn settings(lab: &Lab) -> String {
    let mut of_lab = lab.settings();
    of_lab["kind"] = json!("ssh");
    format!("providers.lab = {}\n", inline(&of_lab))
}

/// A value as TOML has it in one line.
fn inline(value: &Value) -> String {
    let Some(table) = value.as_object() else {
        return value.to_string();
    };
    let mut text = String::from("{ ");
    for (index, (key, value)) in table.iter().enumerate() {
        let comma = if index == 0 { "" } else { ", " };
        let _ = write!(text, "{comma}{} = {}", json!(key), inline(value));
    }
    text + " }"
}
