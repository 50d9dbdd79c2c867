//! What a command is told: the whole request as JSON, and what is one word of it as variables.

use std::collections::BTreeMap;

use encamp_core::shell::exports;
use encamp_core::{Ambient, Create, Env, List, PublicKey, Result, Target, Value, Verb};
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
    /// What it says itself.
    variables: BTreeMap<String, String>,
    /// What a table or settings say.
    words: BTreeMap<String, String>,
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
            words: BTreeMap::new(),
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
                self.words.insert(format!("ENCAMP_{prefix}{name}"), word);
            }
        }
        self
    }

    /// All of them, the call's own last.
    pub(crate) fn told(&self) -> impl Iterator<Item = (&String, &String)> {
        self.words.iter().chain(&self.variables)
    }

    /// About one machine.
    pub(crate) fn about(self, target: &Target) -> Self {
        let id = target.id.clone().unwrap_or_default();
        self.with("KEY", target.stamp.key.as_str()).with("ID", id)
    }

    /// With variables of the machine's, which are no arguments: everybody on this host could read those.
    pub(crate) fn with_env(self, env: &Env) -> Result<Self> {
        Ok(self.with("ENV", exports(env)?))
    }

    pub(crate) fn of_create(create: &Create, table: &Value) -> Result<Self> {
        let call = Self::new(Verb::Create, create)
            .with_words("", table)
            .with("KEY", create.stamp.key.as_str())
            .with("NAME", create.name.as_str())
            .with_env(&create.env)?;
        let call = match &create.login {
            Some(PublicKey(key)) => call.with("LOGIN", key),
            None => call,
        };
        Ok(match &create.expires {
            Some(expires) => call.with("EXPIRES", expires.to_string()),
            None => call,
        })
    }

    pub(crate) fn of_list(list: &List) -> Self {
        Self::new(Verb::List, list).with("PREFIX", list.prefix())
    }
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

#[cfg(test)]
mod tests {
    use encamp_core::{Key, Labels, Name, Site, Stamp, Token};
    use serde_json::json;

    use super::*;

    #[test]
    fn a_table_never_says_what_a_call_says() {
        let stamp = Stamp::new(Key::new("k"), Token::new("t"), Labels::new());
        let table =
            json!({ "key": "x", "verb": "x", "name": "x", "env": "x", "login": "x", "setting-site": "x", "size": 3 });
        let mut create = Create::new(stamp, Site::new("s"), json!({}), Name::new("web").unwrap());
        create.env.insert("A".into(), "it's".into());
        create.login = Some(PublicKey("ssh-ed25519 AAAA encamp".into()));
        let call = Call::of_create(&create, &table).unwrap();
        let call = call.with_words("SETTING_", &json!({ "site": "one" }));
        for (name, value) in [
            ("KEY", "k"),
            ("VERB", "create"),
            ("NAME", "web"),
            ("LOGIN", "ssh-ed25519 AAAA encamp"),
            ("ENV", "export A='it'\\''s'\n"),
            ("SETTING_SITE", "one"),
            ("SIZE", "3"),
        ] {
            let name = format!("ENCAMP_{name}");
            let told: BTreeMap<_, _> = call.told().collect();
            assert_eq!(told[&name], value, "{name}");
        }
        create.env.insert("A;rm -r /".into(), String::new());
        assert_eq!(
            Call::of_create(&create, &table).unwrap_err().kind(),
            encamp_core::ErrorKind::Invalid
        );
    }
}
