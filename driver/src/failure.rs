//! What failed, in six parts: what, where, why, the state now, one command to type, and a code.

use std::error::Error as _;
use std::time::Duration;

use encamp::{Error, ErrorKind, Value, Verb, file};
use serde_json::json;

use crate::codes::{self, Code};
use crate::exit::Exit;
use crate::flagged::flagged;
use crate::settings::Instance;
use crate::{clean, moment, style, words};

/// Why a command does not go on.
#[derive(Debug)]
pub(crate) enum Failure {
    /// The environment file is refused; the text is the file as it was named.
    File(Box<file::Failure>, String),
    /// The driver itself refuses.
    Refused(Box<Refusal>),
    /// The engine or a provider failed.
    Engine(Error),
    /// The same, in the environment of that name.
    Within(Error, String),
}

/// Says in which environment something failed, by the name that people know.
pub(crate) fn within(environment: &str) -> impl Fn(Error) -> Failure {
    let environment = environment.to_owned();
    move |error| Failure::Within(error, environment.clone())
}

/// What the driver itself refuses, and why.
#[derive(Debug)]
pub(crate) struct Refusal {
    code: Code,
    message: String,
    place: Option<String>,
    why: Option<String>,
    now: Option<String>,
    help: Option<String>,
}

impl Refusal {
    pub(crate) fn new(code: Code, message: impl Into<String>) -> Self {
        Self {
            code,
            message: message.into(),
            place: None,
            why: None,
            now: None,
            help: None,
        }
    }

    pub(crate) fn place(mut self, place: String) -> Self {
        self.place = (!place.is_empty()).then_some(place);
        self
    }

    pub(crate) fn why(mut self, why: impl Into<String>) -> Self {
        self.why = Some(why.into());
        self
    }

    /// What exists now, where the verb alone does not tell.
    pub(crate) fn now(mut self, now: impl Into<String>) -> Self {
        self.now = Some(now.into());
        self
    }

    pub(crate) fn help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }
}

impl From<Refusal> for Failure {
    fn from(refusal: Refusal) -> Self {
        Self::Refused(Box::new(refusal))
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Self::Engine(error)
    }
}

impl Failure {
    pub(crate) fn exit(&self) -> Exit {
        match self {
            Self::File(..) | Self::Refused(_) => Exit::Refused,
            Self::Engine(error) | Self::Within(error, _) => exit_of(error),
        }
    }

    /// The text for people.
    pub(crate) fn render(&self, scene: &Scene<'_>, colour: bool) -> String {
        match self {
            Self::File(failure, path) => {
                let severities = failure.diagnostics().iter().map(|diagnostic| diagnostic.severity);
                let (errors, warnings): (Vec<_>, Vec<_>) =
                    severities.partition(|severity| *severity == file::Severity::Error);
                let (errors, warnings) = (
                    words::count(errors.len(), "error"),
                    words::count(warnings.len(), "warning"),
                );
                format!(
                    "{}{}: {errors}, {warnings} · {}\n",
                    failure.render(colour),
                    clean::line(path),
                    scene.now
                )
            }
            Self::Refused(refusal) => Block {
                code: refusal.code,
                what: refusal.message.clone(),
                place: refusal.place.clone(),
                why: refusal.why.iter().cloned().collect(),
                now: refusal
                    .now
                    .clone()
                    .or_else(|| (!scene.now.is_empty()).then(|| scene.now.to_owned())),
                help: refusal.help.as_deref().map(|help| flagged(help, scene.state)),
                ..Block::default()
            }
            .render(),
            Self::Engine(error) => render(std::slice::from_ref(error), scene),
            Self::Within(error, environment) => {
                let environment = Some(environment.as_str());
                render(std::slice::from_ref(error), &Scene { environment, ..*scene })
            }
        }
    }

    /// A list of what is wrong, for programs.
    pub(crate) fn to_json(&self) -> Value {
        match self {
            Self::File(failure, _) => failure.to_json(),
            Self::Refused(refusal) => json!([{
                "code": refusal.code,
                "message": refusal.message,
                "place": refusal.place,
                "why": refusal.why,
                "help": refusal.help,
            }]),
            Self::Engine(error) => json!([error_json(error)]),
            Self::Within(error, environment) => {
                let mut error = error_json(error);
                error["environment"] = json!(environment);
                json!([error])
            }
        }
    }
}

/// An error with its code, for programs.
pub(crate) fn error_json(error: &Error) -> Value {
    let mut value = json!(error);
    value["code"] = json!(codes::of(error));
    value
}

/// How the process ends after an error that nothing came of.
pub(crate) fn exit_of(error: &Error) -> Exit {
    let of_provider = codes::is_of_provider(error);
    match error.kind() {
        ErrorKind::Cancelled => Exit::Interrupted,
        // Nothing was made by then: what is wrong stands in settings, variables or the file.
        ErrorKind::Invalid if matches!(error.verb(), Some(Verb::Connect | Verb::Resolve)) => Exit::Refused,
        ErrorKind::Unauthorized if fact(error, "setting").is_some() => Exit::Refused,
        ErrorKind::Internal | ErrorKind::Unknown => Exit::Provider,
        _ if of_provider => Exit::Provider,
        _ => Exit::Refused,
    }
}

/// What was being done when something failed.
#[derive(Debug, Default)]
pub(crate) struct Scene<'a> {
    /// `up`.
    pub(crate) verb: &'a str,
    /// Of which environment, where it is known.
    pub(crate) environment: Option<&'a str>,
    /// What exists now.
    pub(crate) now: &'a str,
    /// Machines that are there and failed: what they said helps where the error itself does not know what would.
    pub(crate) there: &'a [String],
    /// How long after the command began.
    pub(crate) after: Duration,
    /// The configured instances, to say where a wrong one stands.
    pub(crate) instances: &'a [Instance],
    /// ` --state DIR` where it was given: a command to type has to find the same store.
    pub(crate) state: &'a str,
}

/// All errors, those that say the same of several machines once; the state now stands at the last.
pub(crate) fn render(errors: &[Error], scene: &Scene<'_>) -> String {
    let mut blocks: Vec<(String, &Error, Vec<&str>)> = Vec::new();
    for error in errors {
        let key = same(error);
        match blocks.iter_mut().find(|(known, ..)| *known == key) {
            Some((.., machines)) => machines.extend(error.machine()),
            None => blocks.push((key, error, error.machine().into_iter().collect())),
        }
    }
    let last = blocks.len().saturating_sub(1);
    let texts = blocks.iter().enumerate().map(|(at, (_, error, machines))| {
        let mut block = block_of(error, machines, scene);
        block.now = (at == last && !scene.now.is_empty()).then(|| scene.now.to_owned());
        block.render()
    });
    texts.collect()
}

/// What two errors have in common that say the same of different machines.
fn same(error: &Error) -> String {
    let context: Vec<_> = error.context().collect();
    format!(
        "{:?} {:?} {:?} {} {context:?}",
        error.kind(),
        error.verb(),
        error.provider(),
        encamp::Report(error)
    )
}

fn block_of(error: &Error, machines: &[&str], scene: &Scene<'_>) -> Block {
    let facts = |name: &str| {
        error
            .context()
            .filter(|(key, _)| *key == name)
            .map(|(_, value)| value.to_owned())
            .collect::<Vec<_>>()
    };
    let native = chain(error);
    let mut why = Vec::new();
    for (key, value) in error.context().filter(|(key, _)| !SHOWN_APART.contains(key)) {
        let is_said = error.message().contains(value) || native.iter().any(|line| line.contains(value));
        if !is_said {
            why.push(format!("{key}: {value}"));
        }
    }
    // The carrier's own words come last: they are the longest, and say the least to most.
    why.extend(native);
    if error.kind() == ErrorKind::Invalid && error.verb() == Some(Verb::Connect) {
        let named = |instance: &&Instance| error.provider().is_some_and(|name| name.as_str() == instance.name);
        let origins = scene
            .instances
            .iter()
            .filter(named)
            .flat_map(|instance| &instance.origins);
        why.extend(origins.map(|origin| format!("set in {origin}")));
    }
    Block {
        code: codes::of(error),
        what: what(error, machines),
        where_: place_of(error, machines, scene),
        place: fact(error, "place").map(str::to_owned),
        why,
        near: facts("near"),
        said: facts("said"),
        now: None,
        help: allowing(error, scene)
            .or_else(|| error.hint().map(str::to_owned))
            .or_else(|| logs(error, machines, scene))
            .map(|help| flagged(&help, scene.state)),
    }
}

/// The message; of a machine that did not become ready with its name, which is what a reader looks for.
fn what(error: &Error, machines: &[&str]) -> String {
    let message = error.message();
    let is_named = machines
        .iter()
        .any(|machine| message.starts_with(&format!("{machine} ")));
    if codes::of(error) == codes::NOT_READY && !machines.is_empty() && !is_named {
        format!("{}: {message}", words::list(machines))
    } else {
        message.to_owned()
    }
}

/// The lines that would allow what a setting forbids, and the file that they belong into. The setting is a list, and the
/// error says which entry of it is missing.
fn allowing(error: &Error, scene: &Scene<'_>) -> Option<String> {
    let (setting, entry) = (fact(error, "setting")?, fact(error, "entry")?);
    let name = error.provider()?.as_str();
    let instance = scene.instances.iter().find(|instance| instance.name == name)?;
    let file = instance.file.as_ref()?;
    let given = instance.settings.get(setting).and_then(Value::as_array);
    let mut entries: Vec<Value> = given.cloned().unwrap_or_default();
    entries.push(json!(entry));
    let entries: Vec<String> = entries.iter().map(Value::to_string).collect();
    Some(format!(
        "if you want that, write in {}:\n[providers.{name}]\n{setting} = [{}]",
        file.display(),
        entries.join(", ")
    ))
}

/// `encamp logs db -e shop`, where these machines are there to have said something.
fn logs(error: &Error, machines: &[&str], scene: &Scene<'_>) -> Option<String> {
    let environment = scene.environment.or(error.environment())?;
    let is_there = |machine: &&&str| scene.there.iter().any(|there| there == **machine);
    let there: Vec<&str> = machines.iter().filter(is_there).copied().collect();
    (!there.is_empty()).then(|| format!("encamp logs {} -e {environment}", there.join(" ")))
}

/// Facts that have a part of their own.
const SHOWN_APART: [&str; 7] = ["place", "key", "near", "said", "setting", "entry", "set-up"];

/// The first fact of that name.
fn fact<'a>(error: &'a Error, name: &str) -> Option<&'a str> {
    error.context().find(|(key, _)| *key == name).map(|(_, value)| value)
}

/// The causes, each once.
fn chain(error: &Error) -> Vec<String> {
    let mut last = error.to_string();
    let mut texts = Vec::new();
    let mut next = error.source();
    while let Some(cause) = next {
        let text = cause.to_string();
        if !last.contains(&text) {
            texts.push(text.clone());
            last = text;
        }
        next = cause.source();
    }
    texts
}

/// `up shop, web-0 and web-1 on `docker`, step create, after 3.1s`.
fn place_of(error: &Error, machines: &[&str], scene: &Scene<'_>) -> Option<String> {
    let mut parts = vec![match scene.environment.or(error.environment()) {
        Some(environment) => format!("{} {environment}", scene.verb),
        None => scene.verb.to_owned(),
    }];
    match (machines, error.provider()) {
        ([], Some(provider)) => parts.push(format!("provider `{provider}`")),
        ([], None) => {}
        (machines, Some(provider)) => parts.push(format!("{} on `{provider}`", words::list(machines))),
        (machines, None) => parts.push(words::list(machines)),
    }
    if let Some(at) = fact(error, "set-up") {
        parts.push(format!("step set-up {at}"));
    } else if let Some(verb) = error.verb() {
        let step = if verb == Verb::Inspect { "ready" } else { verb.as_str() };
        parts.push(format!("step {step}"));
    }
    if parts.len() == 1 && scene.environment.or(error.environment()).is_none() {
        // What was typed is all that is known, and whoever typed it knows it.
        return None;
    }
    parts.push(format!("after {}", moment::took(scene.after)));
    Some(parts.join(", "))
}

/// The parts of one failure.
#[derive(Debug, Default)]
struct Block {
    code: Code,
    what: String,
    where_: Option<String>,
    place: Option<String>,
    why: Vec<String>,
    near: Vec<String>,
    said: Vec<String>,
    now: Option<String>,
    help: Option<String>,
}

impl Block {
    /// Ids are shortened; a hash that somebody is to compare is not.
    fn shortened(&self, line: &str) -> String {
        match self.code {
            codes::HASH => line.to_owned(),
            _ => clean::short_ids(line),
        }
    }

    fn render(&self) -> String {
        let what = self.shortened(&clean::lines(&self.what).join("\n"));
        let mut text = format!(
            "{}: {what}\n",
            style::paint(style::ERROR, &format!("error[{}]", self.code))
        );
        let mut part = |word: &str, lines: &[String]| {
            let lines = lines.iter().flat_map(|line| clean::lines(line));
            for (at, line) in lines.enumerate() {
                let label = if at == 0 { format!("{word}:") } else { String::new() };
                let label = format!("{label:<6}");
                let label = if at == 0 && word == "help" {
                    style::paint(style::HELP, &label)
                } else {
                    label
                };
                text.push_str(format!("  {label} {}", self.shortened(&line)).trim_end());
                text.push('\n');
            }
        };
        part("while", self.where_.as_slice());
        part("at", self.place.as_slice());
        part("why", &self.why);
        part("near", &self.near);
        part("said", &self.said);
        part("now", self.now.as_slice());
        part("help", self.help.as_slice());
        text
    }
}

#[cfg(test)]
mod tests {
    use encamp::InstanceName;

    use super::*;

    fn plain(text: &str) -> String {
        anstream::adapter::strip_str(text).to_string()
    }

    #[test]
    fn an_error_has_its_six_parts() {
        let docker = InstanceName::new("docker").unwrap();
        let error = |machine: &str| {
            Error::new(
                ErrorKind::NotFound,
                "image `shop/web:1.5` is not here and cannot be pulled",
            )
            .at(Verb::Prepare)
            .of_provider(&docker)
            .of_machine(machine)
            .with("near", "shop/web:1.4")
            .with("container", "0123456789abcdef".repeat(4))
            .next_step("docker build -t shop/web:1.5 ./web")
            .caused_by("pull access denied\u{1b}[2J")
        };
        let scene = Scene {
            verb: "up",
            environment: Some("shop"),
            now: "db is ready and kept",
            after: Duration::from_millis(3100),
            ..Scene::default()
        };
        insta::assert_snapshot!(plain(&render(&[error("web-0"), error("web-1")], &scene)), @r"
        error[E0412]: image `shop/web:1.5` is not here and cannot be pulled
          while: up shop, web-0 and web-1 on `docker`, step prepare, after 3.1s
          why:   container: 01234567
                 pull access denied
          near:  shop/web:1.4
          now:   db is ready and kept
          help:  docker build -t shop/web:1.5 ./web
        ");
    }

    #[test]
    fn each_machine_that_failed_is_named_with_its_own_logs() {
        let error = |machine: &str, message: &'static str| {
            Error::new(ErrorKind::Unavailable, message)
                .at(Verb::Inspect)
                .of_machine(machine)
        };
        let scene = Scene {
            verb: "up",
            environment: Some("shop"),
            there: &["m".to_owned(), "n".to_owned(), "o".to_owned()],
            ..Scene::default()
        };
        let errors = [
            error("m", "its process exited 1"),
            error("n", "its process exited 2"),
            error("o", "its process exited 2"),
            error("p", "p died: it was stopped"),
        ];
        insta::assert_snapshot!(plain(&render(&errors, &scene)), @r"
        error[E0414]: m: its process exited 1
          while: up shop, m, step ready, after 0.0s
          help:  encamp logs m -e shop
        error[E0414]: n and o: its process exited 2
          while: up shop, n and o, step ready, after 0.0s
          help:  encamp logs n o -e shop
        error[E0414]: p died: it was stopped
          while: up shop, p, step ready, after 0.0s
        ");
    }

    #[test]
    fn nothing_is_said_twice() {
        let error = Error::new(ErrorKind::Internal, "the store failed: disk full").caused_by("disk full");
        let text = plain(&render(
            &[error.clone(), error],
            &Scene {
                verb: "ls",
                ..Scene::default()
            },
        ));
        assert_eq!(text, "error[E0390]: the store failed: disk full\n");
    }

    #[test]
    fn exits_follow_who_failed() {
        let docker = InstanceName::new("docker").unwrap();
        assert_eq!(exit_of(&Error::new(ErrorKind::Conflict, "held")), Exit::Refused);
        assert_eq!(
            exit_of(&Error::new(ErrorKind::Unavailable, "no daemon").of_provider(&docker)),
            Exit::Provider
        );
        assert_eq!(
            exit_of(&Error::new(ErrorKind::Invalid, "settings").at(Verb::Connect)),
            Exit::Refused
        );
        assert_eq!(
            exit_of(&Error::new(ErrorKind::Cancelled, "taken over")),
            Exit::Interrupted
        );
    }
}
