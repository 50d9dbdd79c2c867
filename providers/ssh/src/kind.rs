//! The kind.

use std::collections::BTreeMap;
use std::sync::Arc;

use async_trait::async_trait;
use encamp_core::{
    Ambient, Cx, EnvId, Error, ErrorKind, InstanceName, Kind, KindInfo, KindName, Problem, Provider, Result, Site,
    Value,
};
use encamp_remote::{EnvironmentKeys, Options, Remote, derive, derived_capabilities};

use crate::access;
use crate::capabilities;
use crate::client::Host;
use crate::config::Settings;
use crate::provider::Lab;
use crate::table::{self, Table};

/// Makes providers of hosts.
#[derive(Debug)]
pub(crate) struct SshKind {
    info: KindInfo,
}

impl SshKind {
    pub(crate) fn new(name: KindName) -> Self {
        let info = KindInfo::new(
            name,
            env!("CARGO_PKG_VERSION"),
            schemars::schema_for!(Settings).to_value(),
            schemars::schema_for!(Table).to_value(),
            derived_capabilities(capabilities::of_hosts()),
        );
        Self { info }
    }
}

#[async_trait]
impl Kind for SshKind {
    fn info(&self) -> &KindInfo {
        &self.info
    }

    fn examine(&self, table: &Value) -> Vec<Problem> {
        table::examine(table)
    }

    async fn connect(
        &self,
        _: &Cx,
        name: InstanceName,
        settings: Value,
        ambient: Ambient,
    ) -> Result<Arc<dyn Provider>> {
        let of_instance = |error: Error| error.of_provider(&name);
        let settings = Settings::read(settings).map_err(of_instance)?;
        let settings = settings.with_inventory(&ambient).await.map_err(of_instance)?;
        let mut options = Options::new();
        if let Some(config) = &settings.ssh_config {
            options = options.ssh_config(access::at_home(config, &ambient));
        }
        let remote = Arc::new(Remote::new(&ambient, options)?);
        let mut hosts = BTreeMap::new();
        for (host, access) in access::find_all(&settings, &ambient).await {
            let Some(described) = settings.hosts.get(&host).filter(|host| !host.jump) else {
                continue;
            };
            let (address, port) = settings.place(&host, described);
            let site = Site::new(format!("ssh:{address}:{port}"));
            let reset = described.reset.as_ref().or(settings.reset.as_ref());
            let folder = described.folder.as_ref().or(settings.folder.as_ref());
            hosts.insert(
                site.clone(),
                Host {
                    site,
                    labels: described.labels.clone(),
                    access,
                    folder: folder.cloned().unwrap_or_default(),
                    reset: reset.cloned().unwrap_or_default(),
                    grace: settings.grace(),
                    remote: Arc::clone(&remote),
                    name: host,
                },
            );
        }
        let lab: Arc<dyn Provider> = Arc::new(Lab::new(name, hosts));
        Ok(derive(lab, remote, Arc::new(NoKeys)))
    }
}

/// Hosts are reached as the settings say, and not by a key of the environment.
#[derive(Debug)]
struct NoKeys;

impl EnvironmentKeys for NoKeys {
    fn private_key(&self, environment: &EnvId) -> Result<std::path::PathBuf> {
        Err(Error::new(
            ErrorKind::Internal,
            format!("no host wants a key of the environment {environment}"),
        ))
    }
}
