//! `sync`: brings working trees on machines up to date, as their set-up says, and nothing else.

use std::collections::BTreeSet;
use std::sync::Arc;

use encamp_core::{Error, ErrorKind, Result};
use encamp_file::spec::{Action, Environment, Machine};
use futures_util::future::join_all;
use serde::Serialize;

use super::observe::recorded_facts;
use super::release::{check, living};
use crate::camp::Camp;
use crate::clock::monotonic_now as now;
use crate::events::Events;
use crate::inside::Inside;
use crate::journal::{IntentRow, IntentState};
use crate::numbers;
use crate::session::Session;
use crate::setup::SettingUp;

/// What became of the trees of one machine.
#[derive(Debug, Serialize)]
#[non_exhaustive]
pub struct Synced {
    /// Its name.
    pub machine: String,
    /// Files that were sent.
    pub sent: usize,
    /// Files that were removed there, because they are gone here.
    pub removed: usize,
    /// Why they are not up to date.
    pub error: Option<Error>,
    /// How long it took.
    pub millis: u64,
}

/// Whether a machine has a tree.
fn has_tree(machine: &Machine) -> bool {
    machine.setup.iter().any(|step| matches!(step.action, Action::Sync(_)))
}

/// Brings the trees of machines up to date: of those named, or of all that have one.
pub(crate) async fn sync(
    camp: &Arc<Camp>,
    name: &str,
    machines: Option<&BTreeSet<String>>,
    spec: &Environment,
    events: Events,
) -> Result<Vec<Synced>> {
    let row = living(camp, name).await?;
    let spec = &*numbers::applied(camp, &row.numbers, spec);
    let with_tree = spec.machines.iter().filter(|machine| has_tree(machine));
    let with_tree: BTreeSet<String> = with_tree.map(|machine| machine.name.to_string()).collect();
    let wanted = machines.unwrap_or(&with_tree);
    if let Some(none) = wanted.iter().find(|name| !with_tree.contains(*name)) {
        return Err(
            Error::new(ErrorKind::Invalid, format!("{none} has no `sync` in its set-up"))
                .of_environment(&row.name)
                .next_step("setup = [{ sync = \"src\", to = \"/src\" }]"),
        );
    }
    if wanted.is_empty() {
        return Err(Error::new(
            ErrorKind::Invalid,
            format!("no machine of `{name}` has a `sync` in its set-up"),
        )
        .next_step("setup = [{ sync = \"src\", to = \"/src\" }]"));
    }
    let rows = check(camp, &row, wanted).await?;
    let session = camp.hold(&row, "sync", events).await?;
    let mut synced = join_all(rows.iter().map(|row| one(&session, row, spec))).await;
    let secrets = Arc::clone(&session.secrets);
    let errors = synced.iter_mut().filter_map(|synced| synced.error.as_mut());
    errors.for_each(|error| secrets.redactor().redact_error(error));
    session.release().await?;
    Ok(synced)
}

async fn one(session: &Session, row: &IntentRow, spec: &Environment) -> Synced {
    let began = now();
    let outcome = trees(session, row, spec).await;
    let (sent, removed) = outcome.as_ref().map_or((0, 0), |done| (done.sent, done.removed));
    let explain = |error: Error| {
        error
            .of_provider(&row.instance)
            .of_machine(&row.object)
            .of_environment(&session.row.name)
    };
    Synced {
        machine: row.object.clone(),
        sent,
        removed,
        error: outcome.err().map(explain),
        millis: u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX),
    }
}

async fn trees(session: &Session, row: &IntentRow, spec: &Environment) -> Result<crate::setup::Trees> {
    if row.state != IntentState::Ready || row.stopped {
        let state = if row.stopped { "stopped" } else { row.state.as_str() };
        return Err(Error::new(
            ErrorKind::Conflict,
            format!("{} is {state}, and files reach what is ready", row.object),
        )
        .next_step("encamp up"));
    }
    let machine = spec
        .machine(&row.object)
        .ok_or_else(|| Error::new(ErrorKind::NotFound, format!("the file describes no {}", row.object)))?;
    let provider = session.camp.provider_of(row).await?;
    let rows = session.camp.journal.intents(&session.row.id).await?;
    let inside = Inside::new(session, provider, row);
    let mut facts = recorded_facts(&rows, &spec.numbers);
    facts.secrets = session.secrets.values();
    let setting_up = SettingUp {
        session,
        inside: &inside,
        spec: machine,
        facts: &facts,
    };
    setting_up.trees().await
}
