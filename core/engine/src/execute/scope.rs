//! The items that machines share on a site: opened once, before the first machine that uses them.

use std::collections::BTreeMap;
use std::sync::Arc;

use encamp_core::{
    Candidate, Class, Error, ErrorKind, InstanceName, OpenScope, Opened, Provider, Result, ScopeItem, Site,
};
use encamp_file::spec::Machine;

use super::life::{Goal, Life, Lived};
use super::raise::Raising;
use crate::identity::{freeze, short_hash};
use crate::journal::{IntentState, Op, SiteRow};
use crate::machine::State;
use crate::plan::Sight;

impl Raising<'_> {
    /// Opens the scope items that a candidate uses, each once for all machines that share it.
    pub(super) async fn open_all(
        &self,
        machine: &Machine,
        instance: &InstanceName,
        provider: &Arc<dyn Provider>,
        candidate: &Candidate,
    ) -> Result<Result<BTreeMap<String, Opened>>> {
        self.use_site(instance, provider, &candidate.site).await?;
        let opening = candidate.scope.iter().map(|item| async move {
            let object = scope_object(instance, item, machine);
            let key = (instance.clone(), candidate.site.clone(), object.clone());
            let opened = self
                .opened
                .get(key, || self.open(instance, provider, &candidate.site, item, &object))
                .await;
            opened.map(|opened| (item.name.clone(), opened))
        });
        Ok(futures_util::future::try_join_all(opening)
            .await
            .map(|opened| opened.into_iter().collect()))
    }

    /// A site that nobody lists is a leak that nobody finds: its row comes before its first use.
    async fn use_site(&self, instance: &InstanceName, provider: &Arc<dyn Provider>, site: &Site) -> Result<()> {
        let camp = &self.session.camp;
        self.sites
            .get(site.clone(), || async move {
                let configured = camp.providers.instance(instance);
                let Some(configured) = configured else {
                    return Err(Error::new(
                        ErrorKind::NotFound,
                        format!("no provider is called `{instance}`"),
                    ));
                };
                let row = SiteRow {
                    site: site.clone(),
                    instance: instance.clone(),
                    kind: configured.kind.clone(),
                    settings: configured.settings.clone(),
                    first_used: camp.clock.now(),
                };
                debug_assert!(provider.sites().contains(site));
                self.session.record(Op::Site(Box::new(row))).await
            })
            .await
    }

    async fn open(
        &self,
        instance: &InstanceName,
        provider: &Arc<dyn Provider>,
        site: &Site,
        item: &ScopeItem,
        object: &str,
    ) -> Result<Opened> {
        let spec = short_hash(item.body.to_string().as_bytes());
        let mut generation = self.next_generation(Class::Scope, object);
        if let Some(row) = self.newest(Class::Scope, object).filter(|row| row.site == *site) {
            let vanished = self.seen.get(row.key()) == Some(&Sight::Absent);
            if row.spec != spec && row.state != IntentState::Dying && !vanished {
                return Err(Error::new(
                    ErrorKind::Conflict,
                    format!("{object} is described differently now, and machines share it"),
                )
                .of_machine(object)
                .next_step(format!("encamp down -e {}, then up again", self.session.row.name)));
            }
            if row.state == IntentState::Ready && !vanished {
                return Ok(Opened::new(row.id.clone().unwrap_or_default(), row.data.clone()));
            }
            let goal = if vanished || row.state == IntentState::Dying {
                Goal::Down
            } else {
                Goal::Up
            };
            let lived = Life::new(self.session, Arc::clone(provider), None, row.clone(), goal)
                .live()
                .await?;
            match lived.state {
                State::Ready => return Ok(Opened::new(lived.row.id.unwrap_or_default(), lived.row.data)),
                State::Gone => generation = lived.row.generation.next(),
                _ => return Err(failure_of(lived, object)),
            }
        }
        let identity = self.identity(Class::Scope, object, generation);
        let particulars = self.particulars(&spec);
        let stamp = self
            .session
            .camp
            .controller
            .stamp(&identity, &particulars, encamp_core::Token::new(""));
        let request = OpenScope::new(stamp, site.clone(), item.clone());
        let (request, bytes) = freeze(request, |request| &mut request.stamp)?;
        let row = self.row(&identity, instance, site, request.stamp, bytes, spec, String::new())?;
        self.session
            .record(Op::Plan {
                epoch: self.session.epoch.clone(),
                row: Box::new(row.clone()),
            })
            .await?;
        let lived = Life::new(self.session, Arc::clone(provider), None, row, Goal::Up)
            .live()
            .await?;
        match lived.state {
            State::Ready => Ok(Opened::new(lived.row.id.unwrap_or_default(), lived.row.data)),
            _ => Err(failure_of(lived, object)),
        }
    }
}

fn failure_of(lived: Lived, object: &str) -> Error {
    lived
        .failure
        .unwrap_or_else(|| Error::new(ErrorKind::Cancelled, format!("stopped before {object} was open")))
}

/// The object name of a scope item: `docker/net`, and `docker/vol-data/web-0` where each member of a group has its own.
pub(crate) fn scope_object(instance: &InstanceName, item: &ScopeItem, machine: &Machine) -> String {
    if item.per_member && machine.group.is_some() {
        format!("{instance}/{}/{}", item.name, machine.name)
    } else {
        format!("{instance}/{}", item.name)
    }
}
