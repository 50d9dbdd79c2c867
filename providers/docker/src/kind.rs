//! The kind.

use std::sync::Arc;

use async_trait::async_trait;
use encamp_core::{Ambient, Cx, InstanceName, Kind, KindInfo, KindName, Problem, Provider, Result, Value};

use crate::client::Engine;
use crate::config::Settings;
use crate::provider::Docker;
use crate::table::{self, Table};
use crate::{NAME, capabilities};

/// Makes providers of Docker engines.
#[derive(Debug)]
pub(crate) struct DockerKind {
    info: KindInfo,
}

impl DockerKind {
    pub(crate) fn new(name: KindName) -> Self {
        let info = KindInfo::new(
            name,
            env!("CARGO_PKG_VERSION"),
            schemars::schema_for!(Settings).to_value(),
            schemars::schema_for!(Table).to_value(),
            capabilities::most(Settings::default().changes_at_once),
        );
        Self { info }
    }
}

#[async_trait]
impl Kind for DockerKind {
    fn info(&self) -> &KindInfo {
        &self.info
    }

    fn examine(&self, table: &Value) -> Vec<Problem> {
        table::examine(table)
    }

    async fn connect(
        &self,
        cx: &Cx,
        name: InstanceName,
        settings: Value,
        ambient: Ambient,
    ) -> Result<Arc<dyn Provider>> {
        let settings = Settings::read(settings)?;
        let engine = Engine::connect(cx, settings, &ambient)
            .await
            .map_err(|error| error.of_provider(&name))?;
        tracing::debug!(kind = NAME, instance = %name, site = %engine.site, "connected");
        Ok(Arc::new(Docker::new(engine)))
    }
}
