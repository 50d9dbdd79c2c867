//! Puts an [`Encamp`] together.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use encamp_core::helper::Helper;
use encamp_core::{Ambient, Error, ErrorKind, InstanceName, Kind, Name, Result, Value};
use encamp_file::spec::SecretSource;

use super::encamp::Encamp;
use super::lending::Lending;
use super::runtime::Engine;
use crate::camp::Camp;
use crate::clock::SystemClock;
use crate::entropy::SystemEntropy;
use crate::failpoint::{Failpoints, NoFailpoints};
use crate::journal::Sqlite;
use crate::keeper::Keepers;
use crate::policy::Policy;
use crate::providers::{Instance, Providers};
use crate::queue::Queue;
use crate::secrets;
use crate::state_folder::StateFolder;
use crate::tenure::FileLocks;
use crate::users::Users;
use crate::verbs::lend::Wish;

/// How long a guard that is dropped waits.
const DROP_GRACE: Duration = Duration::from_secs(10);

/// Puts an [`Encamp`] together. Nothing is read or made before [`open`](Self::open).
#[derive(Debug)]
pub struct Builder {
    state_folder: Option<PathBuf>,
    ambient: Ambient,
    helper: Option<Helper>,
    keepers: bool,
    kinds: Vec<Arc<dyn Kind>>,
    instances: Vec<(String, String, Value)>,
    policy: Policy,
    user: String,
    secrets: Vec<(String, SecretSource)>,
    runtime_folder: Option<PathBuf>,
    failpoints: Arc<dyn Failpoints>,
    drop_grace: Duration,
    wish: Wish,
    on_signals: bool,
}

impl Builder {
    pub(super) fn new() -> Self {
        Self {
            state_folder: None,
            ambient: Ambient::none(),
            helper: None,
            keepers: true,
            kinds: Vec::new(),
            instances: Vec::new(),
            policy: Policy::default(),
            user: "unknown".into(),
            secrets: Vec::new(),
            runtime_folder: None,
            failpoints: Arc::new(NoFailpoints),
            drop_grace: DROP_GRACE,
            wish: Wish::Any,
            on_signals: false,
        }
    }

    /// Where the store, the locks and the owner key are. The library never guesses a home folder.
    #[must_use]
    pub fn state_dir(mut self, folder: impl Into<PathBuf>) -> Self {
        self.state_folder = Some(folder.into());
        self
    }

    /// What providers may take from the surrounding process; nothing by default.
    #[must_use]
    pub fn ambient(mut self, ambient: Ambient) -> Self {
        self.ambient = ambient;
        self
    }

    /// The program that is started again as keeper or shim.
    #[must_use]
    pub fn helper(mut self, helper: Helper) -> Self {
        self.helper = Some(helper);
        self
    }

    /// Whether environments get a keeper, which outlives the program that made them; they do where there is a
    /// [`helper`](Self::helper).
    #[must_use]
    pub fn keepers(mut self, wanted: bool) -> Self {
        self.keepers = wanted;
        self
    }

    /// Refuses an environment that no keeper would end if this process is killed: an error before anything is made, where
    /// otherwise only the next `up` or command on the state folder that changes something would end it.
    #[must_use]
    pub fn require_keeper(mut self) -> Self {
        self.wish = Wish::Keeper;
        self
    }

    /// For how long a [`Guard`](super::Guard) that is dropped waits for its disposal; 10 seconds where nobody says so.
    /// What is not gone by then goes on in the engine's thread, and else is its keeper's.
    #[must_use]
    pub fn drop_grace(mut self, grace: Duration) -> Self {
        self.drop_grace = grace;
        self
    }

    /// Lets SIGINT and SIGTERM dispose of everything that guards of this installation hold, with those of all others in
    /// this process that want so, and end the process after that with the status of a shell, 130 or 143; a second signal
    /// ends it at once. The handlers stay as long as the process. Without this the library installs none.
    #[must_use]
    pub fn dispose_on_signals(mut self) -> Self {
        self.on_signals = true;
        self
    }

    /// Adds a kind of provider, with an instance of its own name and without settings where none of that name was added,
    /// unless the kind requires some.
    #[must_use]
    pub fn provider(mut self, kind: Arc<dyn Kind>) -> Self {
        let name = kind.info().name.to_string();
        if !kind.info().needs_settings() && !self.instances.iter().any(|(instance, ..)| *instance == name) {
            self.instances
                .push((name.clone(), name, Value::Object(serde_json::Map::new())));
        }
        self.kind(kind)
    }

    /// Adds a kind of provider.
    #[must_use]
    pub fn kind(mut self, kind: Arc<dyn Kind>) -> Self {
        self.kinds.push(kind);
        self
    }

    /// Adds a provider instance of a kind with its settings.
    #[must_use]
    pub fn instance(mut self, name: impl Into<String>, kind: impl Into<String>, settings: Value) -> Self {
        self.instances.push((name.into(), kind.into(), settings));
        self
    }

    /// Says where a secret comes from that a file speaks of and does not declare. A variable is one of
    /// [`ambient`](Self::ambient), a path that is not absolute starts from the file's folder.
    #[must_use]
    pub fn secret(mut self, name: impl Into<String>, source: SecretSource) -> Self {
        self.secrets.push((name.into(), source));
        self
    }

    /// Where secrets lie that machines get as files: a folder on a tmpfs, made where it is not there, private.
    #[must_use]
    pub fn runtime_dir(mut self, folder: impl Into<PathBuf>) -> Self {
        self.runtime_folder = Some(folder.into());
        self
    }

    /// How long things may take.
    #[must_use]
    pub fn policy(mut self, policy: Policy) -> Self {
        self.policy = policy;
        self
    }

    /// How long a command waits for places on what is limited and others have, as hosts of a lab are; it fails at once
    /// where nothing is said. Those of one installation get them in the order in which they came.
    #[must_use]
    pub fn wait(mut self, wait: Duration) -> Self {
        self.policy.wait = wait;
        self
    }

    /// Who uses it, for listings.
    #[must_use]
    pub fn user(mut self, user: impl Into<String>) -> Self {
        self.user = user.into();
        self
    }

    /// Is told wherever a crash matters; for crash tests.
    #[cfg(feature = "failpoints")]
    #[must_use]
    pub fn failpoints(mut self, failpoints: Arc<dyn Failpoints>) -> Self {
        self.failpoints = failpoints;
        self
    }

    /// Opens the state folder and starts the engine's thread. No provider is connected yet.
    pub fn open(self) -> Result<Encamp> {
        let Some(path) = self.state_folder else {
            return Err(Error::new(ErrorKind::Invalid, "no state folder was given").next_step("call `state_dir`"));
        };
        let clock = SystemClock;
        let folder = StateFolder::open(&path, &clock, &SystemEntropy)?;
        let ambient = match &self.helper {
            Some(helper) => self.ambient.with_helper(helper.clone()),
            None => self.ambient,
        }
        .with_state(folder.path());
        let mut providers = Providers::new(ambient);
        for kind in self.kinds {
            providers.add_kind(kind);
        }
        for (name, kind, settings) in self.instances {
            let invalid = |e: encamp_core::NameError| Error::new(ErrorKind::Invalid, e.to_string());
            let name = InstanceName::new(name).map_err(invalid)?;
            let kind = encamp_core::KindName::new(kind).map_err(invalid)?;
            providers.add_instance(name, Instance { kind, settings });
        }
        let invalid = |e: encamp_core::NameError| Error::new(ErrorKind::Invalid, e.to_string());
        let secrets = self
            .secrets
            .into_iter()
            .map(|(name, source)| Ok((Name::new(name)?, source)));
        let session = providers.ambient().variable("XDG_RUNTIME_DIR").map(PathBuf::from);
        let camp = Camp {
            keepers: Keepers::new(
                folder.path().to_owned(),
                self.runtime_folder.clone(),
                self.helper,
                self.keepers,
                session,
            ),
            users: Users::new(folder.locks()),
            queue: Queue::at(folder.queue()),
            secrets: secrets.collect::<Result<_, _>>().map_err(invalid)?,
            secret_folder: secrets::Folder::new(self.runtime_folder, folder.controller().id().clone()),
            controller: folder.controller().clone(),
            journal: Arc::new(Sqlite::open(&folder.store())?),
            locks: Arc::new(FileLocks(folder.locks())),
            clock: Arc::new(clock),
            entropy: Arc::new(SystemEntropy),
            failpoints: self.failpoints,
            providers,
            policy: self.policy,
            user: self.user,
            pid: std::process::id(),
        };
        let lending = Lending::new(self.drop_grace, self.wish, self.on_signals)?;
        Ok(Encamp::new(Engine::start()?, Arc::new(camp), folder, lending))
    }
}
