//! What a command is told: the whole request as JSON, and what is one word of it as variables.

use std::collections::BTreeMap;

use encamp_core::{Ambient, Create, Env, List, Target, Value, Verb};
use serde::Serialize;

use crate::manifest::Manifest;

/// The variables that commands see of their caller without being asked.
const ALWAYS: [&str; 4] = ["PATH", "HOME", "LANG", "TMPDIR"];

/// A call that is about to be made.
#[derive(Debug, Clone)]
pub(crate) struct Call {
    pub(crate) verb: Verb,
    /// The request.
    pub(crate) json: Vec<u8>,
    pub(crate) variables: BTreeMap<String, String>,
    /// What follows the command.
    pub(crate) arguments: Vec<String>,
}

impl Call {
    pub(crate) fn new(verb: Verb, request: &impl Serialize) -> Self {
        let mut variables = BTreeMap::new();
        variables.insert("ENCAMP_VERB".to_owned(), verb.as_str().to_owned());
        Self {
            verb,
            json: serde_json::to_vec(request).unwrap_or_default(),
            variables,
            arguments: Vec::new(),
        }
    }

    pub(crate) fn with(mut self, name: &str, value: impl Into<String>) -> Self {
        self.variables.insert(format!("ENCAMP_{name}"), value.into());
        self
    }

    /// The same with the words of a table or of settings.
    pub(crate) fn with_words(mut self, prefix: &str, table: &Value) -> Self {
        for (key, value) in table.as_object().into_iter().flatten() {
            if let Some(word) = word(value) {
                let name = key.to_ascii_uppercase().replace('-', "_");
                self.variables.insert(format!("ENCAMP_{prefix}{name}"), word);
            }
        }
        self
    }

    /// About one machine.
    pub(crate) fn about(self, target: &Target) -> Self {
        let id = target.id.clone().unwrap_or_default();
        self.with("KEY", target.stamp.key.as_str()).with("ID", id)
    }

    pub(crate) fn of_create(create: &Create, table: &Value) -> Self {
        let call = Self::new(Verb::Create, create).with_words("", table);
        let call = call
            .with("KEY", create.stamp.key.as_str())
            .with("NAME", create.name.as_str());
        let call = call.with("ENV", exports(&create.env));
        match &create.expires {
            Some(expires) => call.with("EXPIRES", expires.to_string()),
            None => call,
        }
    }

    pub(crate) fn of_list(list: &List) -> Self {
        Self::new(Verb::List, list).with("PREFIX", list.prefix())
    }
}

/// The machine's variables as lines that a shell reads: `export NAME='value'`.
fn exports(env: &Env) -> String {
    let line = |(name, value): (&String, &String)| format!("export {name}='{}'\n", value.replace('\'', "'\\''"));
    env.iter().map(line).collect()
}

/// A value that is one word.
fn word(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Bool(_) | Value::Number(_) => Some(value.to_string()),
        Value::Null | Value::Array(_) | Value::Object(_) => None,
    }
}

/// The variables of the caller that commands of a manifest see.
pub(crate) fn passed(manifest: &Manifest, ambient: &Ambient) -> BTreeMap<String, String> {
    let names = ALWAYS.into_iter().chain(manifest.pass.iter().map(String::as_str));
    let found = names.filter_map(|name| Some((name.to_owned(), ambient.variable(name)?.to_owned())));
    found.collect()
}
