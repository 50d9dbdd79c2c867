//! `gc`: everything that dead commands, lost answers and lost stores left, on every site that was ever used.
//!
//! A sweep lists the provider first and reads the store second, and kills on a positive reason only.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use encamp_core::{
    Class, Error, ErrorKind, Found, InstanceName, List, Listing, Provider, Report, Result, Site, Stamp, Time, Token,
    label,
};
use serde::Serialize;

use crate::camp::Camp;
use crate::clock::Lease;
use crate::events::Events;
use crate::execute::destroy_found;
use crate::identity::{Object, Verdict};
use crate::journal::{EnvironmentRow, IntentRow, IntentState, Op, Purpose, SightingRow, SiteRow, Wanted};
use crate::report::Disposal;
use crate::session::{Change, Session};
use crate::settle::{self, Settled};
use crate::verbs::down::end;
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
    /// Environments that another process holds.
    pub held: Vec<String>,
}

/// A site that could not be listed completely.
#[derive(Debug, Serialize)]
pub struct Unreached {
    /// Where.
    pub site: String,
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

struct Listed {
    site: Site,
    instance: InstanceName,
    provider: Arc<dyn Provider>,
    listing: Listing,
}

/// At least this many, or a fifth of what is there, may be killed by labels alone in one pass.
const CAP: usize = 5;

/// Sweeps every known site and ends every environment that is due.
pub(crate) async fn gc(camp: &Arc<Camp>, events: &Events) -> Result<Swept> {
    let mut swept = Swept::default();
    let listed = list_all(camp, &mut swept).await?;
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
        end_if_due(camp, &row, events, &mut swept).await?;
    }
    judge_unreached(camp, &mut swept).await?;
    forget(camp, &listed).await?;
    forget_secrets(camp).await?;
    Ok(swept)
}

/// The sites of the store and of the settings, each listed once.
async fn list_all(camp: &Camp, swept: &mut Swept) -> Result<Vec<Listed>> {
    let mut asked = BTreeSet::new();
    let mut listed = Vec::new();
    let recorded = camp.journal.sites().await?;
    for row in &recorded {
        asked.insert(row.site.clone());
        match camp.provider_at(&row.site, &row.instance).await {
            Ok(provider) => list_one(camp, &row.site, &row.instance, provider, &mut listed, swept).await,
            Err(error) => swept.unreached.push(Unreached {
                site: row.site.to_string(),
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
        if let Ok(provider) = camp.providers.connect(&camp.read_cx(), instance).await {
            let site = provider.site().clone();
            if asked.insert(site.clone()) {
                list_one(camp, &site, instance, provider, &mut listed, swept).await;
            }
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
    swept: &mut Swept,
) {
    let error = match provider
        .list(&camp.read_cx(), List::new(camp.controller.prefix()))
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
    swept.unreached.push(Unreached {
        site: site.to_string(),
        instance: instance.clone(),
        error,
        may_hide: true,
    });
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
        unreached.may_hide = open.contains(&unreached.site);
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
                        recover(camp, of, found, &object, environments.get(&object.environment)).await?;
                        swept.recovered.push(found.key.clone());
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

/// Ours by proof and without a row: the store was lost, rolled back or cloned. It is adopted, never killed on sight.
async fn recover(
    camp: &Camp,
    of: &Listed,
    found: &Found,
    object: &Object,
    known: Option<&EnvironmentRow>,
) -> Result<()> {
    let now = camp.clock.now();
    let time = |name: &str| found.labels.get(name).and_then(|text| Time::parse(text)).unwrap_or(now);
    let environment = known.cloned().unwrap_or_else(|| EnvironmentRow {
        id: object.environment.clone(),
        name: format!("recovered-{}", object.environment),
        purpose: Purpose::Up,
        file: None,
        wanted: Wanted::Present,
        keep: false,
        created: time(label::CREATED),
        lease: Lease {
            ends: time(label::EXPIRES),
            boot: None,
        },
        epoch: found
            .labels
            .get(label::EPOCH)
            .and_then(|text| text.parse().ok())
            .unwrap_or(0),
        holder: None,
        disposed: None,
        by: camp.user.clone(),
        outputs: BTreeMap::new(),
        machines: 0,
        numbers: encamp_file::text::Numbers::new(),
        recovered: true,
        given: encamp_file::spec::Given::default(),
        took: Vec::new(),
    });
    let row = IntentRow {
        environment: object.environment.clone(),
        class: object.class,
        object: object.name.clone(),
        generation: object.generation,
        instance: of.instance.clone(),
        site: of.site.clone(),
        state: IntentState::Seen,
        stamp: Stamp::new(
            camp.controller.key(object),
            Token::new(found.token.clone().unwrap_or_default()),
            found.labels.clone(),
        ),
        request: String::new(),
        id: Some(found.id.clone()),
        unsettled: false,
        epoch: environment.epoch,
        last_sent: Some(now),
        evidence: None,
        spec: found.labels.get(label::SPEC).cloned().unwrap_or_default(),
        bound: String::new(),
        failure: Some("recovered after the store was lost".into()),
        updated: now,
        addrs: Vec::new(),
        ports: Vec::new(),
        data: encamp_core::Value::Null,
        stopped: false,
        set_up: crate::journal::SetUp::default(),
        parts: std::collections::BTreeMap::new(),
        services: std::collections::BTreeMap::new(),
    };
    if let Some(configured) = camp.providers.instance(&of.instance) {
        let site = SiteRow {
            site: of.site.clone(),
            instance: of.instance.clone(),
            kind: configured.kind.clone(),
            settings: configured.settings.clone(),
            first_used: now,
        };
        camp.commit(Op::Site(Box::new(site))).await?;
    }
    camp.commit(Op::Recover {
        environment: Box::new(environment),
        row: Box::new(row),
    })
    .await?;
    Ok(())
}

/// Ends an environment that is not wanted any more; settles what a dead command left in one that is.
async fn end_if_due(camp: &Arc<Camp>, row: &EnvironmentRow, events: &Events, swept: &mut Swept) -> Result<()> {
    if row.disposed.is_some() {
        return Ok(());
    }
    let Some(held) = camp.locks.try_hold(&row.id)? else {
        swept.held.push(row.name.clone());
        return Ok(());
    };
    let abandoned = row.purpose == Purpose::Run && !row.keep;
    if abandoned || row.wanted == Wanted::Gone || row.lease.over(camp.policy.grace, &*camp.clock) {
        drop(held);
        match end(camp, row, "gc", events.clone()).await {
            Ok(disposal) => swept.disposed.push(disposal),
            Err(error) if error.kind() == ErrorKind::Conflict => swept.held.push(row.name.clone()),
            Err(error) if error.kind() == ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
        return Ok(());
    }
    let session = camp.take(&row.id, held, "gc", Events::none()).await?;
    settle_open(&session).await?;
    session.release().await
}

/// Settles what was sent without an answer in an environment that stays.
async fn settle_open(session: &Session) -> Result<()> {
    let rows = session.camp.journal.intents(&session.row.id).await?;
    for row in rows
        .iter()
        .filter(|row| matches!(row.state, IntentState::Sent | IntentState::Unknown))
    {
        let Ok(provider) = session.camp.provider_of(row).await else {
            continue;
        };
        let (epoch, intent) = (session.epoch.clone(), row.reference());
        match settle::settle(session, &*provider, row).await? {
            Settled::Present(opened) => {
                session
                    .record(Op::See {
                        epoch,
                        intent,
                        id: opened.id,
                        data: opened.data,
                    })
                    .await?;
            }
            Settled::Absent => {
                session
                    .record(Op::Bury {
                        epoch,
                        intent,
                        evidence: "not in a complete listing".into(),
                    })
                    .await?;
            }
            Settled::NotYet(error) => tracing::info!(object = row.object, error = %Report(&error), "not settled yet"),
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
