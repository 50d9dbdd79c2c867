//! What reading verbs take and give.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::change::Image;
use crate::{Access, Class, ControllerPrefix, EnvId, Error, Key, Labels, Phase, Result, Site, Stamp, Value, label};

/// Asks whether the provider could work now.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[non_exhaustive]
pub struct Check {
    /// Look further than an ordinary start needs to.
    #[serde(default)]
    pub thorough: bool,
}

impl Check {
    /// A quick check.
    pub fn new() -> Self {
        Self::default()
    }

    /// One that may take its time.
    pub fn thorough() -> Self {
        Self { thorough: true }
    }
}

/// How bad a finding is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Level {
    /// Good to know.
    Note,
    /// Works, with a limit.
    Warning,
    /// Does not work.
    Error,
}

/// Something that `check` found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[non_exhaustive]
pub struct Finding {
    /// How bad.
    pub level: Level,
    /// What.
    pub message: String,
    /// What to do.
    pub help: Option<String>,
}

impl Finding {
    /// A finding without help.
    pub fn new(level: Level, message: impl Into<String>) -> Self {
        Self {
            level,
            message: message.into(),
            help: None,
        }
    }

    /// Says what to do.
    #[must_use]
    pub fn help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }
}

/// What a machine needs, whatever the provider: a provider maps each or refuses.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
pub struct Needs {
    /// Cores.
    pub cpu: Option<f64>,
    /// Bytes.
    pub memory: Option<u64>,
    /// Bytes.
    pub disk: Option<u64>,
    /// `x86_64`, `aarch64`.
    pub arch: Option<String>,
    /// `linux`.
    pub os: Option<String>,
    /// How many.
    pub gpu: Option<u32>,
}

/// Asks what could be made of a table. Changes nothing.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[non_exhaustive]
pub struct Resolve {
    /// The kind's own table; a leaf that is known only later holds a [marker](crate::late_marker).
    pub table: Value,
    /// Provider-neutral needs; the table's keys win.
    pub needs: Needs,
    /// Machines of the same environment, each of which goes before the one comes that replaces it: their places may
    /// become free.
    #[serde(default)]
    pub replaces: Vec<Key>,
    /// What the keys of the environment's machines begin with: places that are reserved for it are free for it.
    #[serde(default)]
    pub owner: Option<String>,
    /// An image that a snapshot made.
    pub image: Option<Image>,
    /// The folder that relative paths of the table start from.
    #[serde(default)]
    pub folder: std::path::PathBuf,
}

impl Resolve {
    /// Resolves a table without needs, whose relative paths start from the process's folder.
    pub fn new(table: Value) -> Self {
        Self {
            table,
            needs: Needs::default(),
            replaces: Vec::new(),
            owner: None,
            image: None,
            folder: std::path::PathBuf::new(),
        }
    }
}

/// Money an hour.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[non_exhaustive]
pub struct Cost {
    /// The amount.
    pub amount: f64,
    /// ISO 4217.
    pub currency: String,
}

impl Cost {
    /// So much of a currency an hour.
    pub fn new(amount: f64, currency: impl Into<String>) -> Self {
        Self {
            amount,
            currency: currency.into(),
        }
    }
}

/// Something that the environment shares on a site: a network, a named volume, a security group, a key pair.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[non_exhaustive]
pub struct ScopeItem {
    /// Its object name, unique among the items of an environment on a site.
    pub name: String,
    /// What the provider keeps about it.
    #[serde(default)]
    pub body: Value,
    /// Each member of a group has one of its own, instead of one that all machines share.
    #[serde(default)]
    pub per_member: bool,
}

impl ScopeItem {
    /// An item that machines share.
    pub fn new(name: impl Into<String>, body: Value) -> Self {
        Self {
            name: name.into(),
            body,
            per_member: false,
        }
    }

    /// The same, one for each member of a group.
    #[must_use]
    pub fn per_member(mut self) -> Self {
        self.per_member = true;
        self
    }
}

/// A name of a table that `resolve` looked up, and that may mean something else tomorrow: a tag, an alias, a glob.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[non_exhaustive]
pub struct Pin {
    /// As people call it: `image shop/web:1.4`.
    pub name: String,
    /// Where in the candidate's body what it means stands, as a JSON pointer.
    pub at: String,
}

impl Pin {
    /// A name, and where its meaning stands.
    pub fn new(name: impl Into<String>, at: impl Into<String>) -> Self {
        Self {
            name: name.into(),
            at: at.into(),
        }
    }
}

/// One way to make a machine of a table.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[non_exhaustive]
pub struct Candidate {
    /// Where.
    pub site: Site,
    /// What the provider keeps: aliases, `latest` and globs already resolved, or filled in by `prepare`.
    pub body: Value,
    /// The scope items that a machine of it uses.
    #[serde(default)]
    pub scope: Vec<ScopeItem>,
    /// What a plan shows, as key and value.
    #[serde(default)]
    pub summary: Vec<(String, String)>,
    /// What it costs.
    #[serde(default)]
    pub cost_per_hour: Option<Cost>,
    /// The names in it whose meaning moves. A machine that stays keeps what they meant when it was made, and a plan notes
    /// where they mean something else now.
    #[serde(default)]
    pub pins: Vec<Pin>,
    /// How many machines it has room for, where that is known.
    #[serde(default)]
    pub room: Option<u32>,
    /// Why it has no room now, for people: who has it, and until when. It may have room later.
    #[serde(default)]
    pub taken: Option<String>,
}

impl Candidate {
    /// A candidate without scope, summary, cost or pins, and room for any number.
    pub fn new(site: Site, body: Value) -> Self {
        Self {
            site,
            body,
            scope: Vec::new(),
            summary: Vec::new(),
            cost_per_hour: None,
            pins: Vec::new(),
            room: None,
            taken: None,
        }
    }

    /// The same, with no room now.
    #[must_use]
    pub fn taken(mut self, why: impl Into<String>) -> Self {
        (self.room, self.taken) = (Some(0), Some(why.into()));
        self
    }
}

/// Asks for everything that carries a controller's key.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[non_exhaustive]
pub struct List {
    /// Whose.
    pub controller: ControllerPrefix,
    /// Of this environment alone.
    pub environment: Option<EnvId>,
    /// At this site alone; a provider with one site need not look at it.
    #[serde(default)]
    pub site: Option<Site>,
}

impl List {
    /// Everything of a controller.
    pub fn new(controller: ControllerPrefix) -> Self {
        Self {
            controller,
            environment: None,
            site: None,
        }
    }

    /// Everything at one site.
    #[must_use]
    pub fn at(mut self, site: Site) -> Self {
        self.site = Some(site);
        self
    }

    /// Whether a site is listed.
    pub fn asks(&self, site: &Site) -> bool {
        self.site.as_ref().is_none_or(|asked| asked == site)
    }

    /// Everything of one environment.
    #[must_use]
    pub fn of(mut self, environment: EnvId) -> Self {
        self.environment = Some(environment);
        self
    }

    /// What the key of everything that is listed begins with, where the key was kept.
    pub fn prefix(&self) -> String {
        match &self.environment {
            Some(environment) => self.controller.of_environment(environment),
            None => self.controller.as_str().to_owned(),
        }
    }

    /// The labels of everything that is listed, where they were kept.
    pub fn labels(&self) -> Labels {
        let controller = (label::CONTROLLER.to_owned(), self.controller.controller().to_owned());
        let environment = self.environment.iter();
        let environment = environment.map(|environment| (label::ENVIRONMENT.to_owned(), environment.to_string()));
        std::iter::once(controller).chain(environment).collect()
    }

    /// Whether something is listed: by its key, or by its labels.
    pub fn takes(&self, key: &str, labels: &Labels) -> bool {
        let has = |(name, value): (&String, &String)| labels.get(name) == Some(value);
        key.starts_with(&self.prefix()) || self.labels().iter().all(has)
    }
}

/// What a listing saw, and of which sites it saw everything.
#[derive(Debug, Serialize, Deserialize, JsonSchema, Default)]
#[non_exhaustive]
pub struct Listing {
    /// Everything found, whether it proves to be ours or not.
    pub found: Vec<Found>,
    /// For each site asked, whether the listing of it is complete.
    pub coverage: Vec<Coverage>,
}

impl Listing {
    /// What was found on one site that was listed completely.
    pub fn complete(site: Site, found: Vec<Found>) -> Self {
        Self {
            found,
            coverage: vec![Coverage::complete(site)],
        }
    }

    /// Whether the listing of `site` is complete and without error.
    pub fn covers(&self, site: &Site) -> bool {
        let mut of_site = self
            .coverage
            .iter()
            .filter(|coverage| coverage.site == *site)
            .peekable();
        of_site.peek().is_some() && of_site.all(|coverage| coverage.outcome.is_ok())
    }

    /// What was found that carries the stamp, by key and identity labels; by key alone where the
    /// carrier keeps nothing else.
    pub fn find(&self, site: &Site, stamp: &Stamp, keeps: crate::Keeps) -> Option<&Found> {
        self.found.iter().find(|found| {
            found.site == *site
                && match keeps {
                    crate::Keeps::Labels => stamp.matches(&found.key, &found.labels),
                    crate::Keeps::KeyOnly => stamp.key.as_str() == found.key,
                }
        })
    }
}

/// One thing that a listing saw.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[non_exhaustive]
pub struct Found {
    /// Machine, scope item or image.
    pub class: Class,
    /// What the carrier keeps unique (a container's name), never a label.
    pub key: String,
    /// The carrier's id.
    pub id: String,
    /// Where.
    pub site: Site,
    /// Where it stands.
    pub phase: Phase,
    /// How commands reach it, where that is cheap to say.
    #[serde(default)]
    pub access: Option<Access>,
    /// The token that it was made with, where the carrier reports it.
    #[serde(default)]
    pub token: Option<String>,
    /// Its labels.
    #[serde(default)]
    pub labels: Labels,
}

impl Found {
    /// Something that was seen, without labels.
    pub fn new(class: Class, key: impl Into<String>, id: impl Into<String>, site: Site, phase: Phase) -> Self {
        Self {
            class,
            key: key.into(),
            id: id.into(),
            site,
            phase,
            access: None,
            token: None,
            labels: BTreeMap::new(),
        }
    }
}

/// Whether the listing of one site is complete.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[non_exhaustive]
pub struct Coverage {
    /// Which site.
    pub site: Site,
    /// Complete, or why not.
    pub outcome: Result<(), Error>,
}

impl Coverage {
    /// The site was listed completely.
    pub fn complete(site: Site) -> Self {
        Self { site, outcome: Ok(()) }
    }

    /// The site could not be listed completely.
    pub fn partial(site: Site, error: Error) -> Self {
        Self {
            site,
            outcome: Err(error),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ControllerId;

    #[test]
    fn a_list_takes_what_has_the_key_or_the_labels() {
        let all = List::new(ControllerPrefix::new(&ControllerId::new("abcdef").unwrap()));
        let one = all.clone().of(EnvId::new("0123456789").unwrap());
        let labels = |controller: &str, environment: &str| {
            let of = |name: &str, value: &str| (name.to_owned(), value.to_owned());
            Labels::from([of(label::CONTROLLER, controller), of(label::ENVIRONMENT, environment)])
        };
        let key = |list: &List| format!("{}web-g1", list.prefix());
        for (key, labels, of_all, of_one) in [
            (key(&one), Labels::new(), true, true),
            (key(&all), Labels::new(), true, false),
            ("other".to_owned(), labels("abcdef", "0123456789"), true, true),
            ("other".to_owned(), labels("abcdef", "9876543210"), true, false),
            ("other".to_owned(), labels("fedcba", "0123456789"), false, false),
            ("other".to_owned(), Labels::new(), false, false),
        ] {
            let takes = (all.takes(&key, &labels), one.takes(&key, &labels));
            assert_eq!(takes, (of_all, of_one), "{key} {labels:?}");
        }
    }
}
