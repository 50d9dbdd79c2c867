//! The examples of providers in shell.

use std::path::Path;
use std::sync::Arc;

use async_trait::async_trait;
use encamp_core::{Ambient, Cx, InstanceName, Kind, Provider, Result, Value};
use encamp_testkit::Factory;
use serde_json::json;

pub(crate) struct Script {
    name: &'static str,
    kind: Arc<dyn Kind>,
    /// Machines of this run of the suite.
    folder: tempfile::TempDir,
}

impl Script {
    pub(crate) fn yard() -> Self {
        Self::of("script", "yard")
    }

    /// It needs root, and `apt-get install systemd-container`.
    pub(crate) fn nspawn() -> Self {
        Self::of("nspawn", "nspawn")
    }

    fn of(name: &'static str, example: &str) -> Self {
        let examples = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/providers");
        let manifest = examples.join(example).join(format!("{example}.provider.toml"));
        Self {
            name,
            kind: encamp_plugin_script::kind(&manifest).expect("the example is a provider"),
            folder: tempfile::tempdir().expect("a folder can be made"),
        }
    }

    fn is_container(&self) -> bool {
        self.name == "nspawn"
    }

    fn running(line: &str) -> Value {
        json!({ "command": line })
    }
}

#[async_trait]
impl Factory for Script {
    fn name(&self) -> &str {
        self.name
    }

    fn kind(&self) -> Arc<dyn Kind> {
        Arc::clone(&self.kind)
    }

    async fn connect(&self) -> Result<Arc<dyn Provider>> {
        let folder = self.folder.path().display().to_string();
        let variables = [
            ("PATH", "/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin".to_owned()),
            ("TMPDIR", folder.clone()),
        ];
        let ambient = Ambient::new(variables.map(|(name, value)| (name.to_owned(), value)), None);
        let settings = if self.is_container() {
            json!({ "root": folder })
        } else {
            json!({})
        };
        let name = InstanceName::new(self.name).expect("a name");
        let cx = Cx::within(self.bounds().running);
        self.kind.connect(&cx, name, settings, ambient).await
    }

    fn plain(&self) -> Value {
        Self::running("exec sleep 1000")
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

    fn heeds(&self, begun: &str, asked: &str) -> Option<Value> {
        let script = format!("trap 'echo {asked}; exit 0' TERM; echo {begun}; while :; do sleep 0.1; done");
        self.is_container().then(|| Self::running(&script))
    }

    fn echoes(&self, port: u16) -> Option<Value> {
        let listens = format!("exec busybox nc -ll -p {port} -e cat");
        self.is_container().then(|| Self::running(&listens))
    }

    fn user(&self) -> Option<&str> {
        self.is_container().then_some("1000")
    }
}
