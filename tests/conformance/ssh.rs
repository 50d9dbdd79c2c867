//! Hosts of a lab.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use encamp_core::{Ambient, Cx, Error, ErrorKind, InstanceName, Kind, Provider, Result, Value};
use encamp_testkit::Factory;
use serde_json::json;

#[path = "../../providers/ssh/tests/it/lab.rs"]
mod lab;

/// More than a promise claims at once.
const HOSTS: usize = 5;

/// The lab of this process, started when it is first asked for.
#[derive(Default)]
pub(crate) struct Hosts(Mutex<Option<Arc<lab::Lab>>>);

impl Hosts {
    fn running(&self) -> Result<Arc<lab::Lab>> {
        let mut lab = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(lab) = &*lab {
            return Ok(Arc::clone(lab));
        }
        let started = lab::Lab::start(HOSTS).map_err(|native| {
            Error::new(ErrorKind::Internal, "the lab's OpenSSH server does not start")
                .caused_by(native)
                .next_step("apt-get install openssh-server openssh-client")
        })?;
        Ok(Arc::clone(lab.insert(Arc::new(started))))
    }
}

#[async_trait]
impl Factory for Hosts {
    fn name(&self) -> &'static str {
        "ssh"
    }

    fn kind(&self) -> Arc<dyn Kind> {
        encamp_provider_ssh::kind()
    }

    async fn connect(&self) -> Result<Arc<dyn Provider>> {
        let name = InstanceName::new("lab")
            .map_err(|error| Error::new(ErrorKind::Internal, "the instance has no name").caused_by(error))?;
        let path = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin".to_owned();
        let ambient = Ambient::new([("PATH".to_owned(), path)], None);
        let settings = self.running()?.settings();
        let cx = Cx::within(Duration::from_secs(10));
        self.kind().connect(&cx, name, settings, ambient).await
    }

    fn plain(&self) -> Value {
        json!({})
    }

    fn invalid(&self) -> Value {
        json!({ "labels": "ssd" })
    }
}
