//! Puts an [`Encamp`] together.

use std::path::PathBuf;
use std::sync::Arc;

use encamp_core::helper::Helper;
use encamp_core::{Ambient, Error, ErrorKind, InstanceName, Kind, Name, Result, Value};
use encamp_file::spec::SecretSource;

use super::encamp::Encamp;
use super::runtime::Engine;
use crate::camp::Camp;
use crate::clock::SystemClock;
use crate::entropy::SystemEntropy;
use crate::failpoint::{Failpoints, NoFailpoints};
use crate::journal::Sqlite;
use crate::keeper::Keepers;
use crate::policy::Policy;
use crate::providers::{Instance, Providers};
use crate::secrets;
use crate::state_folder::StateFolder;
use crate::tenure::FileLocks;

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
        Ok(Encamp::new(Engine::start()?, Arc::new(camp), folder))
    }
}
