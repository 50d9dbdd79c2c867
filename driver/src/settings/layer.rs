//! One source of settings, read and checked by itself, so that what is wrong is named with its file.

use std::collections::BTreeMap;
use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use config::{Config, ConfigError, File, FileFormat, FileSourceString, Source};
use encamp::{Policy, Value, file};
use serde::de::Error as _;
use serde::{Deserialize, Deserializer};

use super::secret::Given;
use crate::codes;
use crate::failure::{Failure, Refusal};
use crate::moment;

/// The text of a settings file.
pub(super) type TomlText = File<FileSourceString, FileFormat>;

/// Where settings come from.
#[derive(Debug, Clone)]
pub(super) enum Origin {
    BuiltIn,
    File(PathBuf),
    Variables,
    Together,
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::BuiltIn => f.write_str("the built-in settings"),
            Self::File(path) => path.display().fmt(f),
            Self::Variables => f.write_str("the ENCAMP__ variables"),
            Self::Together => f.write_str("all settings together"),
        }
    }
}

/// What a source may say.
#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct Layer {
    pub(super) state_dir: Option<PathBuf>,
    pub(super) log: Option<String>,
    pub(super) keeper: Option<bool>,
    pub(super) plugins: Vec<PathBuf>,
    pub(super) timeouts: Timeouts,
    pub(super) providers: BTreeMap<String, serde_json::Map<String, Value>>,
    pub(super) secrets: BTreeMap<String, Given>,
}

/// How long things may take, as [`Policy`] has it.
#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct Timeouts {
    check: Option<Span>,
    create: Option<Span>,
    change: Option<Span>,
    down: Option<Span>,
    takeover: Option<Span>,
    watch: Option<Span>,
    grace: Option<Span>,
}

impl Timeouts {
    pub(super) fn policy(&self) -> Policy {
        let mut policy = Policy::default();
        for (to, from) in [
            (&mut policy.check, &self.check),
            (&mut policy.create, &self.create),
            (&mut policy.change, &self.change),
            (&mut policy.down, &self.down),
            (&mut policy.takeover, &self.takeover),
            (&mut policy.watch, &self.watch),
            (&mut policy.grace, &self.grace),
        ] {
            if let Some(Span(span)) = from {
                *to = *span;
            }
        }
        policy
    }
}

#[derive(Debug)]
struct Span(Duration);

impl<'de> Deserialize<'de> for Span {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        moment::span(&text).map(Self).map_err(D::Error::custom)
    }
}

/// Reads and checks a file; one that is not there says nothing.
pub(super) fn read(path: &Path) -> Result<Option<(TomlText, Layer)>, Failure> {
    let text = match std::fs::read_to_string(path) {
        Ok(text) => text,
        Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => {
            return Ok(None);
        }
        Err(error) => {
            let refusal = Refusal::new(codes::SETTINGS, "settings cannot be read").place(path.display().to_string());
            return Err(refusal.why(error.to_string()).into());
        }
    };
    let origin = Origin::File(path.to_owned());
    let source = File::from_str(&text, FileFormat::Toml);
    let layer = check(&origin, source.clone())?;
    if layer.state_dir.as_ref().is_some_and(|folder| !folder.is_absolute()) {
        let refusal = Refusal::new(codes::SETTINGS, "`state_dir` in a file must be an absolute path");
        return Err(refusal
            .place(origin.to_string())
            .help("a relative one can stand in --state and ENCAMP__STATE_DIR")
            .into());
    }
    Ok(Some((source, layer)))
}

/// Checks a source by itself.
pub(super) fn check(origin: &Origin, source: impl Source + Send + Sync + 'static) -> Result<Layer, Failure> {
    let read = Config::builder()
        .add_source(source)
        .build()
        .and_then(Config::try_deserialize);
    read.map_err(|error| wrong(origin, &error))
}

/// What is wrong with a source, with its name.
pub(super) fn wrong(origin: &Origin, error: &ConfigError) -> Failure {
    let refusal = match explain(error) {
        (_, text) if text.contains('\n') => Refusal::new(codes::SETTINGS, "these settings are no TOML").why(text),
        (Some(key), text) => Refusal::new(codes::SETTINGS, format!("`{key}`: {text}")),
        (None, text) => {
            let refusal = Refusal::new(codes::SETTINGS, text.replacen("unknown field", "unknown key", 1));
            match meant(&text) {
                Some(help) => refusal.help(help),
                None => refusal,
            }
        }
    };
    refusal.place(origin.to_string()).into()
}

/// The known key that an unknown one is most like: ``unknown field `timeout`, expected one of `log`, `timeouts` ``.
fn meant(text: &str) -> Option<String> {
    let mut quoted = text.strip_prefix("unknown field ")?.split('`').skip(1).step_by(2);
    file::did_you_mean(quoted.next()?, quoted)
}

/// The key and the message, without what only the origin says.
fn explain(error: &ConfigError) -> (Option<String>, String) {
    match error {
        ConfigError::At { error, key, .. } => {
            let (inner, text) = explain(error);
            (key.clone().or(inner), text)
        }
        ConfigError::Type {
            unexpected,
            expected,
            key,
            ..
        } => (key.clone(), format!("expected {expected}, found {unexpected}")),
        ConfigError::FileParse { cause, .. } => (None, cause.to_string().trim_end().to_owned()),
        other => (None, other.to_string()),
    }
}
