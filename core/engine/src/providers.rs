//! The configured providers, connected when they are needed.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use encamp_core::{
    AccessForm, Ambient, Cx, Error, ErrorKind, InstanceName, Kind, KindName, Network, Provider, Result, Value, Verb,
    layers,
};
use encamp_file::Kinds;
use encamp_remote::{KeyFolder, Options, Remote, derive};

use crate::journal::SiteRow;

/// A provider instance as it is configured.
#[derive(Debug, Clone)]
pub struct Instance {
    /// Its kind.
    pub kind: KindName,
    /// Its settings, checked by the kind when it connects.
    pub settings: Value,
}

/// Kinds, instances, and the connections to them.
#[derive(Debug, Default)]
pub struct Providers {
    kinds: BTreeMap<KindName, Arc<dyn Kind>>,
    instances: BTreeMap<InstanceName, Instance>,
    ambient: Ambient,
    connected: Mutex<BTreeMap<(InstanceName, String), Connection>>,
    /// Sessions over SSH, once a provider wants some.
    remote: Mutex<Option<Arc<Remote>>>,
}

/// One attempt to connect, shared by all who want the same.
type Connection = Arc<tokio::sync::OnceCell<Arc<dyn Provider>>>;

impl Providers {
    /// No kinds and no instances.
    pub fn new(ambient: Ambient) -> Self {
        Self {
            ambient,
            ..Self::default()
        }
    }

    /// What the surrounding process gave.
    pub fn ambient(&self) -> &Ambient {
        &self.ambient
    }

    /// Adds a kind.
    pub fn add_kind(&mut self, kind: Arc<dyn Kind>) {
        self.kinds.insert(kind.info().name.clone(), kind);
    }

    /// Adds an instance of a kind.
    pub fn add_instance(&mut self, name: InstanceName, instance: Instance) {
        self.instances.insert(name, instance);
    }

    /// The configured instances.
    pub fn instances(&self) -> impl Iterator<Item = (&InstanceName, &Instance)> {
        self.instances.iter()
    }

    /// The instance of that name.
    pub fn instance(&self, name: &InstanceName) -> Option<&Instance> {
        self.instances.get(name)
    }

    /// The kind of an instance.
    pub fn kind_of(&self, instance: &InstanceName) -> Option<&KindName> {
        self.instances.get(instance).map(|instance| &instance.kind)
    }

    /// Whether machines on an instance share the network of this host.
    pub(crate) fn shares_host(&self, instance: &InstanceName) -> bool {
        let kind = self.kind_of(instance).and_then(|kind| self.kinds.get(kind));
        kind.is_some_and(|kind| kind.info().most.network == Network::Host)
    }

    /// What an environment file may speak of.
    pub fn kinds(&self) -> Kinds {
        Kinds {
            kinds: self.kinds.clone(),
            instances: self
                .instances
                .iter()
                .map(|(name, instance)| (name.clone(), instance.kind.clone()))
                .collect(),
        }
    }

    /// The provider of that name, connected.
    pub async fn connect(&self, cx: &Cx, name: &InstanceName) -> Result<Arc<dyn Provider>> {
        let Some(instance) = self.instances.get(name) else {
            return Err(
                Error::new(ErrorKind::NotFound, format!("no provider is called `{name}`"))
                    .at(Verb::Connect)
                    .of_provider(name)
                    .next_step(format!("add [providers.{name}] to the settings")),
            );
        };
        self.connect_with(cx, name, instance).await
    }

    /// The provider that reaches a recorded site: as it is configured now, else as it was when the site was used.
    pub async fn connect_site(&self, cx: &Cx, site: &SiteRow) -> Result<Arc<dyn Provider>> {
        match self.instances.get(&site.instance) {
            Some(instance) => self.connect_with(cx, &site.instance, instance).await,
            None => {
                let recorded = Instance {
                    kind: site.kind.clone(),
                    settings: site.settings.clone(),
                };
                self.connect_with(cx, &site.instance, &recorded).await
            }
        }
    }

    async fn connect_with(&self, cx: &Cx, name: &InstanceName, instance: &Instance) -> Result<Arc<dyn Provider>> {
        let cell = {
            let key = (name.clone(), format!("{}{}", instance.kind, instance.settings));
            let mut connected = self.connected.lock().unwrap_or_else(PoisonError::into_inner);
            Arc::clone(connected.entry(key).or_default())
        };
        let provider = cell.get_or_try_init(|| self.make(cx, name, instance)).await?;
        Ok(Arc::clone(provider))
    }

    /// The keys of environments, for machines that let those in.
    pub(crate) fn logins(&self) -> Result<KeyFolder> {
        let state = self.ambient.state();
        let folder = state.ok_or_else(|| Error::new(ErrorKind::Internal, "no folder is known for keys"))?;
        Ok(KeyFolder::new(folder.join("environments")))
    }

    /// The same with the inside verbs over SSH, where that is how its machines are reached.
    fn with_inside(&self, provider: Arc<dyn Provider>) -> Result<Arc<dyn Provider>> {
        if provider.capabilities().access != AccessForm::Ssh {
            return Ok(provider);
        }
        let remote = {
            let mut remote = self.remote.lock().unwrap_or_else(PoisonError::into_inner);
            match &*remote {
                Some(remote) => Arc::clone(remote),
                None => {
                    let made = Arc::new(Remote::new(&self.ambient, Options::new())?);
                    Arc::clone(remote.insert(made))
                }
            }
        };
        Ok(derive(provider, remote, Arc::new(self.logins()?)))
    }

    async fn make(&self, cx: &Cx, name: &InstanceName, instance: &Instance) -> Result<Arc<dyn Provider>> {
        let Some(kind) = self.kinds.get(&instance.kind) else {
            return Err(Error::new(
                ErrorKind::NotFound,
                format!("no kind of provider is called `{}`", instance.kind),
            )
            .at(Verb::Connect)
            .of_provider(name));
        };
        let connecting = kind.connect(cx, name.clone(), instance.settings.clone(), self.ambient.clone());
        let provider = tokio::time::timeout(cx.remaining(), connecting)
            .await
            .unwrap_or_else(|_| {
                Err(
                    Error::new(ErrorKind::Unavailable, "the provider did not answer in time")
                        .retry(encamp_core::Retry::Safe),
                )
            })
            .map_err(|error| error.at(Verb::Connect).of_provider(name))?;
        let provider = self.with_inside(provider)?;
        Ok(layers::stack(provider, layers::Options::new(name.clone())))
    }
}
