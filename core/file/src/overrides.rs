//! What `--set` says.

use std::collections::BTreeMap;

use encamp_core::InstanceName;

use crate::codes;
use crate::cx::Cx;
use crate::diagnose::Diagnostic;
use crate::nearest;
use crate::node::{Content, Node};
use crate::toml;
use crate::world::World;

/// What `--set` says; the last of several for the same key holds.
#[derive(Debug, Default)]
pub(crate) struct Overrides {
    /// By the input's name, as text.
    pub(crate) inputs: BTreeMap<String, String>,
    /// By the machine's name, or `*`.
    providers: BTreeMap<String, Vec<InstanceName>>,
}

impl Overrides {
    pub(crate) fn read(set: &[(String, String)], cx: &mut Cx<'_>) -> Self {
        let mut overrides = Self::default();
        for (key, text) in set {
            let parts: Vec<&str> = key.split('.').collect();
            match parts.as_slice() {
                ["inputs", name] | [name] if !name.is_empty() => {
                    overrides.inputs.insert((*name).to_owned(), text.clone());
                }
                ["machines", machine, "provider"] => {
                    if let Some(providers) = providers(key, text, cx) {
                        overrides.providers.insert((*machine).to_owned(), providers);
                    }
                }
                _ => {
                    let message = format!("--set {key}: this cannot be set");
                    let help = "inputs.NAME=VALUE or machines.NAME.provider=PROVIDER".to_owned();
                    cx.add(Diagnostic::error(codes::BAD_SET, None, message).help(help));
                }
            }
        }
        overrides
    }

    /// The providers that take the place of those in the file.
    pub(crate) fn providers(&self, machine: &str) -> Option<&[InstanceName]> {
        let named = self.providers.get(machine).or_else(|| self.providers.get("*"));
        named.map(Vec::as_slice)
    }

    /// Refuses those that speak of nothing in the file.
    pub(crate) fn check_machines(&self, world: &World, cx: &mut Cx<'_>) {
        for machine in self.providers.keys().filter(|machine| *machine != "*") {
            if !world.names().any(|name| name == machine) {
                let message = format!("--set machines.{machine}.provider: no machine is called `{machine}`");
                let help = nearest::did_you_mean(machine, world.names());
                cx.add(Diagnostic::error(codes::BAD_SET, None, message).help(help));
            }
        }
    }
}

fn providers(key: &str, text: &str, cx: &mut Cx<'_>) -> Option<Vec<InstanceName>> {
    let names: Vec<String> = match toml::parse_value(text).map(|node| node.value) {
        Some(Content::List(items)) => items.iter().map(item_text).collect(),
        Some(Content::String(name)) => vec![name],
        _ => vec![text.to_owned()],
    };
    let mut providers = Vec::new();
    for name in &names {
        let Some((instance, _)) = cx.kinds.instances.get_key_value(name.as_str()) else {
            let message = format!("--set {key}: no provider is called `{name}`");
            let known = || cx.kinds.instances.keys().map(InstanceName::as_str);
            let help = nearest::did_you_mean(name, known())
                .unwrap_or_else(|| format!("providers: {}", nearest::listed(known())));
            cx.add(Diagnostic::error(codes::UNKNOWN_PROVIDER, None, message).help(help));
            return None;
        };
        providers.push(instance.clone());
    }
    (!providers.is_empty()).then_some(providers)
}

fn item_text(node: &Node) -> String {
    match &node.value {
        Content::String(text) => text.clone(),
        _ => node.to_json().to_string(),
    }
}
