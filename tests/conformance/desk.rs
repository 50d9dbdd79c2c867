//! The kind of the example `custom_provider`.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use encamp_core::{Ambient, Cx, Error, ErrorKind, InstanceName, Kind, Provider, Result, Value};
use encamp_testkit::Factory;
use serde_json::json;
use tempfile::TempDir;

#[path = "../../examples/custom_provider/desk.rs"]
mod example;

pub(crate) struct Desk(TempDir);

impl Desk {
    pub(crate) fn new() -> std::io::Result<Self> {
        tempfile::tempdir().map(Self)
    }
}

#[async_trait]
impl Factory for Desk {
    fn name(&self) -> &'static str {
        "desk"
    }

    fn kind(&self) -> Arc<dyn Kind> {
        example::kind()
    }

    async fn connect(&self) -> Result<Arc<dyn Provider>> {
        let name = InstanceName::new("desk")
            .map_err(|error| Error::new(ErrorKind::Internal, "the instance has no name").caused_by(error))?;
        let ambient = Ambient::none().with_state(self.0.path());
        self.kind()
            .connect(&Cx::within(Duration::from_secs(10)), name, Value::Null, ambient)
            .await
    }

    fn plain(&self) -> Value {
        json!({ "note": "plain" })
    }

    fn invalid(&self) -> Value {
        json!({ "note": 7 })
    }
}
