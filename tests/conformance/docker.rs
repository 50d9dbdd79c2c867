//! Docker, on the daemon that answers here, with the image that `tests/parts` makes.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use encamp_core::{Ambient, Cx, Error, ErrorKind, InstanceName, Kind, Provider, Result, Value};
use encamp_testkit::Factory;
use serde_json::json;

const IMAGE: &str = "busybox:1.35";

pub(crate) struct Docker;

#[async_trait]
impl Factory for Docker {
    fn name(&self) -> &'static str {
        "docker"
    }

    fn kind(&self) -> Arc<dyn Kind> {
        encamp_provider_docker::kind()
    }

    async fn connect(&self) -> Result<Arc<dyn Provider>> {
        let cx = Cx::within(Duration::from_secs(10));
        let name = InstanceName::new("docker")
            .map_err(|error| Error::new(ErrorKind::Internal, "the instance has no name").caused_by(error))?;
        let connected = self.kind().connect(&cx, name, json!({}), Ambient::of_process()).await;
        connected.map_err(|error| {
            Error::new(
                error.kind(),
                "there is no Docker daemon here; `tests/run --install` installs and starts one",
            )
            .caused_by(error)
        })
    }

    fn plain(&self) -> Value {
        json!({ "image": IMAGE, "command": ["sleep", "infinity"] })
    }

    fn invalid(&self) -> Value {
        json!({ "image": IMAGE, "memory": "plenty" })
    }

    fn exits(&self, code: i32) -> Option<Value> {
        Some(json!({ "image": IMAGE, "command": ["sh", "-c", format!("exit {code}")] }))
    }

    fn says(&self, line: &str) -> Option<Value> {
        let script = format!("while :; do echo '{line}'; sleep 0.2; done");
        Some(json!({ "image": IMAGE, "command": ["sh", "-c", script] }))
    }

    fn heeds(&self, begun: &str, asked: &str) -> Option<Value> {
        let script = format!("trap 'echo {asked}; exit 0' TERM; echo {begun}; while :; do sleep 0.1; done");
        Some(json!({ "image": IMAGE, "command": ["sh", "-c", script] }))
    }

    fn echoes(&self, port: u16) -> Option<Value> {
        Some(json!({ "image": IMAGE, "command": ["nc", "-ll", "-p", port.to_string(), "-e", "cat"] }))
    }

    fn shares(&self) -> Value {
        json!({ "image": IMAGE, "command": ["sleep", "infinity"], "volumes": ["data:/data"] })
    }

    fn user(&self) -> Option<&str> {
        Some("1000")
    }
}
