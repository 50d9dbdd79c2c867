//! Machines whose process has died by itself.

use std::collections::BTreeMap;
use std::sync::Arc;

use encamp_core::{Error, ErrorKind, InstanceName, List, Phase, Site, Verb};
use encamp_file::spec::Environment;
use futures_util::StreamExt;

use crate::inside::Inside;
use crate::journal::IntentRow;
use crate::ready;
use crate::session::Session;
use crate::setup::{DeadService, dead_services};

/// Machines that are looked into at the same time.
const LOOKS: usize = 16;

/// One look at machines, by one listing of each site: those that are not meant to end and have. A listing that fails or
/// is incomplete says nothing.
pub(crate) async fn look<'a>(
    session: &Session,
    spec: &Environment,
    rows: impl IntoIterator<Item = &'a IntentRow>,
) -> Vec<Error> {
    let mut sites: BTreeMap<(&Site, &InstanceName), BTreeMap<&str, &IntentRow>> = BTreeMap::new();
    for row in rows {
        let of_site = sites.entry((&row.site, &row.instance)).or_default();
        of_site.insert(&row.object, row);
    }
    for machine in spec.machines.iter().filter(|machine| ready::ends(machine)) {
        for of_site in sites.values_mut() {
            of_site.remove(machine.name.as_str());
        }
    }
    let mut found = Vec::new();
    for ((site, instance), rows) in &sites {
        found.extend(dead(session, site, instance, rows.values().copied()).await);
    }
    found
}

/// Says which services of machines that stand have ended by themselves, and not well. One look: what cannot be asked says
/// nothing.
pub(crate) async fn tell_dead_services(session: &Session, rows: &[&IntentRow]) {
    let looking: Vec<_> = rows.iter().map(|row| dead_of(session, row)).collect();
    let mut looking = futures_util::stream::iter(looking).buffered(LOOKS);
    while let Some((machine, dead)) = looking.next().await {
        for DeadService { service, code } in dead {
            let text = format!("warning: {machine}/{service} died: exited {code} (encamp logs {machine}/{service})");
            session.events.note(text).await;
        }
    }
}

async fn dead_of(session: &Session, row: &IntentRow) -> (String, Vec<DeadService>) {
    let looking = async {
        let provider = session.camp.provider_of(row).await?;
        dead_services(&Inside::new(session, provider, row), row, session.camp.policy.check).await
    };
    let dead = looking.await.unwrap_or_else(|error| {
        tracing::debug!(machine = row.object, %error, "its services cannot be looked at");
        Vec::new()
    });
    (row.object.clone(), dead)
}

async fn dead(
    session: &Session,
    site: &Site,
    instance: &InstanceName,
    rows: impl Iterator<Item = &IntentRow>,
) -> Vec<Error> {
    let Ok(provider) = session.camp.provider_at(site, instance).await else {
        return Vec::new();
    };
    let list = List::new(session.camp.controller.prefix())
        .of(session.row.id.clone())
        .at(site.clone());
    let Ok(listing) = provider.list(&session.camp.read_cx(), list).await else {
        return Vec::new();
    };
    let complete = listing.covers(site);
    let by_key: BTreeMap<&str, &Phase> = listing
        .found
        .iter()
        .map(|found| (found.key.as_str(), &found.phase))
        .collect();
    let mut errors = Vec::new();
    for row in rows {
        let how = match by_key.get(row.key().as_str()) {
            Some(Phase::Exited(exit)) => ready::ended(exit),
            Some(Phase::Stopped) => "it was stopped".to_owned(),
            Some(Phase::Gone | Phase::Dying) => "it is not there any more".to_owned(),
            None if complete => "it is not there any more".to_owned(),
            Some(_) | None => continue,
        };
        let inside = Inside::new(session, Arc::clone(&provider), row);
        errors.push(error(session, &inside, row, &how).await);
    }
    errors
}

async fn error(session: &Session, inside: &Inside, row: &IntentRow, how: &str) -> Error {
    let mut error = Error::new(ErrorKind::Unavailable, format!("{} died: {how}", row.object))
        .at(Verb::Inspect)
        .of_provider(&row.instance)
        .of_machine(&row.object)
        .of_environment(&session.row.name);
    for line in inside.last_lines().await {
        error = error.with("said", line);
    }
    error
}
