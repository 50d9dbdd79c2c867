//! `file`: a file is there.

use std::time::Duration;

use encamp_core::{Exec, Report};
use encamp_file::text::Text;
use tokio_util::sync::CancellationToken;

use super::Judged;
use crate::command;

pub(super) async fn attempt(judged: Judged<'_>, path: &Text, limit: Duration) -> Result<(), String> {
    let inside = judged.inside;
    let path = command::render(path, judged.facts, &judged.viewer())?;
    let exec = Exec::new(
        inside.target.clone(),
        ["sh", "-c", "[ -e \"$1\" ]", "sh", path.as_str()],
    );
    let said = inside
        .run(exec, None, limit, &CancellationToken::new())
        .await
        .map_err(|error| Report(&error).to_string())?;
    if said.exit.success() {
        Ok(())
    } else {
        Err("it is not there".to_owned())
    }
}
