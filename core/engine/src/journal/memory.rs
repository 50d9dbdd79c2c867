//! The journal in memory: the durable one's twin, for simulations.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use async_trait::async_trait;
use encamp_core::{Class, EnvId, Result, Site, Time};

use super::{Answer, EnvironmentRow, IntentRef, IntentRow, Journal, Op, SightingRow, SiteRow, Tables, apply};

/// Rows in maps. A crash of the engine leaves them as they are.
#[derive(Debug, Default)]
pub struct Memory(Mutex<Rows>);

#[derive(Debug, Default)]
struct Rows {
    environments: BTreeMap<EnvId, EnvironmentRow>,
    intents: BTreeMap<EnvId, BTreeMap<Place, IntentRow>>,
    sites: BTreeMap<Site, SiteRow>,
    sightings: BTreeMap<(Site, String), SightingRow>,
}

/// Orders the generations of one object beside each other.
type Place = (Class, String, u32, Site);

fn place(reference: &IntentRef) -> Place {
    (
        reference.class,
        reference.object.clone(),
        reference.generation.0,
        reference.site.clone(),
    )
}

impl Memory {
    fn rows(&self) -> std::sync::MutexGuard<'_, Rows> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[async_trait]
impl Journal for Memory {
    async fn apply(&self, op: Op, now: Time) -> Result<Answer> {
        apply(&mut *self.rows(), &op, now)
    }

    async fn environments(&self) -> Result<Vec<EnvironmentRow>> {
        self.rows().environments()
    }

    async fn environment(&self, id: &EnvId) -> Result<Option<EnvironmentRow>> {
        Tables::environment(&*self.rows(), id)
    }

    async fn intents(&self, environment: &EnvId) -> Result<Vec<IntentRow>> {
        Tables::intents(&*self.rows(), environment)
    }

    async fn sites(&self) -> Result<Vec<SiteRow>> {
        Tables::sites(&*self.rows())
    }

    async fn sightings(&self) -> Result<Vec<SightingRow>> {
        Tables::sightings(&*self.rows())
    }
}

impl Tables for Rows {
    fn environment(&self, id: &EnvId) -> Result<Option<EnvironmentRow>> {
        Ok(self.environments.get(id).cloned())
    }

    fn environments(&self) -> Result<Vec<EnvironmentRow>> {
        Ok(self.environments.values().cloned().collect())
    }

    fn put_environment(&mut self, row: &EnvironmentRow) -> Result<()> {
        self.environments.insert(row.id.clone(), row.clone());
        Ok(())
    }

    fn remove_environment(&mut self, id: &EnvId) -> Result<()> {
        self.environments.remove(id);
        self.intents.remove(id);
        Ok(())
    }

    fn intent(&self, reference: &IntentRef) -> Result<Option<IntentRow>> {
        Ok(self
            .intents
            .get(&reference.environment)
            .and_then(|rows| rows.get(&place(reference)))
            .cloned())
    }

    fn intents(&self, environment: &EnvId) -> Result<Vec<IntentRow>> {
        Ok(self
            .intents
            .get(environment)
            .map(|rows| rows.values().cloned().collect())
            .unwrap_or_default())
    }

    fn newest_generation(&self, reference: &IntentRef) -> Result<Option<IntentRow>> {
        let Some(rows) = self.intents.get(&reference.environment) else {
            return Ok(None);
        };
        let from = (reference.class, reference.object.clone(), 0, Site::new(""));
        let of_object = rows
            .range(from..)
            .take_while(|((class, object, ..), _)| *class == reference.class && *object == reference.object)
            .filter(|((.., site), _)| reference.class == Class::Machine || *site == reference.site);
        Ok(of_object.last().map(|(_, row)| row.clone()))
    }

    fn put_intent(&mut self, row: &IntentRow) -> Result<()> {
        self.intents
            .entry(row.environment.clone())
            .or_default()
            .insert(place(&row.reference()), row.clone());
        Ok(())
    }

    fn site(&self, site: &Site) -> Result<Option<SiteRow>> {
        Ok(self.sites.get(site).cloned())
    }

    fn sites(&self) -> Result<Vec<SiteRow>> {
        Ok(self.sites.values().cloned().collect())
    }

    fn put_site(&mut self, row: &SiteRow) -> Result<()> {
        self.sites.insert(row.site.clone(), row.clone());
        Ok(())
    }

    fn remove_site(&mut self, site: &Site) -> Result<()> {
        self.sites.remove(site);
        Ok(())
    }

    fn sightings(&self) -> Result<Vec<SightingRow>> {
        Ok(self.sightings.values().cloned().collect())
    }

    fn put_sighting(&mut self, row: &SightingRow) -> Result<()> {
        self.sightings.insert((row.site.clone(), row.key.clone()), row.clone());
        Ok(())
    }

    fn remove_sighting(&mut self, site: &Site, key: &str) -> Result<()> {
        self.sightings.remove(&(site.clone(), key.to_owned()));
        Ok(())
    }
}
