//! Sandboxes of this host, by each of what can hold their processes together. This program is the helper.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use encamp_core::helper::Helper;
use encamp_core::{Ambient, Cx, Error, ErrorKind, InstanceName, Kind, Provider, Result, Value};
use encamp_testkit::Factory;
use serde_json::json;

/// One way to cage machines, and the port on which one of its machines listens: all are in the network of this host.
pub(crate) struct Local {
    name: &'static str,
    cage: &'static str,
    port: u16,
}

impl Local {
    /// Every way that this user has.
    pub(crate) fn all() -> Vec<Self> {
        let one = |name, cage, port| Self { name, cage, port };
        let mut all = vec![
            one("local", "auto", 7107),
            one("local-namespace", "namespace", 7117),
            one("local-cookie", "cookie", 7127),
        ];
        // Nobody delegates a control group to an ordinary user here.
        if is_root() {
            all.push(one("local-cgroup", "cgroup", 7137));
        }
        all
    }

    fn root(&self) -> PathBuf {
        let user = if is_root() { "root" } else { "user" };
        Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("{}-{user}", self.name))
    }
}

fn is_root() -> bool {
    std::fs::read_to_string("/proc/self/status").is_ok_and(|text| text.contains("\nUid:\t0\t0\t"))
}

#[async_trait]
impl Factory for Local {
    fn name(&self) -> &'static str {
        self.name
    }

    fn kind(&self) -> Arc<dyn Kind> {
        encamp_provider_local::kind()
    }

    async fn connect(&self) -> Result<Arc<dyn Provider>> {
        let cx = Cx::within(Duration::from_secs(10));
        let internal = |what: &'static str| move |error| Error::new(ErrorKind::Internal, what).caused_by(error);
        let name = InstanceName::new("local")
            .map_err(|error| Error::new(ErrorKind::Internal, "the instance has no name").caused_by(error))?;
        let program = std::env::current_exe().map_err(internal("this program has no path"))?;
        let settings = json!({ "root": self.root(), "cage": self.cage });
        let ambient = Ambient::none().with_helper(Helper::new(program));
        self.kind().connect(&cx, name, settings, ambient).await
    }

    fn plain(&self) -> Value {
        json!({})
    }

    fn invalid(&self) -> Value {
        json!({ "memory": "plenty" })
    }

    fn exits(&self, code: i32) -> Option<Value> {
        Some(json!({ "command": format!("exit {code}") }))
    }

    fn says(&self, line: &str) -> Option<Value> {
        Some(json!({ "command": format!("while :; do echo '{line}'; sleep 0.2; done") }))
    }

    fn heeds(&self, begun: &str, asked: &str) -> Option<Value> {
        let script = format!("trap 'echo {asked}; exit 0' TERM; echo {begun}; while :; do sleep 0.1; done");
        Some(json!({ "command": script }))
    }

    fn echoes(&self, port: u16) -> Option<Value> {
        Some(json!({ "command": ["busybox", "nc", "-ll", "-p", port.to_string(), "-e", "cat"] }))
    }

    fn port(&self) -> u16 {
        self.port
    }

    fn user(&self) -> Option<&str> {
        is_root().then_some("1000")
    }
}
