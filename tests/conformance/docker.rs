//! Docker, on the daemon that answers here, and Podman's compatible socket, with the image that `tests/parts` makes.

use std::path::Path;
use std::sync::Arc;

use async_trait::async_trait;
use encamp_core::{Ambient, Cx, Error, ErrorKind, InstanceName, Kind, Provider, Result, Value};
use encamp_testkit::Factory;
use serde_json::json;

const IMAGE: &str = "busybox:1.35";

/// A daemon: one that `tests/parts` brings, and how the kind is told where it is.
pub(crate) struct Docker {
    name: &'static str,
    settings: Value,
    mend: &'static str,
}

impl Docker {
    /// The daemon that answers where Docker's own command line looks.
    pub(crate) fn engine() -> Self {
        Self {
            name: "docker",
            settings: json!({}),
            mend: "there is no Docker daemon here; `tests/run --install` installs and starts one",
        }
    }

    /// Podman's service, at the socket of its part.
    pub(crate) fn podman() -> Self {
        let socket = Path::new(env!("CARGO_TARGET_TMPDIR")).with_file_name("parts/podman.sock");
        Self {
            name: "docker-podman",
            settings: json!({ "host": format!("unix://{}", socket.display()) }),
            mend: "Podman's service does not answer; `tests/parts/parts podman up` starts one",
        }
    }
}

#[async_trait]
impl Factory for Docker {
    fn name(&self) -> &'static str {
        self.name
    }

    fn kind(&self) -> Arc<dyn Kind> {
        encamp_provider_docker::kind()
    }

    async fn connect(&self) -> Result<Arc<dyn Provider>> {
        let cx = Cx::within(self.bounds().running);
        let name = InstanceName::new("docker")
            .map_err(|error| Error::new(ErrorKind::Internal, "the instance has no name").caused_by(error))?;
        let connected = self
            .kind()
            .connect(&cx, name, self.settings.clone(), Ambient::of_process())
            .await;
        connected.map_err(|error| Error::new(error.kind(), self.mend).caused_by(error))
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

    fn health(&self, holds: bool) -> Option<Value> {
        // Podman leaves the checks to systemd.
        if self.name != "docker" && !Path::new("/run/systemd/system").exists() {
            return None;
        }
        let test = if holds {
            "test -d /tmp"
        } else {
            "echo no answer; exit 1"
        };
        let check = json!({ "test": test, "interval": "500ms", "retries": 1 });
        Some(json!({ "image": IMAGE, "command": ["sleep", "infinity"], "healthcheck": check }))
    }

    fn echoes(&self, port: u16) -> Option<Value> {
        Some(json!({ "image": IMAGE, "command": ["nc", "-ll", "-p", port.to_string(), "-e", "cat"] }))
    }

    fn shares(&self) -> Value {
        json!({ "image": IMAGE, "command": ["sleep", "infinity"], "volumes": ["data:/data"] })
    }

    fn resolves(&self, name: &str) -> Option<Vec<String>> {
        Some(["nslookup", name].map(str::to_owned).to_vec())
    }

    fn shared_folder(&self) -> Option<&str> {
        Some("/data")
    }

    fn user(&self) -> Option<&str> {
        Some("1000")
    }
}
