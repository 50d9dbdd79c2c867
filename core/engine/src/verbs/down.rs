//! `down`: takes an environment down.

use std::sync::Arc;

use encamp_core::{Error, ErrorKind, Result};

use super::tidy;
use crate::camp::Camp;
use crate::events::Events;
use crate::execute::dispose;
use crate::journal::EnvironmentRow;
use crate::report::Disposal;
use crate::session::Session;

/// Takes the environment of that name down; whoever holds it yields.
pub(crate) async fn down(camp: &Arc<Camp>, name: &str, events: Events) -> Result<Disposal> {
    let Some(row) = camp.find(name).await? else {
        return Err(
            Error::new(ErrorKind::NotFound, format!("no environment is called `{name}`")).next_step("encamp ls"),
        );
    };
    let disposal = match end(camp, &row, "down", events.clone()).await {
        Ok(disposal) => disposal,
        // Whoever yielded has disposed of it himself, which is what was wanted.
        Err(_) if camp.find(name).await?.is_none_or(|now| now.id != row.id) => Disposal::already(name),
        Err(error) => return Err(error),
    };
    // Afterwards: who types `down` waits for this environment alone.
    tidy::tidy(camp, &events).await?;
    Ok(disposal)
}

/// Takes one environment down under a verb's name.
pub(crate) async fn end(camp: &Arc<Camp>, row: &EnvironmentRow, verb: &str, events: Events) -> Result<Disposal> {
    dispose_of(camp.take_over(row, verb, events).await?).await
}

/// Takes the environment of a session down.
pub(crate) async fn dispose_of(session: Session) -> Result<Disposal> {
    let secrets = Arc::clone(&session.secrets);
    let redactor = secrets.redactor();
    let mut disposal = redactor.guard(dispose(&session).await)?;
    disposal.redact(redactor);
    if !disposal.is_clean() {
        session.release().await?;
    }
    Ok(disposal)
}
