//! The kinds that a file may speak of when a test is compiled.

use std::sync::Arc;

use async_trait::async_trait;
use encamp_core::{
    Ambient, Capabilities, Cx, Error, ErrorKind, InstanceName, Keeps, Kind, KindInfo, KindName, NameError, Problem,
    Provider, Result, Settle, Value,
};
use encamp_file::Kinds;
use serde_json::json;

/// The built-in ones, and others of which no more is known than their names.
pub(crate) fn known(others: &[String]) -> Result<Kinds, NameError> {
    let mut all: Vec<Arc<dyn Kind>> = vec![
        #[cfg(feature = "docker")]
        encamp_provider_docker::kind(),
        #[cfg(all(feature = "local", target_os = "linux"))]
        encamp_provider_local::kind(),
    ];
    for other in others {
        all.push(Arc::new(Other::new(KindName::new(other.as_str())?)));
    }
    let mut kinds = Kinds::default();
    for kind in all {
        let name = kind.info().name.clone();
        kinds.instances.insert(InstanceName::new(name.as_str())?, name.clone());
        kinds.kinds.insert(name, kind);
    }
    Ok(kinds)
}

/// A kind that takes every table.
#[derive(Debug)]
struct Other(KindInfo);

impl Other {
    fn new(name: KindName) -> Self {
        let most = Capabilities::new(Keeps::Labels, Settle::Replay { token_life: None });
        Self(KindInfo::new(name, "", json!({}), json!({ "x-late": true }), most))
    }
}

#[async_trait]
impl Kind for Other {
    fn info(&self) -> &KindInfo {
        &self.0
    }

    fn examine(&self, _: &Value) -> Vec<Problem> {
        Vec::new()
    }

    async fn connect(&self, _: &Cx, _: InstanceName, _: Value, _: Ambient) -> Result<Arc<dyn Provider>> {
        Err(Error::new(
            ErrorKind::Unsupported,
            "nothing is connected while a test is compiled",
        ))
    }
}
