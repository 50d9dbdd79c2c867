//! Settings, from several places. Each overrides the ones before it:
//!
//! 1. what is built in: an instance of each kind, under the kind's own name
//! 2. `/etc/encamp/settings.toml`, the system's
//! 3. `$XDG_CONFIG_HOME/encamp/settings.toml`, the user's
//! 4. `.encamp/settings.toml` beside the environment file, the project's
//! 5. `ENCAMP__*` variables, `__` between the parts of a name
//! 6. flags

mod layer;
mod secret;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use config::builder::DefaultState;
use config::{Config, ConfigBuilder, Environment};
use encamp::file::spec::SecretSource;
use encamp::{InstanceName, Name, Policy, Value};

use self::layer::{Layer, Origin};
use crate::codes;
use crate::failure::{Failure, Refusal};
use crate::variables::{PREFIX, SEPARATOR, Variables};

const SYSTEM: &str = "/etc/encamp/settings.toml";
const PROJECT: &str = ".encamp/settings.toml";
/// The variable that names plugins.
pub(crate) const PLUGINS: &str = "ENCAMP__PLUGINS";

/// A provider instance as it is configured.
#[derive(Debug, Clone)]
pub(crate) struct Instance {
    pub(crate) name: String,
    pub(crate) kind: String,
    pub(crate) settings: Value,
    /// Where it is spoken of, the last that counts first; empty for a built-in one.
    pub(crate) origins: Vec<String>,
    /// The file to write in what is to count: the last that speaks of it, else the user's.
    pub(crate) file: Option<PathBuf>,
}

/// All settings, checked.
#[derive(Debug, Clone)]
pub(crate) struct Settings {
    pub(crate) state_dir: PathBuf,
    pub(crate) log: Option<String>,
    /// Whether environments have a keeper that outlives the command.
    pub(crate) keeper: bool,
    pub(crate) policy: Policy,
    pub(crate) instances: Vec<Instance>,
    /// Where something is said, the last that counts last.
    pub(crate) origins: Vec<String>,
    /// Where secrets come from that a file speaks of and does not declare.
    pub(crate) secrets: BTreeMap<Name, SecretSource>,
}

/// Where settings are looked for, beside what is built in.
#[derive(Debug)]
pub(crate) struct Places<'a> {
    pub(crate) variables: &'a Variables,
    /// `--state`.
    pub(crate) state: Option<&'a Path>,
    /// The folder of the environment file.
    pub(crate) project: &'a Path,
    /// The kinds that this program carries.
    pub(crate) kinds: &'a [String],
    /// Those of which there is an instance without settings, by their own name.
    pub(crate) bare: &'a [String],
    /// The settings of kinds that are lists.
    pub(crate) lists: &'a [String],
}

/// Where the store is, whatever else the settings say; none where they cannot be read.
pub(crate) fn state_folder(places: &Places<'_>) -> Option<PathBuf> {
    let (merged, _) = merge(places).ok()?;
    merged.state_dir.or_else(|| places.variables.state())
}

/// The files and folders of plugins: the last of the system's settings, the user's and the variables that names any. A
/// project's own would let whoever writes a repository run what they like.
pub(crate) fn plugins(variables: &Variables) -> Result<Vec<PathBuf>, Failure> {
    if let Some((_, paths)) = variables.settings().find(|(name, _)| name == PLUGINS) {
        return Ok(paths
            .split(',')
            .filter(|path| !path.is_empty())
            .map(PathBuf::from)
            .collect());
    }
    let mut plugins = Vec::new();
    for path in [Some(PathBuf::from(SYSTEM)), variables.settings_file()]
        .into_iter()
        .flatten()
    {
        let Some((_, layer)) = layer::read(&path)? else {
            continue;
        };
        if layer.plugins.is_empty() {
            continue;
        }
        let folder = path.parent().unwrap_or(Path::new("/"));
        plugins = layer.plugins.into_iter().map(|plugin| folder.join(plugin)).collect();
    }
    Ok(plugins)
}

/// Reads and checks all settings.
pub(crate) fn load(places: &Places<'_>) -> Result<Settings, Failure> {
    let (merged, layers) = merge(places)?;
    finish(places, merged, &layers)
}

/// All places together, and each by itself.
fn merge(places: &Places<'_>) -> Result<(Layer, Vec<(Origin, Layer)>), Failure> {
    let files = [
        Some(PathBuf::from(SYSTEM)),
        places.variables.settings_file(),
        Some(places.project.join(PROJECT)),
    ];
    let mut layers = Vec::new();
    let mut builder = built_in(places)?;
    for path in files.into_iter().flatten() {
        if let Some((source, layer)) = layer::read(&path)? {
            if !layer.plugins.is_empty() && path.ends_with(PROJECT) {
                let refusal = Refusal::new(codes::SETTINGS, "a project's settings may name no `plugins`");
                let place = refusal.place(path.display().to_string());
                return Err(place
                    .help("name them in your own settings, or in ENCAMP__PLUGINS")
                    .into());
            }
            builder = builder.add_source(source);
            layers.push((Origin::File(path), layer));
        }
    }
    let variables = Environment::with_prefix(PREFIX)
        .prefix_separator(SEPARATOR)
        .separator(SEPARATOR)
        .try_parsing(true)
        .list_separator(",")
        .source(Some(places.variables.settings().collect()));
    // Asked for even where there is none: without a key to parse, everything is a list.
    let variables = lists(places)
        .iter()
        .fold(variables.with_list_parse_key(""), |variables, key| {
            variables.with_list_parse_key(key)
        });
    let of_variables = layer::check(&Origin::Variables, variables.clone())?;
    if places.variables.settings().next().is_some() {
        layers.push((Origin::Variables, of_variables));
    }
    builder = builder.add_source(variables);
    let state = places.state.map(|path| path.display().to_string());
    let merged = builder
        .set_override_option("state_dir", state)
        .and_then(ConfigBuilder::<DefaultState>::build);
    let merged: Layer = merged
        .and_then(Config::try_deserialize)
        .map_err(|error| layer::wrong(&Origin::Together, &error))?;
    Ok((merged, layers))
}

/// The variables that hold lists, by what they set: `providers.docker.allow`.
fn lists(places: &Places<'_>) -> Vec<String> {
    let named = places.variables.settings().filter_map(|(name, _)| {
        let name = name.to_lowercase();
        match name.split(SEPARATOR).collect::<Vec<_>>().as_slice() {
            [_, "providers", instance, key] if places.lists.iter().any(|list| list == key) => {
                Some(format!("providers.{instance}.{key}"))
            }
            [_, "plugins"] => Some("plugins".to_owned()),
            _ => None,
        }
    });
    named.collect()
}

fn built_in(places: &Places<'_>) -> Result<ConfigBuilder<DefaultState>, Failure> {
    places.bare.iter().try_fold(Config::builder(), |builder, kind| {
        let default = builder.set_default(format!("providers.{kind}.kind"), kind.as_str());
        default.map_err(|error| layer::wrong(&Origin::BuiltIn, &error))
    })
}

fn finish(places: &Places<'_>, merged: Layer, layers: &[(Origin, Layer)]) -> Result<Settings, Failure> {
    let Some(state_dir) = merged.state_dir.or_else(|| places.variables.state()) else {
        let refusal = Refusal::new(
            codes::SETTINGS,
            "there is no state folder: neither HOME nor XDG_STATE_HOME is set",
        );
        return Err(refusal.help("name one with --state or ENCAMP__STATE_DIR").into());
    };
    let mut instances = Vec::new();
    for (name, mut table) in merged.providers {
        let origins: Vec<String> = layers
            .iter()
            .rev()
            .filter(|(_, layer)| layer.providers.contains_key(&name))
            .map(|(origin, _)| origin.to_string())
            .collect();
        let file = layers.iter().rev().find_map(|(origin, layer)| match origin {
            Origin::File(path) if layer.providers.contains_key(&name) => Some(path.clone()),
            _ => None,
        });
        let wrong = |message: String| {
            let place = origins.first().cloned().unwrap_or_default();
            Failure::from(Refusal::new(codes::SETTINGS, message).place(place))
        };
        InstanceName::new(name.as_str()).map_err(|error| wrong(format!("[providers.{name}]: {error}")))?;
        let kind = match table.remove("kind") {
            Some(Value::String(kind)) => kind,
            Some(_) => return Err(wrong(format!("[providers.{name}]: `kind` must be a string"))),
            None => return Err(wrong(format!("[providers.{name}] says no `kind`"))),
        };
        if !places.kinds.contains(&kind) {
            let known = places.kinds.join(", ");
            return Err(wrong(format!(
                "[providers.{name}]: no kind is called `{kind}`; there are: {known}"
            )));
        }
        instances.push(Instance {
            name,
            kind,
            settings: Value::Object(table),
            origins,
            file: file.or_else(|| places.variables.settings_file()),
        });
    }
    Ok(Settings {
        state_dir,
        log: merged.log,
        keeper: merged.keeper.unwrap_or(true),
        policy: merged.timeouts.policy(),
        instances,
        origins: layers.iter().map(|(origin, _)| origin.to_string()).collect(),
        secrets: secrets(layers)?,
    })
}

/// Each from the last place that speaks of it, as a whole.
fn secrets(layers: &[(Origin, Layer)]) -> Result<BTreeMap<Name, SecretSource>, Failure> {
    let mut secrets = BTreeMap::new();
    for (origin, layer) in layers {
        let wrong = |message: String| Failure::from(Refusal::new(codes::SETTINGS, message).place(origin.to_string()));
        for (name, given) in &layer.secrets {
            let source = given.0.clone().ok_or_else(|| wrong(secret::several(name)))?;
            let name = Name::new(name.as_str()).map_err(|error| wrong(format!("[secrets]: {error}")))?;
            secrets.insert(name, source);
        }
    }
    Ok(secrets)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_instance_of_each_kind_is_there() {
        let folder = tempfile::tempdir().unwrap();
        let places = Places {
            variables: &Variables::default(),
            state: Some(folder.path()),
            project: folder.path(),
            kinds: &["docker".to_owned(), "acme".to_owned()],
            bare: &["docker".to_owned(), "acme".to_owned()],
            lists: &[],
        };
        let settings = load(&places).unwrap();
        let names: Vec<_> = settings
            .instances
            .iter()
            .map(|instance| instance.name.as_str())
            .collect();
        assert_eq!(names, ["acme", "docker"]);
        assert_eq!(settings.policy, Policy::default());
        assert_eq!(settings.state_dir, folder.path());
    }

    #[test]
    fn the_project_adds_to_what_is_built_in() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir(folder.path().join(".encamp")).unwrap();
        let text = "[providers.docker]\nchanges_at_once = 2\n[providers.far-away]\nkind = \"docker\"\n[timeouts]\ncreate = \"3m\"\n";
        std::fs::write(folder.path().join(PROJECT), text).unwrap();
        let places = Places {
            variables: &Variables::default(),
            state: Some(folder.path()),
            project: folder.path(),
            kinds: &["docker".to_owned()],
            bare: &["docker".to_owned()],
            lists: &[],
        };
        let settings = load(&places).unwrap();
        assert_eq!(settings.instances.len(), 2);
        let docker = &settings.instances[0];
        assert_eq!(
            (docker.kind.as_str(), &docker.settings),
            ("docker", &serde_json::json!({ "changes_at_once": 2 }))
        );
        assert_eq!(settings.policy.create, std::time::Duration::from_mins(3));
    }

    #[test]
    fn a_secret_comes_from_the_last_place_that_speaks_of_it() {
        let folder = tempfile::tempdir().unwrap();
        let write = |path: &str, text: &str| {
            let path = folder.path().join(path);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, text).unwrap();
        };
        write(
            "config/encamp/settings.toml",
            "[secrets]\ntoken = { variable = \"TOKEN\" }\nother = { command = [\"pass\", \"x\"] }\n",
        );
        write(PROJECT, "[secrets]\ntoken = { file = \"token\" }\n");
        let variables = Variables::of([("XDG_CONFIG_HOME", folder.path().join("config"))]);
        let settings = load(&Places {
            variables: &variables,
            state: Some(folder.path()),
            project: folder.path(),
            kinds: &[],
            bare: &[],
            lists: &[],
        });
        let secrets: Vec<String> = settings
            .unwrap()
            .secrets
            .iter()
            .map(|(name, source)| format!("{name} {source:?}"))
            .collect();
        assert_eq!(
            secrets,
            [
                r#"other Command(Argv([Text("pass"), Text("x")]))"#,
                r#"token File("token")"#
            ]
        );
    }
}
