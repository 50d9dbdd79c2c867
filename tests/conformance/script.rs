//! The example of a provider in shell.

use std::path::Path;
use std::sync::Arc;

use async_trait::async_trait;
use encamp_core::{Ambient, Cx, InstanceName, Kind, Provider, Result, Value};
use encamp_testkit::Factory;
use serde_json::json;

pub(crate) struct Script {
    kind: Arc<dyn Kind>,
    /// Machines of this run of the suite.
    yard: tempfile::TempDir,
}

impl Script {
    pub(crate) fn yard() -> Self {
        let manifest = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/providers/yard/yard.provider.toml");
        Self {
            kind: encamp_plugin_script::kind(&manifest).expect("the example is a provider"),
            yard: tempfile::tempdir().expect("a folder can be made"),
        }
    }

    fn running(line: &str) -> Value {
        json!({ "command": line })
    }
}

#[async_trait]
impl Factory for Script {
    #[expect(clippy::unnecessary_literal_bound, reason = "another provider's may be computed")]
    fn name(&self) -> &str {
        "script"
    }

    fn kind(&self) -> Arc<dyn Kind> {
        Arc::clone(&self.kind)
    }

    async fn connect(&self) -> Result<Arc<dyn Provider>> {
        let variables = [
            ("PATH", "/usr/local/bin:/usr/bin:/bin".to_owned()),
            ("YARD", self.yard.path().display().to_string()),
        ];
        let ambient = Ambient::new(variables.map(|(name, value)| (name.to_owned(), value)), None);
        let name = InstanceName::new("yard").expect("a name");
        let cx = Cx::within(self.bounds().running);
        self.kind.connect(&cx, name, json!({}), ambient).await
    }

    fn plain(&self) -> Value {
        json!({ "command": "exec sleep 1000" })
    }

    fn invalid(&self) -> Value {
        json!({ "command": 5 })
    }

    fn exits(&self, code: i32) -> Option<Value> {
        Some(Self::running(&format!("exit {code}")))
    }

    fn says(&self, line: &str) -> Option<Value> {
        Some(Self::running(&format!("while :; do echo '{line}'; sleep 0.2; done")))
    }
}
