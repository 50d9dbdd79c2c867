//! `recover`: after a loss of the store, what carries our proof is recorded again.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use encamp_core::{Class, EnvId, Found, InstanceName, Phase, Result, Time, label};
use serde::Serialize;

use crate::adopt::{adopt, labelled_end};
use crate::camp::Camp;
use crate::clock::Lease;
use crate::identity::{Object, Verdict};
use crate::journal::{EnvironmentRow, IntentRow};
use crate::sweep::{Listed, NeverUsed, Unreached, list_all};

/// What stands on the infrastructure, and what of it the store did not know.
#[derive(Debug, Default, Serialize)]
#[non_exhaustive]
pub struct Recovery {
    /// Every environment of which something stands there.
    pub environments: Vec<Recovered>,
    /// Objects of environments that are disposed of: they came late, and `gc` destroys them.
    pub late: Vec<String>,
    /// Objects of environments that a process works on which still has the lost store open: they are left to that.
    pub held: Vec<String>,
    /// What names this controller and does not prove to be ours. It is left alone.
    pub unproved: Vec<Unproved>,
    /// The sites that were listed completely.
    pub sites: Vec<String>,
    /// What could not be listed, and may hide anything.
    pub unreached: Vec<Unreached>,
}

/// One environment of which something stands there.
#[derive(Debug, Serialize)]
#[non_exhaustive]
pub struct Recovered {
    /// Its name: a new one where the store did not know it.
    pub name: String,
    /// Its id.
    pub id: String,
    /// Whether the store did not know it.
    pub is_new: bool,
    /// When its lease ends: by the labels where the store did not know it.
    pub ends: Time,
    /// When it ended by the labels, where that is over: it was given a little longer.
    pub ended: Option<Time>,
    /// What of it stands there.
    pub objects: Vec<Standing>,
}

/// One thing that stands there.
#[derive(Debug, Serialize)]
#[non_exhaustive]
pub struct Standing {
    /// The machine or scope item.
    pub object: String,
    /// Which of the two.
    pub class: Class,
    /// Where.
    pub instance: InstanceName,
    /// The key under which the infrastructure shows it.
    pub key: String,
    /// The carrier's id.
    pub id: String,
    /// How it stands.
    pub phase: Phase,
    /// Whether the store did not know it.
    pub is_new: bool,
}

/// Something that names this controller and does not prove to be ours.
#[derive(Debug, Serialize)]
#[non_exhaustive]
pub struct Unproved {
    /// The name under which the infrastructure shows it.
    pub key: String,
    /// The provider instance.
    pub instance: InstanceName,
    /// Why it is not taken for ours.
    pub why: String,
}

impl Recovery {
    /// How much was recorded again.
    pub fn recorded(&self) -> usize {
        let objects = self.environments.iter().flat_map(|environment| &environment.objects);
        objects.filter(|standing| standing.is_new).count()
    }
}

/// What is found and was to be gone by its labels stays so long at least: whoever recovers wants to look first.
const REPRIEVE: Duration = Duration::from_mins(10);

/// Lists every site of the store and every configured provider, and adopts what proves to be ours. It destroys nothing.
pub(crate) async fn recover(camp: &Arc<Camp>) -> Result<Recovery> {
    let mut recovery = Recovery::default();
    // The sites first and the store second: what was made meanwhile has a row.
    let listed = list_all(camp, NeverUsed::Name, &mut recovery.unreached).await?;
    let mut books = Books {
        least: Lease::of(REPRIEVE, &*camp.clock),
        environments: rows(camp).await?,
        ends: BTreeMap::new(),
        standing: BTreeMap::new(),
    };
    for of in &listed {
        books.take_in(camp, of, &mut recovery).await?;
        if of.listing.covers(&of.site) {
            recovery.sites.push(of.site.to_string());
        }
    }
    let now = rows(camp).await?;
    // Also of those that an earlier recovery recorded and then died.
    for id in books
        .standing
        .keys()
        .filter(|id| now.get(*id).is_some_and(|row| row.recovered))
    {
        camp.keepers.ensure(camp, id).await;
    }
    for (id, objects) in books.standing {
        // Forgotten meanwhile: there is nothing to say of it.
        let Some(row) = now.get(&id) else { continue };
        recovery.environments.push(Recovered {
            name: row.name.clone(),
            id: id.to_string(),
            is_new: !books.environments.contains_key(&id),
            ends: row.lease.ends,
            ended: books.ends.get(&id).copied().filter(|ended| *ended <= camp.clock.now()),
            objects,
        });
    }
    Ok(recovery)
}

async fn rows(camp: &Camp) -> Result<BTreeMap<EnvId, EnvironmentRow>> {
    let rows = camp.journal.environments().await?.into_iter();
    Ok(rows.map(|row| (row.id.clone(), row)).collect())
}

/// What the store said before anything was adopted, and what was found since.
struct Books {
    least: Lease,
    environments: BTreeMap<EnvId, EnvironmentRow>,
    /// The latest end on the labels of each that is new.
    ends: BTreeMap<EnvId, Time>,
    standing: BTreeMap<EnvId, Vec<Standing>>,
}

impl Books {
    async fn take_in(&mut self, camp: &Camp, of: &Listed, recovery: &mut Recovery) -> Result<()> {
        let keeps = of.provider.capabilities().keeps;
        let is_there = |found: &&Found| found.class != Class::Image && found.site == of.site;
        let mut known: BTreeMap<EnvId, Vec<IntentRow>> = BTreeMap::new();
        for found in of.listing.found.iter().filter(is_there) {
            let object = match camp.controller.verify(found, keeps) {
                Verdict::Ours(object) => object,
                verdict => {
                    recovery.unproved.extend(unproved(camp, of, found, &verdict));
                    continue;
                }
            };
            let id = &object.environment;
            let environment = self.environments.get(id);
            if environment.is_some_and(|row| row.disposed.is_some()) {
                recovery.late.push(found.key.clone());
                continue;
            }
            if !known.contains_key(id) {
                known.insert(id.clone(), camp.journal.intents(id).await?);
            }
            let is_it = |row: &IntentRow| row.identity() == object && row.site == of.site;
            let is_new = !known[id].iter().any(is_it);
            if is_new {
                if !adopt(camp, of, found, &object, environment, Some(self.least.clone())).await? {
                    recovery.held.push(found.key.clone());
                    continue;
                }
                if environment.is_none()
                    && let Some(ends) = labelled_end(found)
                {
                    let latest = self.ends.entry(id.clone()).or_insert(ends);
                    *latest = ends.max(*latest);
                }
            }
            self.standing
                .entry(id.clone())
                .or_default()
                .push(standing(of, found, object, is_new));
        }
        Ok(())
    }
}

fn standing(of: &Listed, found: &Found, object: Object, is_new: bool) -> Standing {
    Standing {
        object: object.name,
        class: object.class,
        instance: of.instance.clone(),
        key: found.key.clone(),
        id: found.id.clone(),
        phase: found.phase.clone(),
        is_new,
    }
}

/// Of what is not ours, only what could be meant to be is worth a word.
fn unproved(camp: &Camp, of: &Listed, found: &Found, verdict: &Verdict) -> Option<Unproved> {
    let why = match verdict {
        Verdict::Ours(_) => return None,
        Verdict::OursByKey(_) => "nothing but its name says that it is ours",
        Verdict::Foreign(why) => {
            let named = found.labels.get(label::CONTROLLER)?;
            if named != camp.controller.id().as_str() {
                return None;
            }
            why
        }
    };
    Some(Unproved {
        key: found.key.clone(),
        instance: of.instance.clone(),
        why: why.to_owned(),
    })
}
