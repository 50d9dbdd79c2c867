//! `NAME.provider.toml`: what a script can do, and how it is called.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use encamp_core::table::Span;
use encamp_core::{
    AccessForm, Capabilities, Error, ErrorKind, ExitDetail, Keeps, KindName, Limits, LogDetail, Result, SelfExpiry,
    Settle, Value, Verb,
};
use serde::Deserialize;
use serde_json::{Map, json};

use crate::files::SUFFIX;

/// A manifest, read and checked.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct Manifest {
    /// The kind's name.
    pub name: KindName,
    /// Its version.
    pub version: String,
    /// The commands, by verb.
    pub run: BTreeMap<Verb, Vec<String>>,
    /// Variables of the caller that commands see.
    pub pass: Vec<String>,
    /// What it can do.
    pub capabilities: Capabilities,
    /// JSON Schema of the machine's table; its first example is what a check of the provider makes.
    pub table_schema: Value,
    /// JSON Schema of the settings.
    pub settings_schema: Value,
}

/// The verbs that a script may offer, and those that it must.
const VERBS: [Verb; 15] = [
    Verb::Check,
    Verb::Inspect,
    Verb::List,
    Verb::Prepare,
    Verb::Create,
    Verb::Start,
    Verb::Stop,
    Verb::Pause,
    Verb::Renew,
    Verb::Destroy,
    Verb::Exec,
    Verb::CopyIn,
    Verb::CopyOut,
    Verb::Dial,
    Verb::Logs,
];
/// Those that lead into a machine.
const INSIDE: [Verb; 4] = [Verb::Exec, Verb::CopyIn, Verb::CopyOut, Verb::Dial];
const REQUIRED: [Verb; 3] = [Verb::Create, Verb::Destroy, Verb::List];

/// The manifest as it stands there.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Text {
    #[serde(default)]
    name: Option<String>,
    #[serde(default = "first_version")]
    version: String,
    #[serde(default)]
    capabilities: Can,
    run: BTreeMap<String, Vec<String>>,
    #[serde(default)]
    pass: Vec<String>,
    #[serde(default)]
    table: Option<Map<String, Value>>,
    #[serde(default)]
    required: Vec<String>,
    #[serde(default)]
    settings: Option<Map<String, Value>>,
    #[serde(default)]
    check: Option<Value>,
}

fn first_version() -> String {
    "0.1.0".to_owned()
}

#[derive(Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Can {
    keeps: Keeps,
    unknown_machine: Unknown,
    /// None where nothing is said of it.
    access: Option<AccessForm>,
    /// None where nothing is said of it.
    login: Option<bool>,
    self_expiry: SelfExpiry,
    logs: LogDetail,
    env_visible: bool,
    names: bool,
    changes_at_once: u32,
}

impl Default for Can {
    fn default() -> Self {
        Self {
            keeps: Keeps::KeyOnly,
            unknown_machine: Unknown::Replay,
            access: None,
            login: None,
            self_expiry: SelfExpiry::None,
            logs: LogDetail::default(),
            env_visible: true,
            names: false,
            changes_at_once: Limits::default().changes,
        }
    }
}

/// How the outcome of a `create` without an answer is found out.
#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Unknown {
    /// The same call again finds the same machine, by its key.
    Replay,
    /// It is looked for until both have passed.
    Lookup { request_life: Span, visibility: Span },
}

impl Manifest {
    /// Reads and checks a manifest.
    pub fn read(path: &Path) -> Result<Self> {
        let text = std::fs::read_to_string(path)
            .map_err(|e| Error::new(ErrorKind::Invalid, format!("{} cannot be read", path.display())).caused_by(e))?;
        let file = path.file_name().unwrap_or_default().to_string_lossy();
        let otherwise = file.strip_suffix(SUFFIX).unwrap_or(&file);
        Self::parse(&text, otherwise).map_err(|error| error.with("manifest", path.display()))
    }

    /// The programs that are named by a path; one without a folder is the manifest's own.
    pub fn programs(&self, folder: &Path) -> BTreeSet<PathBuf> {
        let first = self.run.values().filter_map(|command| command.first());
        let by_path = first.filter(|program| program.contains('/'));
        by_path.map(|program| folder.join(program)).collect()
    }

    /// The same from a text; the name counts where the text has none.
    pub fn parse(text: &str, name: &str) -> Result<Self> {
        let wrong = |why: String| Error::new(ErrorKind::Invalid, why);
        let text: Text = toml::from_str(text).map_err(|e| wrong(e.to_string().trim_end().to_owned()))?;
        let name = text.name.as_deref().unwrap_or(name);
        let name = KindName::new(name).map_err(|e| wrong(format!("`name`: {e}")))?;
        let mut run = BTreeMap::new();
        for (word, command) in text.run {
            let verb = VERBS.into_iter().find(|verb| verb.as_str() == word);
            let verb = verb.ok_or_else(|| {
                let known = VERBS.map(Verb::as_str).join(", ");
                wrong(format!("`run.{word}` is no verb that a script can have")).with("they are", known)
            })?;
            if command.is_empty() {
                return Err(wrong(format!("`run.{word}` names no command")));
            }
            run.insert(verb, command);
        }
        if let Some(missing) = REQUIRED.into_iter().find(|verb| !run.contains_key(verb)) {
            return Err(wrong(format!("`run.{missing}` is missing"))
                .next_step(format!("{missing} = [\"./{name}.sh\", \"{missing}\"]")));
        }
        let is_open = text.table.is_none();
        Ok(Self {
            capabilities: capabilities(&text.capabilities, &run),
            table_schema: {
                let properties = text.table.unwrap_or_default().into_iter().map(late).collect();
                let mut schema = schema(&properties, &text.required, is_open);
                // What a check of the provider makes.
                schema["examples"] = json!([text.check.unwrap_or_else(|| json!({}))]);
                schema
            },
            settings_schema: schema(&text.settings.unwrap_or_default(), &[], false),
            name,
            version: text.version,
            run,
            pass: text.pass,
        })
    }
}

/// Texts of a table may be known only later: scripts see them when they are.
fn late((key, mut property): (String, Value)) -> (String, Value) {
    if property["type"] == "string"
        && let Some(keys) = property.as_object_mut()
    {
        keys.entry("x-late").or_insert(Value::Bool(true));
    }
    (key, property)
}

/// JSON Schema of an object with these properties.
fn schema(properties: &Map<String, Value>, required: &[String], is_open: bool) -> Value {
    json!({
        "type": "object",
        "properties": properties,
        "required": required,
        "additionalProperties": is_open,
    })
}

fn capabilities(can: &Can, run: &BTreeMap<Verb, Vec<String>>) -> Capabilities {
    let settle = match can.unknown_machine {
        Unknown::Replay => Settle::Replay { token_life: None },
        Unknown::Lookup {
            request_life: Span(request_life),
            visibility: Span(visibility),
        } => Settle::Lookup {
            request_life,
            visibility,
        },
    };
    let mut capabilities = Capabilities::new(can.keeps, settle);
    let least = Capabilities::new(can.keeps, settle);
    // What every provider has needs no word.
    let optional: BTreeSet<Verb> = run.keys().copied().filter(|verb| !least.offers(*verb)).collect();
    capabilities.signals = optional.contains(&Verb::Exec);
    capabilities.verbs = optional;
    capabilities.unknown_scope = Settle::Replay { token_life: None };
    capabilities.self_expiry = can.self_expiry;
    // Machines that nothing leads into have an address: that is the least that a script says.
    let leads_in = INSIDE.iter().any(|verb| run.contains_key(verb));
    let otherwise = if leads_in { AccessForm::Native } else { AccessForm::Ssh };
    capabilities.access = can.access.unwrap_or(otherwise);
    capabilities.login = can.login.unwrap_or(capabilities.access == AccessForm::Ssh);
    capabilities.exits = ExitDetail::Code;
    capabilities.logs = can.logs;
    capabilities.env_visible = can.env_visible;
    capabilities.scope_names = can.names;
    capabilities.limits = Limits::new(can.changes_at_once.max(1), Limits::default().reads);
    capabilities
}

#[cfg(test)]
mod tests {
    use super::*;

    const LEAST: &str =
        "[run]\ncreate = [\"./x\", \"create\"]\ndestroy = [\"./x\", \"destroy\"]\nlist = [\"./x\", \"list\"]\n";

    #[test]
    fn the_least_is_three_commands() {
        let manifest = Manifest::parse(LEAST, "lab").unwrap();
        assert_eq!(manifest.name.as_str(), "lab");
        assert_eq!(manifest.capabilities.keeps, Keeps::KeyOnly);
        assert!(manifest.capabilities.verbs.is_empty());
        assert!(!manifest.capabilities.signals);
    }

    #[test]
    fn programs_by_a_path_are_known() {
        let text = LEAST.replace(
            "list = [\"./x\"",
            "stop = [\"plain\"]\nexec = [\"/bin/lab\"]\nlist = [\"./x\"",
        );
        let manifest = Manifest::parse(&text, "lab").unwrap();
        let programs: Vec<_> = manifest.programs(Path::new("/lab")).into_iter().collect();
        assert_eq!(programs, [Path::new("/bin/lab"), Path::new("/lab/x")]);
    }

    #[test]
    fn what_is_wrong_is_said() {
        for (text, why) in [
            ("[run]\ncreate = [\"x\"]\nlist = [\"x\"]\n", "`run.destroy` is missing"),
            (&format!("{LEAST}fly = [\"x\"]\n"), "`run.fly` is no verb"),
            (&format!("{LEAST}stop = []\n"), "`run.stop` names no command"),
            (&format!("nmae = \"x\"\n{LEAST}"), "unknown field `nmae`"),
            (&format!("name = \"No\"\n{LEAST}"), "`name`"),
        ] {
            let error = Manifest::parse(text, "lab").unwrap_err();
            assert!(error.message().contains(why), "{}", error.message());
        }
    }

    /// As the contract shows it.
    const CONTRACT: &str = r#"
[capabilities]
keeps = "key"
unknown_machine = { lookup = { request_life = "60s", visibility = "5s" } }
[run]                                   # scalars arrive as ENCAMP_KEY, ENCAMP_PREFIX, ENCAMP_IMAGE … ; the full JSON on stdin
create  = ["./lab.sh", "create"]
destroy = ["./lab.sh", "destroy"]
list    = ["./lab.sh", "list"]
"#;

    #[test]
    fn machines_that_nothing_leads_into_are_reached_by_ssh() {
        for (text, access) in [
            (CONTRACT.to_owned(), AccessForm::Ssh),
            (
                CONTRACT.replace("keeps", "access = \"native\"\nkeeps"),
                AccessForm::Native,
            ),
            (format!("{CONTRACT}exec = [\"x\"]\n"), AccessForm::Native),
            (format!("{CONTRACT}logs = [\"x\"]\n"), AccessForm::Ssh),
        ] {
            let manifest = Manifest::parse(&text, "lab").unwrap();
            assert_eq!(manifest.capabilities.access, access, "{text}");
            // Who logs in there is the environment, unless it is said that somebody else does.
            assert_eq!(manifest.capabilities.login, access == AccessForm::Ssh, "{text}");
        }
        for (word, login) in [("true", true), ("false", false)] {
            let text = CONTRACT.replace("keeps", &format!("login = {word}\nkeeps"));
            assert_eq!(Manifest::parse(&text, "lab").unwrap().capabilities.login, login);
        }
    }

    #[test]
    fn texts_of_a_table_may_come_later() {
        let table = "[table]\nimage = { type = \"string\" }\nsize = { type = \"integer\" }\n\
                     now = { type = \"string\", x-late = false }\n";
        let manifest = Manifest::parse(&format!("{LEAST}{table}"), "lab").unwrap();
        let properties = &manifest.table_schema["properties"];
        let may = |key: &str| properties[key]["x-late"] == true;
        assert!(may("image") && !may("size") && !may("now"), "{properties}");
    }

    #[test]
    fn capabilities_are_what_is_declared() {
        let text = "[capabilities]\nkeeps = \"labels\"\nunknown_machine = { lookup = { request_life = \"60s\", visibility = \"5s\" } }\n";
        let manifest = Manifest::parse(&format!("{text}{LEAST}exec = [\"./x\", \"exec\"]\n"), "lab").unwrap();
        let capabilities = manifest.capabilities;
        assert_eq!(capabilities.keeps, Keeps::Labels);
        let Settle::Lookup {
            request_life,
            visibility,
        } = capabilities.unknown_machine
        else {
            panic!("{capabilities:?}");
        };
        assert_eq!((request_life.as_secs(), visibility.as_secs()), (60, 5));
        assert!(capabilities.offers(Verb::Exec) && capabilities.signals && !capabilities.offers(Verb::Stop));
    }
}
