//! Whoever holds hosts to the promises leaves nothing on them.

use std::sync::Arc;

use async_trait::async_trait;
use encamp_core::{Kind, Provider, Result, Value};
use encamp_testkit::{Factory, examine_only};
use serde_json::json;
use tempfile::TempDir;

use crate::bed::Bed;

struct OfBed {
    bed: Bed,
    files: TempDir,
}

#[async_trait]
impl Factory for OfBed {
    fn name(&self) -> &'static str {
        "ssh"
    }

    fn kind(&self) -> Arc<dyn Kind> {
        encamp_provider_ssh::kind()
    }

    async fn connect(&self) -> Result<Arc<dyn Provider>> {
        Ok(Arc::clone(&self.bed.provider))
    }

    fn plain(&self) -> Value {
        json!({})
    }

    fn invalid(&self) -> Value {
        json!({ "labels": "ssd" })
    }

    fn folder(&self) -> &str {
        self.files.path().to_str().unwrap()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_check_leaves_no_files_on_a_host() {
    let factory = Arc::new(OfBed {
        bed: Bed::new(1).await,
        files: tempfile::tempdir().unwrap(),
    });
    let wanted = |name: &str| name.starts_with("files::") || name.starts_with("commands::");
    let report = examine_only(&(Arc::clone(&factory) as Arc<dyn Factory>), wanted).await;
    assert!(report.is_good() && report.tried.len() > 10, "{report:?}");
    let left: Vec<_> = std::fs::read_dir(factory.files.path()).unwrap().collect();
    assert!(left.is_empty(), "{left:?}");
}
