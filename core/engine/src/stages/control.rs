//! `do`: what a task does to a machine's life.

use std::time::Duration;

use encamp_core::{Error, Exit, Report, Result};
use encamp_file::spec::{ControlVerb, Task};

use super::Staging;
use super::task::Ran;
use crate::execute::{Controlled, Wanted, facts_of};

/// How long processes have to end when a task stops their machine; the machine's own description may say more.
const GRACE: Duration = Duration::from_secs(10);

pub(super) async fn run(staging: &Staging<'_>, task: &Task, verb: ControlVerb, place: &str) -> Ran {
    let working = tokio::time::timeout(task.timeout, control(staging, verb, place));
    match working.await {
        Ok(Ok(Ok(()))) => Ran::exited(Exit::Code(0), Vec::new()),
        Ok(Ok(Err(error)) | Err(error)) => Ran::by_provider(error),
        Err(_) => Ran::failed(format!("it was not done within {:?}", task.timeout)),
    }
}

/// The outer error is the journal's: nothing more may be sent then.
async fn control(staging: &Staging<'_>, verb: ControlVerb, place: &str) -> Result<Result<()>> {
    let (row, provider) = match staging.reach(place).await {
        Ok(reached) => reached,
        Err(error) => return Ok(Err(error)),
    };
    let controlled = Controlled {
        session: staging.session,
        provider,
        row: &row,
    };
    match verb {
        ControlVerb::Stop => stop(staging, &controlled, GRACE).await,
        ControlVerb::Kill => stop(staging, &controlled, Duration::ZERO).await,
        ControlVerb::Pause => controlled.pause().await,
        ControlVerb::Unpause => controlled.start().await,
        ControlVerb::Start => start(staging, &controlled).await,
        ControlVerb::Restart => match stop(staging, &controlled, GRACE).await? {
            Ok(()) => start(staging, &controlled).await,
            Err(error) => Ok(Err(error)),
        },
    }
}

async fn stop(staging: &Staging<'_>, controlled: &Controlled<'_>, grace: Duration) -> Result<Result<()>> {
    // First, so that nobody takes the end of its process for its death.
    staging.expect_down(&controlled.row.object, true);
    let answer = controlled.stop(grace).await?;
    if answer.is_err() {
        staging.expect_down(&controlled.row.object, false);
    }
    Ok(answer)
}

async fn start(staging: &Staging<'_>, controlled: &Controlled<'_>) -> Result<Result<()>> {
    if let Err(error) = controlled.start().await? {
        return Ok(Err(error));
    }
    let Some(spec) = staging.spec.machine(&controlled.row.object) else {
        return Ok(Ok(()));
    };
    let wanted = Wanted {
        spec,
        facts: staging.facts(),
        gate: None,
    };
    match controlled.ready_again(&wanted).await? {
        Ok(observed) => {
            let mut row = controlled.row.clone();
            (row.addrs, row.ports) = (observed.addrs, observed.ports);
            staging.know(&spec.name, facts_of(&row));
            staging.expect_down(&controlled.row.object, false);
            Ok(Ok(()))
        }
        Err(error) => {
            tracing::debug!(error = %Report(&error), "a started machine did not become ready");
            Ok(Err(error))
        }
    }
}

impl Staging<'_> {
    /// A machine, and the provider that it is on.
    pub(super) async fn reach(
        &self,
        place: &str,
    ) -> Result<(crate::journal::IntentRow, std::sync::Arc<dyn encamp_core::Provider>)> {
        let row = encamp_core::Name::new(place)
            .ok()
            .and_then(|name| self.raised.rows.get(&name))
            .ok_or_else(|| Error::new(encamp_core::ErrorKind::NotFound, format!("there is no machine {place}")))?;
        let provider = self.session.camp.provider_of(row).await?;
        Ok((row.clone(), provider))
    }
}
