//! `ssh`: the machine lets in over SSH whom its provider says it lets in.

use std::time::Duration;

use encamp_core::{Access, Exec, Report};
use tokio_util::sync::CancellationToken;

use super::missed::Missed;
use crate::inside::Inside;

pub(super) async fn attempt(inside: &Inside, limit: Duration) -> Result<(), Missed> {
    let told = |error: encamp_core::Error| Missed::Yet(Report(&error).to_string());
    let observed = inside.look().await.map_err(told)?;
    match observed.access {
        Access::Ssh(_) => {}
        Access::Native => {
            let why = "its provider reaches it without SSH; drop the probe, or ask for its server with `run` or `tcp`";
            return Err(Missed::ForGood(why.to_owned()));
        }
        _ => {
            return Err(Missed::Yet(
                "its provider does not say yet how it is reached".to_owned(),
            ));
        }
    }
    let exec = Exec::new(inside.target.clone(), ["true"]);
    let said = inside
        .run(exec, None, limit, &CancellationToken::new())
        .await
        .map_err(told)?;
    if said.exit.success() {
        Ok(())
    } else {
        Err(Missed::Yet(format!("`true` on it: {}", said.exit)))
    }
}
