//! `gc`: everything that dead commands, lost answers and lost stores left, on every site that was ever used.
//!
//! A sweep lists the provider first and reads the store second, and kills on a positive reason only.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use encamp_core::{
    Class, Cx, Error, ErrorKind, Found, InstanceName, List, Listing, Provider, Prune, Report, Result, Site, Stamp,
    Time, Token, label,
};
use serde::Serialize;

use crate::adopt::adopt;
use crate::camp::Camp;
use crate::due::{self, Outcome};
use crate::events::Events;
use crate::execute::destroy_found;
use crate::identity::{Object, Verdict};
use crate::journal::{EnvironmentRow, IntentRow, IntentState, Op, SightingRow};
use crate::report::Disposal;
use crate::session::Change;
use crate::settle::settle_open;
use crate::verbs::tidy::forget_secrets;

/// What a sweep did.
#[derive(Debug, Default, Serialize)]
pub struct Swept {
    /// Environments that were disposed of, or what of them is left.
    pub disposed: Vec<Disposal>,
    /// Objects of disposed environments that had come after all, and were destroyed.
    pub late: Vec<String>,
    /// Objects of ours that no row knew; they are recorded again.
    pub recovered: Vec<String>,
    /// Objects that only their labels condemn, destroyed after two sightings.
    pub expired: Vec<String>,
    /// Objects that only their labels condemn, seen for the first time or too many at once.
    pub condemned: Vec<String>,
    /// Sites that could not be listed completely.
    pub unreached: Vec<Unreached>,
    /// What had been built for machines, and nobody has wanted for a while.
    pub pruned: Vec<String>,
    /// Environments, and objects without a row, that another process works on.
    pub held: Vec<String>,
}

/// A site that could not be listed completely.
#[derive(Debug, Serialize)]
pub struct Unreached {
    /// Where; none where its provider did not come to say so.
    pub site: Option<String>,
    /// The provider instance.
    pub instance: InstanceName,
    /// Why.
    pub error: Error,
    /// Whether something of ours may be there: a living environment was sent there, or a tombstone is open.
    pub may_hide: bool,
}

impl Swept {
    /// Whether nothing is left that was to go, and every site was listed.
    pub fn is_clean(&self) -> bool {
        self.unreached.is_empty() && self.disposed.iter().all(Disposal::is_clean)
    }

    /// Whether something that was to go is left, or may be, where nobody could look.
    pub fn may_leave(&self) -> bool {
        self.unreached.iter().any(|unreached| unreached.may_hide) || !self.disposed.iter().all(Disposal::is_clean)
    }
}

/// What one site showed.
pub(crate) struct Listed {
    pub(crate) site: Site,
    pub(crate) instance: InstanceName,
    pub(crate) provider: Arc<dyn Provider>,
    pub(crate) listing: Listing,
}

/// What is said of a configured provider that the store has never used and that cannot be reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum NeverUsed {
    /// Nothing: it hides nothing that this store knows of.
    Skip,
    /// The store is lost, so that it may hide anything.
    Name,
}

/// At least this many, or a fifth of what is there, may be killed by labels alone in one pass.
const CAP: usize = 5;

/// Sweeps every known site and ends every environment that is due.
pub(crate) async fn gc(camp: &Arc<Camp>, events: &Events) -> Result<Swept> {
    let mut swept = Swept::default();
    let listed = list_all(camp, NeverUsed::Skip, &mut swept.unreached).await?;
    let environments: BTreeMap<_, _> = camp
        .journal
        .environments()
        .await?
        .into_iter()
        .map(|row| (row.id.clone(), row))
        .collect();
    for of_site in &listed {
        judge_site(camp, of_site, &environments, &mut swept).await?;
    }
    for row in camp.journal.environments().await? {
        if row.disposed.is_none() {
            end_or_settle(camp, &row, events, &mut swept).await?;
        }
    }
    for of_site in &listed {
        prune(camp, of_site, &mut swept).await;
    }
    judge_unreached(camp, &mut swept).await?;
    forget(camp, &listed).await?;
    forget_secrets(camp).await?;
    Ok(swept)
}

/// The sites of the store and of the settings, each listed once.
pub(crate) async fn list_all(
    camp: &Camp,
    never_used: NeverUsed,
    unreached: &mut Vec<Unreached>,
) -> Result<Vec<Listed>> {
    let mut asked = BTreeSet::new();
    let mut listed = Vec::new();
    let recorded = camp.journal.sites().await?;
    for row in &recorded {
        asked.insert(row.site.clone());
        match camp.provider_at(&row.site, &row.instance).await {
            Ok(provider) => list_one(camp, &row.site, &row.instance, provider, &mut listed, unreached).await,
            Err(error) => unreached.push(Unreached {
                site: Some(row.site.to_string()),
                instance: row.instance.clone(),
                error,
                may_hide: true,
            }),
        }
    }
    let used: BTreeSet<_> = recorded.iter().map(|row| &row.instance).collect();
    // After a total loss of the store only the settings say where to look. What was never used and cannot be reached
    // hides nothing that this store knows of.
    for (instance, _) in camp.providers.instances().filter(|(name, _)| !used.contains(name)) {
        match camp.providers.connect(&camp.read_cx(), instance).await {
            Ok(provider) => {
                for site in provider.sites() {
                    if asked.insert(site.clone()) {
                        list_one(camp, &site, instance, Arc::clone(&provider), &mut listed, unreached).await;
                    }
                }
            }
            Err(error) if never_used == NeverUsed::Name => unreached.push(Unreached {
                site: None,
                instance: instance.clone(),
                error,
                may_hide: true,
            }),
            Err(_) => {}
        }
    }
    Ok(listed)
}

async fn list_one(
    camp: &Camp,
    site: &Site,
    instance: &InstanceName,
    provider: Arc<dyn Provider>,
    listed: &mut Vec<Listed>,
    unreached: &mut Vec<Unreached>,
) {
    let error = match provider
        .list(&camp.read_cx(), List::new(camp.controller.prefix()).at(site.clone()))
        .await
    {
        Ok(listing) => {
            let complete = listing.covers(site);
            listed.push(Listed {
                site: site.clone(),
                instance: instance.clone(),
                provider,
                listing,
            });
            if complete {
                return;
            }
            Error::new(ErrorKind::Unavailable, format!("{site} could not be listed completely")).of_provider(instance)
        }
        Err(error) => error,
    };
    unreached.push(Unreached {
        site: Some(site.to_string()),
        instance: instance.clone(),
        error,
        may_hide: true,
    });
}

/// What was built is no part of an environment, so what stays of it is not left behind.
async fn prune(camp: &Camp, of: &Listed, swept: &mut Swept) {
    let since = Prune::new(camp.clock.now().minus(camp.policy.built));
    match of.provider.prune(&Cx::within(camp.policy.change), since).await {
        Ok(pruned) => swept.pruned.extend(pruned),
        Err(error) => tracing::warn!(site = %of.site, error = %Report(&error), "not pruned"),
    }
}

/// Says of each site that was not listed whether something of ours may be there.
async fn judge_unreached(camp: &Camp, swept: &mut Swept) -> Result<()> {
    if swept.unreached.is_empty() {
        return Ok(());
    }
    let mut open = BTreeSet::new();
    for row in camp.journal.environments().await? {
        let living = row.disposed.is_none();
        let may_be_there =
            |intent: &IntentRow| intent.state.may_exist() || intent.unsettled || (living && intent.last_sent.is_some());
        let intents = camp.journal.intents(&row.id).await?.into_iter();
        open.extend(intents.filter(may_be_there).map(|intent| intent.site.to_string()));
    }
    for unreached in &mut swept.unreached {
        unreached.may_hide = unreached.site.as_ref().is_some_and(|site| open.contains(site));
    }
    Ok(())
}

async fn judge_site(
    camp: &Arc<Camp>,
    of: &Listed,
    environments: &BTreeMap<encamp_core::EnvId, EnvironmentRow>,
    swept: &mut Swept,
) -> Result<()> {
    let keeps = of.provider.capabilities().keeps;
    let mut rows: BTreeMap<encamp_core::EnvId, Vec<IntentRow>> = BTreeMap::new();
    let mut expired = Vec::new();
    for found in of
        .listing
        .found
        .iter()
        .filter(|found| found.class != Class::Image && found.site == of.site)
    {
        let Verdict::Ours(object) = camp.controller.verify(found, keeps) else {
            continue;
        };
        if !rows.contains_key(&object.environment) {
            rows.insert(
                object.environment.clone(),
                camp.journal.intents(&object.environment).await?,
            );
        }
        let of_environment = rows.get(&object.environment).map(Vec::as_slice).unwrap_or_default();
        let row = of_environment
            .iter()
            .find(|row| row.identity() == object && row.site == of.site);
        match (environments.get(&object.environment), row) {
            // A tombstone is a positive reason: this came after its destroyer had finished.
            (Some(environment), Some(_)) if environment.disposed.is_some() => {
                kill(camp, of, found, &object, environment.epoch).await?;
                swept.late.push(found.key.clone());
            }
            (Some(environment), Some(row)) if row.state == IntentState::Gone => {
                if let Some(held) = camp.locks.try_hold(&environment.id)? {
                    // Disposed of since the store was read: the next sweep meets a tombstone.
                    let Ok(session) = camp.take(&environment.id, held, "gc", Events::none()).await else {
                        continue;
                    };
                    destroy_found(&session, &*of.provider, found).await?;
                    session.release().await?;
                    swept.late.push(found.key.clone());
                }
            }
            // With a row the row's lease counts; the environment is ended as a whole if it is due.
            (Some(_), Some(_)) => {}
            _ => {
                let labelled = found.labels.get(label::EXPIRES).and_then(|text| Time::parse(text));
                match labelled {
                    Some(ends) if camp.clock.now() >= ends.plus(camp.policy.grace) => expired.push((found, object)),
                    _ => {
                        let known = environments.get(&object.environment);
                        let adopted = adopt(camp, of, found, &object, known, None).await?;
                        if adopted {
                            swept.recovered.push(found.key.clone());
                            // The one that sits there may know only a store that is lost.
                            camp.keepers.ensure(camp, &object.environment).await;
                        } else {
                            swept.held.push(found.key.clone());
                        }
                    }
                }
            }
        }
    }
    condemn(camp, of, expired, swept).await
}

/// Kills by labels alone: after two sightings, and not too many at once.
async fn condemn(camp: &Arc<Camp>, of: &Listed, expired: Vec<(&Found, Object)>, swept: &mut Swept) -> Result<()> {
    let cap = CAP.max(of.listing.found.len() / 5);
    let sightings = camp.journal.sightings().await?;
    let mut killed = 0;
    for (found, object) in expired {
        let first = sightings
            .iter()
            .find(|seen| seen.site == of.site && seen.key == found.key)
            .map(|seen| seen.first_seen);
        let twice = first.is_some_and(|first| camp.clock.now().since(first) >= camp.policy.sightings_apart);
        if twice && killed < cap {
            killed += 1;
            kill(camp, of, found, &object, 0).await?;
            camp.commit(Op::Unsight {
                site: of.site.clone(),
                key: found.key.clone(),
            })
            .await?;
            swept.expired.push(found.key.clone());
        } else {
            let row = SightingRow {
                site: of.site.clone(),
                key: found.key.clone(),
                first_seen: camp.clock.now(),
            };
            camp.commit(Op::Sight(row)).await?;
            swept.condemned.push(found.key.clone());
        }
    }
    Ok(())
}

/// Destroys something whose environment is a tombstone or unknown, so that nobody can hold it.
async fn kill(camp: &Arc<Camp>, of: &Listed, found: &Found, object: &Object, epoch: u64) -> Result<()> {
    let stamp = Stamp::new(
        camp.controller.key(object),
        Token::new(found.token.clone().unwrap_or_default()),
        found.labels.clone(),
    );
    let target = encamp_core::Target::new(stamp.clone(), of.site.clone(), Some(found.id.clone()));
    let verb = if found.class == Class::Scope {
        encamp_core::Verb::CloseScope
    } else {
        encamp_core::Verb::Destroy
    };
    let change = Change {
        verb,
        object: object.name.clone(),
        key: stamp.key,
    };
    let cx = encamp_core::Cx::within(camp.policy.change);
    let ticket = encamp_core::Ticket::of_committed_intent(change.key.clone(), verb, epoch);
    let answer = match verb {
        encamp_core::Verb::CloseScope => of.provider.close_scope(&cx, &ticket, target).await,
        _ => of.provider.destroy(&cx, &ticket, target).await,
    };
    if let Err(error) = answer {
        tracing::warn!(key = found.key, error = %Report(&error), "could not be destroyed yet");
    }
    Ok(())
}

/// Ends an environment that is not wanted any more; settles what a dead command left in one that is.
async fn end_or_settle(camp: &Arc<Camp>, row: &EnvironmentRow, events: &Events, swept: &mut Swept) -> Result<()> {
    match due::end_if_due(camp, &row.id, "gc", events.clone()).await? {
        Outcome::Ended(_, disposal) => swept.disposed.push(disposal),
        Outcome::Held => swept.held.push(row.name.clone()),
        Outcome::Spared => {
            let Some(held) = camp.locks.try_hold(&row.id)? else {
                swept.held.push(row.name.clone());
                return Ok(());
            };
            match camp.take(&row.id, held, "gc", Events::none()).await {
                Ok(session) => {
                    if let Err(error) = settle_open(&session, Duration::ZERO).await? {
                        tracing::info!(environment = row.name, error = %Report(&error), "not settled yet");
                    }
                    session.release().await?;
                }
                Err(error) if error.kind() == ErrorKind::NotFound => {}
                Err(error) => return Err(error),
            }
        }
    }
    Ok(())
}

/// Forgets tombstones that are old enough and whose sites have just been listed, and sites that nothing speaks of.
async fn forget(camp: &Camp, listed: &[Listed]) -> Result<()> {
    let covered: BTreeSet<&Site> = listed
        .iter()
        .filter(|of| of.listing.covers(&of.site))
        .map(|of| &of.site)
        .collect();
    let mut spoken_of = BTreeSet::new();
    for row in camp.journal.environments().await? {
        let intents = camp.journal.intents(&row.id).await?;
        let old = row
            .disposed
            .is_some_and(|at| camp.clock.now().since(at) >= camp.policy.tombstone);
        if old && intents.iter().all(|intent| covered.contains(&intent.site)) {
            camp.keepers.forget(&row.id);
            camp.users.forget(&row.id);
            camp.commit(Op::Forget(row.id)).await?;
        } else {
            spoken_of.extend(intents.into_iter().map(|intent| intent.site));
        }
    }
    for site in camp.journal.sites().await? {
        let old = camp.clock.now().since(site.first_used) >= camp.policy.tombstone;
        if old && !spoken_of.contains(&site.site) {
            camp.commit(Op::ForgetSite(site.site)).await?;
        }
    }
    Ok(())
}
