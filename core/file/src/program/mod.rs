//! Environments that a program describes, instead of a file.
//!
//! What is built here is written as the text of an environment file and read as one: the same checks, the same planner,
//! the same expressions, and an error shows the line that it is about. What a builder has no method for,
//! [`set`](Machine::set) writes as a file would have it.

mod machine;
mod ready;
mod stage;
mod step;
mod text;

use std::ffi::OsString;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use encamp_core::{Error, ErrorKind, Report, Value};
use serde_json::{Map, json};

pub use self::machine::Machine;
pub use self::ready::Ready;
pub use self::stage::{Stage, Task};
pub use self::step::{Service, Step};
pub use self::text::{Command, Text, expr};
use crate::diagnose::Failure;
use crate::load::{Load, Loaded, load};
use crate::source::{FileKind, Found, Sources};

/// The name that errors give to what a program has built.
const NAME: &str = "program.toml";

/// A described environment.
#[derive(Debug, Clone)]
#[must_use]
pub struct Environment {
    keys: Map<String, Value>,
    folder: PathBuf,
}

impl Environment {
    /// An environment without machines, by a name of at most 40 characters of `[a-z0-9-]`.
    pub fn new(name: impl Into<String>) -> Self {
        let keys = Map::from_iter([("name".to_owned(), Value::String(name.into()))]);
        Self {
            keys,
            folder: PathBuf::from("."),
        }
    }

    /// How long it is wanted; an hour where nobody says it.
    pub fn ttl(self, ttl: Duration) -> Self {
        self.set("ttl", span(ttl))
    }

    /// With one more machine, or a group of them.
    pub fn machine(mut self, machine: Machine) -> Self {
        let (name, keys) = machine.into_parts();
        within(&mut self.keys, "machines").insert(name, keys);
        self
    }

    /// With one more stage for `run`.
    pub fn stage(mut self, stage: Stage) -> Self {
        push(&mut self.keys, "stages", stage.into_value());
        self
    }

    /// With something that it tells the outside once it is ready.
    pub fn output(mut self, name: impl Into<String>, text: impl Into<Text>) -> Self {
        within(&mut self.keys, "outputs").insert(name.into(), text.into().into_value());
        self
    }

    /// With a secret, by where it comes from.
    pub fn secret(mut self, name: impl Into<String>, secret: Secret) -> Self {
        within(&mut self.keys, "secrets").insert(name.into(), secret.0);
        self
    }

    /// The folder that relative paths start from; the program's own where nobody says it.
    pub fn folder(mut self, folder: impl Into<PathBuf>) -> Self {
        self.folder = folder.into();
        self
    }

    /// Any other key of the file, as the file would have it.
    pub fn set(mut self, key: impl Into<String>, value: impl Into<Value>) -> Self {
        self.keys.insert(key.into(), value.into());
        self
    }

    /// The same as the text of an environment file. Keys without a value are left out. An error where TOML has no form
    /// for a value.
    pub fn to_toml(&self) -> Result<String, Error> {
        let keys = self
            .keys
            .clone()
            .into_iter()
            .filter_map(|(key, value)| Some((key, given(value)?)));
        ::toml::to_string_pretty(&keys.collect::<Map<_, _>>()).map_err(|native| {
            Error::new(ErrorKind::Invalid, "the description cannot be written as a file").caused_by(native)
        })
    }

    /// Reads and checks it, as a file is read; `load` names what it may speak of.
    pub fn load(&self, like: &Load<'_>) -> Result<Loaded, Failure> {
        let path = self.folder.join(NAME);
        let sources = Program {
            text: self.to_toml().map_err(|error| Report(&error).to_string()),
            path: &path,
            others: like.sources,
        };
        let mut loaded = load(&Load {
            path: &path,
            sources: &sources,
            ..*like
        })?;
        loaded.environment.file = None;
        Ok(loaded)
    }
}

/// Where a secret comes from.
#[derive(Debug, Clone)]
#[must_use]
pub struct Secret(Value);

impl Secret {
    /// A variable of this process, where the library may read those.
    pub fn variable(name: impl Into<String>) -> Self {
        Self(json!({ "variable": name.into() }))
    }

    /// A file of this host.
    pub fn file(path: impl Into<Text>) -> Self {
        Self(json!({ "file": path.into().into_value() }))
    }

    /// What a command of this host says.
    pub fn command(command: impl Into<Command>) -> Self {
        Self(json!({ "command": command.into().into_value() }))
    }
}

/// The disk, and one text that does not lie there.
struct Program<'a> {
    text: Result<String, String>,
    path: &'a Path,
    others: &'a dyn Sources,
}

impl Sources for Program<'_> {
    fn read(&self, path: &Path) -> io::Result<String> {
        if path == self.path {
            return self.text.clone().map_err(io::Error::other);
        }
        self.others.read(path)
    }

    fn look(&self, path: &Path) -> io::Result<Found> {
        self.others.look(path)
    }

    fn list(&self, folder: &Path, most: usize) -> io::Result<Vec<(OsString, FileKind)>> {
        self.others.list(folder, most)
    }

    fn open(&self, path: &Path) -> io::Result<Box<dyn io::Read>> {
        self.others.open(path)
    }
}

/// A value without the keys and items that have none.
fn given(value: Value) -> Option<Value> {
    match value {
        Value::Null => None,
        Value::Array(items) => Some(items.into_iter().filter_map(given).collect()),
        Value::Object(keys) => {
            let keys = keys.into_iter().filter_map(|(key, value)| Some((key, given(value)?)));
            Some(Value::Object(keys.collect()))
        }
        other => Some(other),
    }
}

/// A length of time as a file has it.
fn span(span: Duration) -> Value {
    Value::String(format!("{}ms", span.as_millis()))
}

/// The table of that key.
fn within<'a>(keys: &'a mut Map<String, Value>, key: &str) -> &'a mut Map<String, Value> {
    let entry = keys.entry(key).or_insert_with(|| Value::Object(Map::new()));
    if !entry.is_object() {
        *entry = Value::Object(Map::new());
    }
    match entry {
        Value::Object(table) => table,
        // A table is what was just put there.
        _ => unreachable!(),
    }
}

/// One more item of the list of that key.
fn push(keys: &mut Map<String, Value>, key: &str, item: Value) {
    match keys.entry(key).or_insert_with(|| Value::Array(Vec::new())) {
        Value::Array(list) => list.push(item),
        other => *other = Value::Array(vec![item]),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kinds::Kinds;
    use crate::text::{Facts, Viewer};

    fn loaded(environment: &Environment) -> Result<Loaded, Failure> {
        let kinds = Kinds::default();
        environment.load(&Load::new(Path::new(""), &kinds))
    }

    #[test]
    fn text_of_a_program_is_taken_as_it_is() {
        let literal = "{{ me.name }} {% if %} }} 'quoted'";
        let text = Text::from(literal).into_value();
        assert_eq!(text, "{{ '{{' }} me.name }} {% if %} }} 'quoted'");
        let environment = Environment::new("shop")
            .output("a", literal)
            .output("b", expr("{{ 1 + 1 }}"));
        let loaded = loaded(&environment).unwrap();
        let outputs = &loaded.environment.outputs;
        let rendered = |name: &str| outputs[name].render(&Facts::default(), &Viewer::Controller).unwrap();
        assert_eq!((rendered("a").as_str(), rendered("b").as_str()), (literal, "2"));
    }

    #[test]
    fn what_has_no_value_is_left_out() {
        let environment = Environment::new("shop")
            .set("ttl", None::<String>)
            .set("machines", json!({ "a": null }));
        assert_eq!(environment.to_toml().unwrap(), "name = \"shop\"\n\n[machines]\n");
        let large = Environment::new("shop").set("ttl", u64::MAX);
        let said = loaded(&large).unwrap_err().render(false);
        assert!(said.contains("ttl = 18446744073709551615"), "{said}");
    }

    #[test]
    fn a_mistake_shows_its_line() {
        let environment = Environment::new("shop").set("machine", json!({}));
        let failure = loaded(&environment).unwrap_err();
        let text = failure.render(false);
        assert!(text.contains("program.toml") && text.contains("machine"), "{text}");
    }
}
