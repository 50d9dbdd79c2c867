//! The kind.

use std::sync::Arc;

use async_trait::async_trait;
use encamp_core::{Ambient, Cx, InstanceName, Kind, KindInfo, KindName, Problem, Provider, Result, Value};

use crate::client::Host;
use crate::config::Settings;
use crate::provider::Local;
use crate::table::{self, Table};
use crate::{NAME, capabilities};

/// Makes providers of sandboxes.
#[derive(Debug)]
pub(crate) struct LocalKind {
    info: KindInfo,
}

impl LocalKind {
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
impl Kind for LocalKind {
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
        let host = Host::connect(cx, settings, &ambient)
            .await
            .map_err(|error| error.of_provider(&name))?;
        tracing::debug!(kind = NAME, instance = %name, site = %host.site, "connected");
        Ok(Arc::new(Local::new(host)))
    }
}
