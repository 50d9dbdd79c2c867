//! The kind `memory`.

use std::sync::Arc;

use async_trait::async_trait;
use schemars::schema_for;

use super::instance::Instance;
use super::provider::provider;
use super::settings::Settings;
use super::table::Table;
use super::world::World;
use crate::{Ambient, Cx, Error, ErrorKind, InstanceName, Kind, KindInfo, KindName, Problem, Provider, Result, Value};

/// The simulated kind: its instances make their machines in `world`.
///
/// # Panics
/// Never: the name is a constant that is checked by a test.
pub fn kind(world: World) -> Arc<dyn Kind> {
    Arc::new(Memory { info: info(), world })
}

#[derive(Debug)]
struct Memory {
    info: KindInfo,
    world: World,
}

#[expect(clippy::expect_used, reason = "the name is a constant that is checked by a test")]
fn info() -> KindInfo {
    let most = Settings {
        self_expiry: true,
        ..Settings::default()
    };
    KindInfo::new(
        KindName::new("memory").expect("`memory` is a name"),
        env!("CARGO_PKG_VERSION"),
        schema_for!(Settings).to_value(),
        schema_for!(Table).to_value(),
        most.capabilities(),
    )
}

#[async_trait]
impl Kind for Memory {
    fn info(&self) -> &KindInfo {
        &self.info
    }

    fn examine(&self, table: &Value) -> Vec<Problem> {
        Table::examine(table)
    }

    async fn connect(
        &self,
        _cx: &Cx,
        name: InstanceName,
        settings: Value,
        _ambient: Ambient,
    ) -> Result<Arc<dyn Provider>> {
        let settings = if settings.is_null() {
            serde_json::json!({})
        } else {
            settings
        };
        let settings: Settings = serde_json::from_value(settings).map_err(|error| {
            Error::new(ErrorKind::Invalid, "these are no settings of the kind `memory`").caused_by(error)
        })?;
        Ok(provider(Instance::new(self.world.clone(), name, settings)))
    }
}
