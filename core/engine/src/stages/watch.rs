//! Looks after the machines while tasks run: one that dies by itself fails the run.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use encamp_core::{Error, ErrorKind, InstanceName, List, Phase, Site, Verb};
use tokio_util::sync::CancellationToken;

use super::Staging;
use crate::inside::Inside;
use crate::journal::IntentRow;
use crate::ready;

/// The first death of a machine whose process is not meant to end, or nothing once `done` is set.
pub(super) async fn deaths(staging: &Staging<'_>, done: &CancellationToken) -> Option<Error> {
    loop {
        let found = tokio::select! {
            found = look(staging) => found,
            () = done.cancelled() => return None,
        };
        if found.is_some() {
            return found;
        }
        tokio::select! {
            () = tokio::time::sleep(staging.session.camp.policy.watch) => {}
            () = done.cancelled() => return None,
        }
    }
}

/// One look at all machines that are not meant to end.
pub(super) async fn look(staging: &Staging<'_>) -> Option<Error> {
    let ends: BTreeSet<&str> = staging
        .spec
        .machines
        .iter()
        .filter(|machine| ready::ends(machine))
        .map(|machine| machine.name.as_str())
        .collect();
    let mut sites: BTreeMap<(Site, InstanceName), Vec<&IntentRow>> = BTreeMap::new();
    let rows = staging.raised.rows.values();
    for row in rows.filter(|row| !ends.contains(row.object.as_str())) {
        let site = (row.site.clone(), row.instance.clone());
        sites.entry(site).or_default().push(row);
    }
    for ((site, instance), rows) in &sites {
        let found = dead(staging, site, instance, rows).await;
        if found.is_some() {
            return found;
        }
    }
    None
}

/// One look at all machines of a site. A listing that fails or is incomplete says nothing.
async fn dead(staging: &Staging<'_>, site: &Site, instance: &InstanceName, rows: &[&IntentRow]) -> Option<Error> {
    let session = staging.session;
    let provider = session.camp.provider_at(site, instance).await.ok()?;
    let list = List::new(session.camp.controller.prefix()).of(session.row.id.clone());
    let listing = provider.list(&session.camp.read_cx(), list).await.ok()?;
    let complete = listing.covers(site);
    let by_key: BTreeMap<&str, &Phase> = listing
        .found
        .iter()
        .map(|found| (found.key.as_str(), &found.phase))
        .collect();
    for row in rows {
        if staging.is_down(&row.object) {
            continue;
        }
        let how = match by_key.get(row.key().as_str()) {
            Some(Phase::Exited(exit)) => format!("its process {exit}"),
            Some(Phase::Stopped) => "it was stopped".to_owned(),
            Some(Phase::Gone | Phase::Dying) => "it is not there any more".to_owned(),
            None if complete => "it is not there any more".to_owned(),
            Some(_) | None => continue,
        };
        let mut error = Error::new(
            ErrorKind::Unavailable,
            format!("the machine died while tasks ran: {how}"),
        )
        .at(Verb::Inspect)
        .of_provider(instance)
        .of_machine(&row.object)
        .of_environment(&session.row.name)
        .next_step("to look at it: encamp run --keep=on-failure");
        for line in Inside::new(session, Arc::clone(&provider), row).last_lines().await {
            error = error.with("said", line);
        }
        return Some(error);
    }
    None
}
