//! The plan of a description against what is recorded and seen.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use encamp_core::{Class, InstanceName, Key, List, Phase, Report, Result, Site};
use encamp_file::spec::{Condition, Environment, Machine};
use encamp_file::text::{Facts, Numbers};

use crate::camp::Camp;
use crate::events::Events;
use crate::execute::{facts_of, late_needs, rendered};
use crate::journal::{IntentRow, IntentState};
use crate::plan::{Plan, Sight, Wish, plan};

/// What was recorded and seen of an environment, and the plan that follows.
#[derive(Debug, Default)]
pub(crate) struct Observed {
    pub(crate) rows: Vec<IntentRow>,
    pub(crate) seen: BTreeMap<Key, Sight>,
    pub(crate) plan: Plan,
}

/// Looks at what there is of an environment and plans the difference. A site that cannot be listed is named, and its
/// machines are judged by their rows.
pub(crate) async fn observe(
    camp: &Camp,
    spec: &Environment,
    rows: Vec<IntentRow>,
    events: &Events,
) -> Result<Observed> {
    let living: Vec<&IntentRow> = rows.iter().filter(|row| row.state.may_exist()).collect();
    let sites: BTreeSet<(Site, InstanceName)> = living
        .iter()
        .map(|row| (row.site.clone(), row.instance.clone()))
        .collect();
    let mut seen = BTreeMap::new();
    for (site, instance) in sites {
        let of_site: Vec<&IntentRow> = living.iter().copied().filter(|row| row.site == site).collect();
        match look(camp, &site, &instance, &of_site).await {
            Ok(sights) => seen.extend(sights),
            Err(error) => {
                events
                    .note(format!(
                        "{instance}: {}; its machines are taken as recorded",
                        Report(&error)
                    ))
                    .await;
            }
        }
    }
    let plan = plan(&wishes(camp, spec, &rows)?, &rows, &seen);
    Ok(Observed { rows, seen, plan })
}

async fn look(camp: &Camp, site: &Site, instance: &InstanceName, rows: &[&IntentRow]) -> Result<BTreeMap<Key, Sight>> {
    let provider = camp.provider_at(site, instance).await?;
    let Some(first) = rows.first() else {
        return Ok(BTreeMap::new());
    };
    let list = List::new(camp.controller.prefix())
        .of(first.environment.clone())
        .at(site.clone());
    let listing = provider.list(&camp.read_cx(), list).await?;
    let complete = listing.covers(site);
    let keeps = provider.capabilities().keeps;
    // By key first: a search of the whole listing for each row would be quadratic.
    let by_key: BTreeMap<&str, Vec<&encamp_core::Found>> =
        listing.found.iter().fold(BTreeMap::new(), |mut map, found| {
            map.entry(found.key.as_str()).or_insert_with(Vec::new).push(found);
            map
        });
    let sight = |row: &IntentRow| {
        let found = by_key.get(row.key().as_str()).into_iter().flatten().find(|found| {
            found.site == *site && (keeps == encamp_core::Keeps::KeyOnly || row.stamp.matches_labels(&found.labels))
        });
        match found.map(|found| &found.phase) {
            Some(Phase::Exited(_) | Phase::Stopped | Phase::Dying) if row.class == Class::Machine => Some(Sight::Ended),
            Some(Phase::Gone) => Some(Sight::Absent),
            Some(_) => Some(Sight::Alive),
            // What was sent without an answer may still appear, so only settling may call it absent.
            None if complete && row.id.is_some() => Some(Sight::Absent),
            None => None,
        }
    };
    Ok(rows
        .iter()
        .filter_map(|row| Some((row.key().clone(), sight(row)?)))
        .collect())
}

fn wishes(camp: &Camp, spec: &Environment, rows: &[IntentRow]) -> Result<Vec<Wish>> {
    let mut facts = recorded_facts(rows, &spec.numbers);
    facts.secrets = Arc::new(crate::secrets::mark(&spec.secret_names()));
    spec.machines
        .iter()
        .map(|machine| wish(camp, machine, &facts))
        .collect()
}

fn wish(camp: &Camp, machine: &Machine, facts: &Facts) -> Result<Wish> {
    let unknown = |instance: &InstanceName| {
        encamp_core::Error::new(
            encamp_core::ErrorKind::NotFound,
            format!("no provider is called `{instance}`"),
        )
        .of_machine(&machine.name)
    };
    let mut on = BTreeMap::new();
    for instance in &machine.providers {
        let kind = camp.providers.kind_of(instance).ok_or_else(|| unknown(instance))?;
        on.insert(instance.clone(), machine.spec_hash(kind));
    }
    let Some(first) = machine.providers.first().cloned() else {
        return Err(
            encamp_core::Error::new(encamp_core::ErrorKind::Invalid, "it names no provider").of_machine(&machine.name),
        );
    };
    let kind = camp.providers.kind_of(&first).ok_or_else(|| unknown(&first))?;
    Ok(Wish {
        name: machine.name.to_string(),
        on,
        first,
        late: late_needs(machine, kind).iter().map(ToString::to_string).collect(),
        // What depends on machines that do not exist yet is not known yet.
        bound: rendered(machine, kind, facts).ok().map(|rendered| rendered.bound),
        place: machine
            .place
            .as_ref()
            .map(|place| format!("{}:{}", place.file.display(), place.line)),
        ends: machine
            .ready
            .iter()
            .any(|probe| matches!(probe.condition, Condition::Exited)),
    })
}

/// What the journal knows of ready machines.
pub(crate) fn recorded_facts(rows: &[IntentRow], numbers: &Arc<Numbers>) -> Facts {
    let mut facts = Facts {
        numbers: Arc::clone(numbers),
        ..Facts::default()
    };
    for row in rows
        .iter()
        .filter(|row| row.class == Class::Machine && row.state == IntentState::Ready)
    {
        if let Ok(name) = encamp_core::Name::new(row.object.clone()) {
            facts.machines.insert(name, facts_of(row));
        }
    }
    facts
}
