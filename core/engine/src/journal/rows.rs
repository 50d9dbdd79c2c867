//! What the journal keeps.

use encamp_core::{
    Addr, Class, ControllerId, EnvId, Generation, InstanceName, Key, KindName, Published, Site, Stamp, Time, Value,
};
use encamp_file::spec::Given;
use encamp_file::text::Numbers;
use serde::{Deserialize, Serialize};

use crate::clock::Lease;
use crate::identity::Object;

/// What an environment is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Purpose {
    /// Kept until its lease ends or somebody takes it down.
    Up,
    /// For one run; disposed of as soon as its holder is gone.
    Run,
    /// For several processes; disposed of once nobody uses it any more.
    Shared,
}

/// Whether an environment is wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Wanted {
    /// It is.
    Present,
    /// It is to go.
    Gone,
}

/// Who holds the tenure.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Holder {
    /// Its process.
    pub pid: u32,
    /// What it does, `up` for example.
    pub verb: String,
    /// Since when.
    pub since: Time,
}

/// One environment.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct EnvironmentRow {
    /// Its id.
    pub id: EnvId,
    /// Its name, unique among those that are not disposed of.
    pub name: String,
    /// What it is for.
    pub purpose: Purpose,
    /// The canonical path of the file that it came from.
    pub file: Option<String>,
    /// Whether it is wanted.
    pub wanted: Wanted,
    /// A run that is kept for somebody to look at.
    pub keep: bool,
    /// When it was made.
    pub created: Time,
    /// Until when it is wanted.
    pub lease: Lease,
    /// The epoch of the newest tenure.
    pub epoch: u64,
    /// Who holds or held it last.
    pub holder: Option<Holder>,
    /// When it was disposed of; a tombstone from then on.
    pub disposed: Option<Time>,
    /// Who made it.
    pub by: String,
    /// Names and values of its outputs, once it is ready.
    #[serde(default)]
    pub outputs: std::collections::BTreeMap<String, String>,
    /// How many machines it has.
    #[serde(default)]
    pub machines: u32,
    /// The numbers that its ports have on this host.
    #[serde(default)]
    pub numbers: Numbers,
    /// The store had lost it and a sweep found it.
    #[serde(default)]
    pub recovered: bool,
    /// What its file was told, so that it can be read again.
    #[serde(default)]
    pub given: Given,
    /// How long its machines took to be made, newest last; at most [`Took::KEPT`].
    #[serde(default)]
    pub took: Vec<Took>,
}

/// How long it took until everything was ready, where machines were made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Took {
    /// How many machines were made.
    pub made: u32,
    /// How long that took.
    pub millis: u64,
}

impl Took {
    /// So many are kept of an environment, and looked at of a file.
    pub const KEPT: usize = 14;
}

/// How far an intent has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum IntentState {
    /// Durable; nothing has been sent.
    Planned,
    /// Sent, and not answered yet.
    Sent,
    /// Sent, and it is not known whether it took effect.
    Unknown,
    /// Answered: it exists.
    Seen,
    /// Exists, and everything that readiness asks for holds.
    Ready,
    /// To go; only the destroyer may touch it.
    Dying,
    /// Proved to be gone; a tombstone.
    Gone,
}

impl IntentState {
    /// The word in the store and in messages.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Planned => "planned",
            Self::Sent => "sent",
            Self::Unknown => "unknown",
            Self::Seen => "seen",
            Self::Ready => "ready",
            Self::Dying => "dying",
            Self::Gone => "gone",
        }
    }

    /// Whether something may exist.
    pub fn may_exist(self) -> bool {
        !matches!(self, Self::Planned | Self::Gone)
    }
}

/// The intent to have one object in one generation, and what became of it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct IntentRow {
    /// Of which environment.
    pub environment: EnvId,
    /// Machine or scope item.
    pub class: Class,
    /// Its name.
    pub object: String,
    /// Its generation.
    pub generation: Generation,
    /// The provider instance.
    pub instance: InstanceName,
    /// Where.
    pub site: Site,
    /// How far it has come.
    pub state: IntentState,
    /// What it carries.
    pub stamp: Stamp,
    /// The frozen request, as it is sent and sent again: JSON. Empty for what a sweep recovered.
    pub request: String,
    /// The carrier's id, once it was seen.
    pub id: Option<String>,
    /// A create that was sent and whose outcome is not known; a destroyer settles it first.
    #[serde(default)]
    pub unsettled: bool,
    /// The epoch under which it was made.
    pub epoch: u64,
    /// When it was sent last.
    pub last_sent: Option<Time>,
    /// Why it is known to be gone.
    pub evidence: Option<String>,
    /// The hash of what decides a replacement.
    pub spec: String,
    /// The hash of the rendered late values.
    pub bound: String,
    /// Why it did not become ready.
    pub failure: Option<String>,
    /// When the row changed last.
    pub updated: Time,
    /// Addresses and ports when it became ready.
    #[serde(default)]
    pub addrs: Vec<Addr>,
    /// As above.
    #[serde(default)]
    pub ports: Vec<Published>,
    /// What `create` needs of an open scope item.
    #[serde(default)]
    pub data: Value,
    /// Stopped on purpose.
    #[serde(default)]
    pub stopped: bool,
    /// How far its set-up has come.
    #[serde(default)]
    pub set_up: SetUp,
    /// Hashes of the parts of its description that are not in the request, by what people call them: so that a plan can
    /// name what changed.
    #[serde(default)]
    pub parts: std::collections::BTreeMap<String, String>,
    /// The services that run on it, and as whom where that is not the machine's own user: who takes it down has no
    /// description.
    #[serde(default)]
    pub services: std::collections::BTreeMap<String, Option<String>>,
    /// When it ends by itself, as far as its provider has confirmed that; none where nothing does so.
    #[serde(default)]
    pub expires: Option<Time>,
}

/// How far a machine's set-up has come.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct SetUp {
    /// The files that land before its command starts are there.
    #[serde(default)]
    pub files: bool,
    /// Steps that are finished.
    #[serde(default)]
    pub finished: u32,
    /// A step was begun and its end is not recorded: nobody knows how far it came.
    #[serde(default)]
    pub running: bool,
    /// What steps gave, by name.
    #[serde(default)]
    pub outputs: std::collections::BTreeMap<String, String>,
}

impl IntentRow {
    /// The object that it speaks of.
    pub fn identity(&self) -> Object {
        Object {
            environment: self.environment.clone(),
            class: self.class,
            name: self.object.clone(),
            generation: self.generation,
        }
    }

    /// What finds its row.
    pub fn reference(&self) -> IntentRef {
        IntentRef {
            environment: self.environment.clone(),
            class: self.class,
            object: self.object.clone(),
            site: self.site.clone(),
            generation: self.generation,
        }
    }

    /// Its key.
    pub fn key(&self) -> &Key {
        &self.stamp.key
    }
}

/// What finds an intent.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct IntentRef {
    /// Of which environment.
    pub environment: EnvId,
    /// Machine or scope item.
    pub class: Class,
    /// Its name.
    pub object: String,
    /// Where.
    pub site: Site,
    /// Its generation.
    pub generation: Generation,
}

/// Infrastructure that was used, so that somebody lists it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SiteRow {
    /// Where.
    pub site: Site,
    /// The provider instance that reached it last.
    pub instance: InstanceName,
    /// Its kind.
    pub kind: KindName,
    /// Its settings without secrets, so that `down` works when the settings have changed.
    pub settings: Value,
    /// When it was used first.
    pub first_used: Time,
}

/// Something that only its labels condemn, and when it was seen first.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SightingRow {
    /// Where.
    pub site: Site,
    /// Its key.
    pub key: String,
    /// When.
    pub first_seen: Time,
}

/// The tenure under which a change is made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Epoch {
    /// Of which environment.
    pub environment: EnvId,
    /// Its number.
    pub number: u64,
}

/// The controller as its folder knows it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ControllerFile {
    /// Its id.
    pub id: ControllerId,
    /// When it was made.
    pub created: Time,
}
